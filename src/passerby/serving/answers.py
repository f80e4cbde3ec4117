# SPDX-License-Identifier: Apache-2.0
"""The envelope of every answer, good or bad, as bytes ready to be sent; what a result holds is in `pedestrians`.

The front uses this too, so nothing here loads what computes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..errors import PasserbyError

JSON_TYPE = "application/json"
LOG_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def valid_log_id(value: object) -> bool:
    """Whether a client's logId may stand in answers and logs: 1 to 64 of `A-Z a-z 0-9 . _ -`."""
    return isinstance(value, str) and LOG_ID.fullmatch(value) is not None


def error_body(log_id: str, error: PasserbyError) -> bytes:
    """The body of every answer that is no result, JSON in UTF-8; its status is `error.http_status`.

    >>> from passerby.errors import ServerError
    >>> error_body("a1", ServerError("not_found", "there is nothing here"))
    b'{"logId":"a1","errorCode":404,"errorMsg":"not_found: there is nothing here"}'
    """
    return json_bytes({"logId": log_id, "errorCode": error.http_status, "errorMsg": error.message})


def result_body(log_id: str, result: Any) -> bytes:
    """The body of a successful answer, JSON in UTF-8, keys in the original's order."""
    return json_bytes({"logId": log_id, "result": result, "errorCode": 0, "errorMsg": "Success"})


def json_bytes(value: Any) -> bytes:
    """Compact JSON in UTF-8 without `<`, so that nothing in it is markup wherever it ends up.

    Raises:
        ValueError: a number that JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").encode("utf-8")
