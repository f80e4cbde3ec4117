# SPDX-License-Identifier: Apache-2.0
"""What a request says: JSON, forms, bare pictures and queries read into the same checked values, or refused by name."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby.errors import InputError, PasserbyError, ServerError
from passerby.serving.fields import BY_NAME, FIELDS, NAMES
from passerby.serving.jobs import Job
from passerby.serving.requests import Asked, body_kind, picture_bytes, understand, unpack, url_of
from passerby.serving.settings import ServerSettings

SETTINGS = ServerSettings()
JSON = "application/json"
FORM = "multipart/form-data; boundary=line"
# The machine that runs this may be busy; what takes long is measured elsewhere.
LAWS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def job(body: bytes, *, content_type: str = JSON, query: str = "") -> Job:
    return Job(
        number=1, log_id="ours", content_type=content_type, query=query, body=body, deadline=time.monotonic() + 60
    )


def read(body: Any, *, content_type: str = JSON, query: str = "") -> Asked:
    """The whole way; what is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return understand(unpack(job(data, content_type=content_type, query=query), SETTINGS), SETTINGS)


def form(*parts: tuple[str, bytes | str], boundary: bytes = b"line") -> bytes:
    """A form; bytes are files, text is a field."""
    out = b""
    for name, data in parts:
        file, content = (b'; filename="a.jpg"', data) if isinstance(data, bytes) else (b"", data.encode())
        head = b'Content-Disposition: form-data; name="' + name.encode() + b'"' + file
        out += b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"
    return out + b"--" + boundary + b"--\r\n"


def refused(body: Any, **more: Any) -> ServerError:
    with pytest.raises(ServerError) as caught:
        read(body, **more)
    return caught.value


# What options may hold, as JSON values.
shares = st.floats(0, 1) | st.integers(0, 1)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "detThreshold": shares,
        "clsThreshold": shares
        | st.lists(shares, min_size=1, max_size=30)
        | st.dictionaries(st.sampled_from(["default", "0", "7", "25"]), shares),
        "visualize": st.booleans(),
        "labels": st.sampled_from(["paddle", "en", "zh", "both"]),
        "details": st.booleans(),
        "logId": st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    },
)


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@LAWS
@given(OPTIONS)
def test_json_form_and_query_say_the_same(options: dict[str, Any]) -> None:
    pytest.importorskip("python_multipart")
    picture = b"\xff\xd8 a picture"
    texts = {name: as_text(value) for name, value in options.items()}
    in_json = unpack(job(json.dumps({"image": "AAAA", **options}).encode()), SETTINGS)
    in_form = unpack(job(form(("image", picture), *texts.items()), content_type=FORM), SETTINGS)
    in_query = unpack(job(picture, content_type="image/jpeg", query=urlencode(texts)), SETTINGS)
    assert in_json.log_id == in_form.log_id == in_query.log_id == options.get("logId")
    said = [understand(sent, SETTINGS) for sent in (in_json, in_form, in_query)]
    assert said[1] == said[2]
    assert said[0].pictures == ("AAAA",)
    assert said[1].pictures == (picture,)
    for one in said:
        assert one.det_threshold == options.get("detThreshold")
        assert one.visualize == options.get("visualize")
        assert one.labels == options.get("labels")
        assert one.details is options.get("details", False)
        assert not one.several


@LAWS
@given(st.binary(max_size=300), st.sampled_from([JSON, FORM, "image/png"]), st.text(max_size=40))
def test_any_bytes_are_read_or_refused_by_name(body: bytes, content_type: str, query: str) -> None:
    pytest.importorskip("python_multipart")
    check_honest(body, content_type, query)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@LAWS
@given(st.dictionaries(st.sampled_from(NAMES), json_values, max_size=5))
def test_any_values_of_fields_are_read_or_refused_by_name(body: dict[str, Any]) -> None:
    check_honest(json.dumps(body).encode(), JSON, "")


def check_honest(body: bytes, content_type: str, query: str) -> None:
    try:
        asked = read(body, content_type=content_type, query=query)
        for picture in asked.pictures:
            if url_of(picture) is None:
                assert isinstance(picture_bytes(picture), bytes)
    except PasserbyError as error:
        assert error.name in ("request_invalid", "input_empty"), error
        assert error.message.isprintable()
        assert len(error.message) <= 400


@LAWS
@given(st.binary(min_size=1, max_size=200), st.integers(1, 90), st.sampled_from(["", "data:image/jpeg;base64,"]))
def test_base64_comes_back_whatever_its_lines(data: bytes, width: int, prefix: str) -> None:
    text = base64.b64encode(data).decode()
    lines = "\r\n".join(text[i : i + width] for i in range(0, len(text), width))
    assert picture_bytes(prefix + lines) == data
    assert picture_bytes(f" \n{prefix}{text}\t") == data


@LAWS
@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_sign_that_is_no_base64_is_never_skipped(data: bytes, draw: st.DataObject) -> None:
    text = base64.b64encode(data).decode()
    place = draw.draw(st.integers(0, len(text)))
    sign = draw.draw(st.sampled_from("!-_.,é\x00\x7f"))
    with pytest.raises(ServerError, match=r"^request_invalid: image is no base64"):
        picture_bytes(text[:place] + sign + text[place:])


@pytest.mark.parametrize("text", ["A", "AA", "AAA", "AAAAA", "A===", "====", "=AAA", "AA=A", "AAAA=", "AA==AA=="])
def test_padding_is_as_the_standard_has_it(text: str) -> None:
    with pytest.raises(ServerError, match=r"^request_invalid: image is no base64"):
        picture_bytes(text)


@pytest.mark.parametrize("text", ["", "   ", "\n", "data:image/png;base64,"])
def test_an_empty_picture_has_a_name_of_its_own(text: str) -> None:
    with pytest.raises(InputError, match=r"^input_empty"):
        picture_bytes(text)


def test_the_url_safe_alphabet_is_named() -> None:
    with pytest.raises(ServerError, match="URL-safe"):
        picture_bytes("_-8_")


def test_slashes_may_be_escaped_and_big_bodies_stay_quick() -> None:
    """Some languages write every slash of their JSON as `\\/`."""
    data = bytes(range(256)) * 20_000
    text = base64.b64encode(data).decode()
    body = b'{"image": "' + text.replace("/", "\\/").encode() + b'"}'
    start = time.process_time()
    assert picture_bytes(read(body).pictures[0]) == data
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("start", "piece", "count"),
    [
        ('{"image": "' + '\\"' * 3_000, "a", 8_000_000),  # a text that never ends, and many places it might begin at
        ('{"image": "', "\\\\", 900_000),
        ('{"image": "', "\\", 1_999_999),
        ("{", " ", 8_000_000),
        ('{"image": ', "1", 8_000_000),
        ("", "-", 8_000_000),
    ],
)
def test_bodies_made_to_be_slow_are_not(start: str, piece: str, count: int) -> None:
    body = (start + piece * count).encode()
    begun = time.process_time()
    assert refused(body).name == "request_invalid"
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("picture", ["/etc/passwd", "../a.jpg", "C:\\a.jpg", "a.jpg", "~/a.jpg", "data:,x", "data:x"])
def test_a_path_is_no_picture(picture: str) -> None:
    assert url_of(picture) is None
    with pytest.raises(ServerError, match=r"^request_invalid"):
        picture_bytes(picture)


@pytest.mark.parametrize(
    "picture", ["http://a.test/x.jpg", " https://a.test", "file:///etc/passwd", "ftp://a", "HTTP://A"]
)
def test_urls_are_left_to_the_fetching_room(picture: str) -> None:
    assert url_of(picture) == picture


def spellings(name: str) -> list[str]:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    return [
        spelling for spelling in (snake, name.upper(), name.replace("e", "ee", 1), name[:-1] + "x") if spelling != name
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_typo_of_a_field_is_refused_with_the_right_name(name: str) -> None:
    for spelling in spellings(name):
        error = refused({"image": "AAAA", spelling: None})
        meant = ("image", "images") if name in ("image", "images") else (name,)
        assert any(f"did you mean {one}?" in error.message for one in meant), error.message


@pytest.mark.parametrize(
    "name", ["fileType", "__proto__", "constructor", "return_urls", "extra", "", "x" * 10_000, "图"]
)
def test_a_field_that_nobody_knows_is_ignored(name: str) -> None:
    assert read({"image": "AAAA", name: {"a": [1]}}) == Asked(pictures=("AAAA",))
    if name:
        assert read(b"p", content_type="image/png", query=urlencode({name[:500]: "1"})).pictures == (b"p",)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "image is missing"),
        ({"image": None}, "image is missing"),
        ({"imag": "AAAA"}, "did you mean image?"),
        ({"image": 7}, "image is 7"),
        ({"image": ["AAAA"]}, "image is a list"),
        ({"image": {"url": "x"}}, "image is an object"),
        ({"image": "AAAA", "images": ["AAAA"]}, "image and images stand together"),
        ({"images": []}, "there are 0 pictures"),
        ({"images": "AAAA"}, "images is the text"),
        ({"images": ["AAAA"] * 33}, "there are 33 pictures"),
        ({"images": ["AAAA", None]}, "images[1] is null"),
        ({"image": "AAAA", "detThreshold": True}, "detThreshold is true"),
        ({"image": "AAAA", "detThreshold": "0.5"}, "detThreshold is the text"),
        ({"image": "AAAA", "detThreshold": 1.0001}, "detThreshold is 1.0001"),
        ({"image": "AAAA", "detThreshold": -0.1}, "between 0 and 1"),
        ({"image": "AAAA", "clsThreshold": [0.5, "a"]}, "clsThreshold[1] is the text"),
        ({"image": "AAAA", "clsThreshold": [0.5] * 5000}, "clsThreshold has 5000 numbers"),
        ({"image": "AAAA", "clsThreshold": {"Hat": 0.5}}, "clsThreshold has the key 'Hat'"),
        ({"image": "AAAA", "clsThreshold": {"007": 0.5}}, "clsThreshold has the key '007'"),
        ({"image": "AAAA", "clsThreshold": {"default": 2}}, "clsThreshold[default] is 2"),
        ({"image": "AAAA", "visualize": "true"}, "visualize is the text"),
        ({"image": "AAAA", "details": 1}, "details is 1"),
        ({"image": "AAAA", "labels": "fr"}, "use one of paddle, en, zh, both"),
        ({"image": "AAAA", "labels": ["en"]}, "labels is a list"),
        ({"image": "AAAA", "output": "png"}, "use one of json, image"),
        ({"images": ["AAAA", "AAAA"], "output": "image"}, "several pictures"),
        ({"image": "AAAA", "output": "image", "visualize": False}, "visualize false"),
        (["AAAA"], "the body is a list"),
        ({f"k{i}": 1 for i in range(200)}, "the body has 200 fields"),
    ],
)
def test_what_cannot_be_right_is_said_plainly(body: Any, said: str) -> None:
    error = refused(body)
    assert error.name == "request_invalid"
    assert said in error.message, error.message


def test_a_long_value_is_not_shown_in_full() -> None:
    assert len(refused({"image": "AAAA", "labels": "x" * 1_000_000}).message) < 400


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("detThreshold=high", "detThreshold is the text 'high'"),
        ("detThreshold=0.5&detThreshold=0.6", "detThreshold stands twice"),
        ("det_threshold=0.5", "did you mean detThreshold?"),
        ("visualize=yes", "visualize is the text 'yes'"),
        ("detThreshold=null", "detThreshold is the text 'null'"),
        ("details=", "details is the text ''"),
        ("image=http://a.test/x.jpg", "image stands in the query"),
        ("labels=%ff", "the query cannot be read"),
        ("&".join(f"a{i}=1" for i in range(200)), "the query cannot be read"),
    ],
)
def test_a_query_that_cannot_be_right(query: str, said: str) -> None:
    assert said in refused(b"picture", content_type="image/jpeg", query=query).message


def test_a_field_stands_in_one_place() -> None:
    assert read({"image": "AAAA"}, query="details=true").details
    assert "details stands twice" in refused({"image": "AAAA", "details": True}, query="details=true").message


def test_python_writes_its_booleans_with_a_capital() -> None:
    asked = read(b"p", content_type="image/png", query=urlencode({"details": True, "visualize": False}))
    assert (asked.details, asked.visualize) == (True, False)


def test_null_counts_as_absent() -> None:
    nothing = {field.name: None for field in FIELDS}
    assert read({"image": "AAAA", "images": None, **nothing}) == Asked(pictures=("AAAA",))
    assert read({"image": None, "images": ["AAAA"]}) == Asked(pictures=("AAAA",), several=True)


@pytest.mark.parametrize("log_id", ["x\nforged", "", "a" * 65, 7, None, {"a": 1}, "é"])
def test_a_log_id_that_may_not_stand_in_a_log_is_replaced(log_id: Any) -> None:
    assert unpack(job(json.dumps({"image": "AAAA", "logId": log_id}).encode()), SETTINGS).log_id is None


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", "json"),
        ("Application/JSON ; Charset=UTF-8", "json"),
        ('application/json;charset="utf-8"', "json"),
        ("application/vnd.api+json", "json"),
        ("multipart/form-data; boundary=x", "form"),
        ("image/jpeg", "picture"),
        ("IMAGE/x-unknown", "picture"),
    ],
)
def test_types_of_bodies(content_type: str, kind: str) -> None:
    assert body_kind(content_type) == kind


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "json",
        "application/xml",
    ],
)
def test_other_types_are_refused(content_type: str) -> None:
    with pytest.raises(ServerError, match=r"^unsupported_media_type"):
        body_kind(content_type)


def test_every_example_of_a_field_can_be_read() -> None:
    for name, field in BY_NAME.items():
        assert field.read(name, field.example) is not None
