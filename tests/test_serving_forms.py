# SPDX-License-Identifier: Apache-2.0
"""multipart/form-data: pictures and fields taken out of forms, and forms that are refused by name."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .test_serving_requests import FORM, LAWS, check_honest, form, read, refused

pytest.importorskip("python_multipart")


@LAWS
@given(st.data())
def test_a_damaged_form_is_read_or_refused_by_name(data: st.DataObject) -> None:
    good = form(("image", bytes(range(256))), ("detThreshold", "0.5"), ("image", b""))
    place = data.draw(st.integers(0, len(good) - 1))
    change = data.draw(st.binary(max_size=3))
    check_honest(good[:place] + change + good[place + len(change) :], FORM, "")
    check_honest(good[:place], FORM, "")


def test_forms_of_several_pictures() -> None:
    nasty = b"\r\n--lin\r\n--line-but-not\r\r\n" + bytes(range(256))
    asked = read(
        form(("image", nasty), ("labels", "en"), ("image", b""), ("image", "http://a.test/x.jpg")), content_type=FORM
    )
    assert asked.pictures == (nasty, b"", "http://a.test/x.jpg")
    assert asked.several
    assert asked.labels == "en"
    assert not read(form(("image", b"one")), content_type=FORM).several


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "does not begin with its boundary"),
        (form(("image", b"x"))[:-6], "ends too early"),
        (b"nothing of a form", "does not begin with its boundary"),
        (form(("labels", "en")), "image is missing"),
        (form(("imagee", b"x")), "did you mean image?"),
        (form(("images", b"x")), "as a part named image"),
        (form(("image", b"x"), ("det_threshold", "0.5")), "did you mean detThreshold?"),
        (form(("image", b"x"), ("labels", "en"), ("labels", "zh")), "labels stands twice"),
        (form(("image", b"x"), ("labels", "e" * 100_000)), "too long for a field"),
        (form(("image", b"x"), *[("x", "1")] * 200), "more than 132 parts"),
        (form(*[("image", b"x")] * 40), "there are 40 pictures"),
        (b"--line\r\nContent-Type: image/png\r\n\r\nx\r\n--line--\r\n", "has no name"),
        (b"--line\r\nContent-Disposition: attachment; name=image\r\n\r\nx\r\n--line--\r\n", "has no name"),
        (
            b"--line\r\nContent-Disposition: form-data; name=image\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            b"AAAA\r\n--line--\r\n",
            "sent as base64",
        ),
        (b"--line\r\nContent-Disposition: form-data; name=labels\r\n\r\n\xff\r\n--line--\r\n", "no UTF-8 text"),
    ],
)
def test_forms_that_cannot_be_right(body: bytes, said: str) -> None:
    assert said in refused(body, content_type=FORM).message


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 500}"],
)
def test_a_form_needs_a_boundary(content_type: str) -> None:
    assert refused(form(("image", b"x")), content_type=content_type).name == "request_invalid"


@pytest.mark.parametrize(
    "body",
    [
        form(("image", b"\r\n--lin" * 600_000 + b"\r" * 2_000_000)),
        form(("image", b"\r\n--line " * 100_000)),
        b"--line\r\n" + b"a" * 8_000_000,
        b"--line\r\n" + b"a: b\r\n" * 1_000_000,
        b"--line\r\nContent-Disposition: form-data; name=image" + b";" * 8_000_000,
        b"\r\n" * 4_000_000,
        form(("image", b"x")) * 10_000,
    ],
    ids=["near", "nearer", "name", "lines", "value", "before", "after"],
)
def test_a_form_made_to_be_slow_is_not(body: bytes) -> None:
    begun = time.process_time()
    check_honest(body, FORM, "")
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("nearly", [b"\r\n--lin", b"\r\n--linx", b"\r\n-", b"\r", b"\r\n"])
def test_what_looks_like_a_boundary_lies_across_every_border_of_pieces(nearly: bytes) -> None:
    """The body is fed in pieces of 256 KiB; a picture comes out whole wherever they end."""
    head = len(form(("image", b""))) - len(b"\r\n--line--\r\n")
    for before in range(len(nearly) + 2):
        picture = b"a" * ((256 << 10) - head - before) + nearly + b"z" * 9
        assert read(form(("image", picture)), content_type=FORM).pictures == (picture,)
        assert read(form(("image", picture), ("labels", "en"), ("image", picture)), content_type=FORM).several
