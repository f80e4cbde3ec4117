"""What every reader of model files does at its door: size, plainly foreign content, one shape of error.

Readers raise `ModelError` without an input deep inside; `located` adds the input once, at the public function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown

WEIGHT_BYTES = 1 << 30
TENSOR_VALUES = 1 << 31
TENSOR_DIMENSIONS = 8
NAME_BYTES = 1024
NAMES_LISTED = 10
AGAIN = "get the file again"


@contextmanager
def located(input: str | None) -> Iterator[None]:
    """Add the input to a `ModelError` raised inside that does not name one yet."""
    try:
        yield
    except ModelError as error:
        if error.input is not None or input is None:
            raise
        raise ModelError(error.name, error.happened, input=input, hint=error.hint) from None


def check_content(data: bytes, *, limit: int, due: str) -> None:
    """Refuse what is too large, empty, or plainly another kind of file.

    Args:
        data: the whole file.
        limit: most bytes allowed.
        due: what the file should have been, for the message, for example "a .pdparams file".
    Raises:
        ModelError: `model_too_large`, `model_corrupt` (empty, an HTML page) or `model_unsupported` (a zip).
    """
    if len(data) > limit:
        raise ModelError("model_too_large", f"{len(data)} bytes, the limit for {due} is {limit}")
    if not data:
        raise ModelError("model_corrupt", f"the file is empty, not {due}", hint=AGAIN)
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        hint = "give Paddle's own files or one of our .onnx files"
        raise ModelError("model_unsupported", f"a zip (what torch.save writes), not {due}", hint=hint)
    if re.match(rb"\s*<(?:!doctype|html|\?xml|head|body)", data[:512], re.IGNORECASE):
        raise ModelError(
            "model_corrupt", f"a web page (HTML), not {due}", hint="download the file itself, not its page"
        )


def check_name(name: str) -> str:
    """A parameter's name that is fit to be used and shown: not empty, at most 1024 bytes, printable."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if not name or size > NAME_BYTES:
        raise ModelError(
            "model_corrupt", f"a parameter name of {size} bytes, allowed are 1 to {NAME_BYTES}", hint=AGAIN
        )
    if not name.isprintable():
        raise ModelError("model_corrupt", f"the parameter name {shown(name)} has control characters", hint=AGAIN)
    return name


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Refuse an array with NaN or infinity; the message names it and counts."""
    if array.dtype.kind != "f":
        return
    wrong = int(array.size - np.count_nonzero(np.isfinite(array)))
    if wrong:
        raise ModelError(
            "model_not_finite",
            f"parameter {shown(name)} has {wrong} of {array.size} values that are NaN or infinite",
            hint="use an earlier checkpoint",
        )
