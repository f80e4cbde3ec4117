# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the JSON files of data sets and labelling tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import shown
from ..formats.strict_json import MOST, load_json
from .problems import Findings, Place
from .text_files import LIST_LEVELS, read_list

# the size of the file is the limit: names in Chinese are written with six backslashes a sign by most tools
LIST_MOST = {**MOST, b"\\": 1 << 28, b'"': 1 << 26, b",": 1 << 26, b"[": 1 << 24, b"]": 1 << 24}


def read_json(root: Path, name: str, findings: Findings) -> Any:
    """The document in a file of a data set; None where it is no strict JSON, which is a finding then."""
    data = read_list(root, name, findings)
    if data is None:
        return None
    try:
        body = load_json(data, levels=LIST_LEVELS, most=LIST_MOST)
    except ValueError as error:
        findings.add(Place(file=name), shown(error, 160))
        return None
    except RecursionError:
        findings.add(Place(file=name), "is nested beyond the depth that can be read")
        return None
    if body is None:
        findings.add(Place(file=name), "holds nothing but null")
    return body


def json_bytes(value: Any) -> bytes:
    """UTF-8 text of lists and mappings as every tool reads it."""
    try:
        return _text(value, ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # half a sign, which only an escape can say
        return _text(value, ascii=True).encode("ascii")


def _text(value: Any, *, ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii, separators=(",", ":"), allow_nan=False) + "\n"
