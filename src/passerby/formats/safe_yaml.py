"""YAML text to plain data, with nothing in between that could act.

Only PyYAML's parser is used: its events are counted (depth, nodes, aliases as often as they are used) while our own
tree is composed, and plain data is built from that tree. No loader, no constructor, no tags beyond the YAML core,
so a document can name no class and no function. Fed by `config` (pipelines) and `inference_yml` (model folders);
each turns a `YamlProblem` into its own named error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import yaml

from ..errors import shown

PlainPath: TypeAlias = tuple[Any, ...]
"""Keys and list places from the root to a value."""

CORE_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "seq", "map")}
NUMBER_CHARACTERS = 400

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"yes|Yes|YES|true|True|TRUE|on|On|ON")
_FALSE = re.compile(r"no|No|NO|false|False|FALSE|off|Off|OFF")
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*)")
_REAL = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+"  # 8e-4 too, which YAML 1.1 alone would read as text
    r"|[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlLimits:
    """What a document may cost: bytes of the file, nested levels, nodes with every use of an alias counted."""

    bytes: int = 1 << 20
    levels: int = 32
    nodes: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A document as plain data.

    Attributes:
        value: None, bool, int, float, str, list or dict of these; keys are scalars.
        lines: for the path of every value, the line (from 1) of its key, or of itself in a list; the root is `()`.
    """

    value: Any
    lines: dict[PlainPath, int]


class YamlProblem(Exception):
    """Why a document was refused; internal, each caller wraps it into its own error.

    Attributes:
        kind: "unreadable" (the bytes are no text of allowed size) or "invalid" (text, but no acceptable YAML).
        text: what is wrong, fit to be shown, without the line.
        line: line from 1, or None.
        path: keys to the place where known, else ().
    """

    def __init__(
        self, kind: Literal["unreadable", "invalid"], text: str, line: int | None = None, path: PlainPath = ()
    ) -> None:
        super().__init__(text if line is None else f"{text}, line {line}")
        self.kind = kind
        self.text = text
        self.line = line
        self.path = path


@dataclass(slots=True)
class _Node:
    line: int
    kind: Literal["scalar", "list", "mapping"]
    tag: str | None = None
    text: str = ""
    plain: bool = False
    items: list[_Node] = field(default_factory=list)  # of a mapping: key, value, key, value ...
    size: int = 1
    closed: bool = True


def load_yaml(data: bytes, *, limits: YamlLimits | None = None) -> Loaded:
    """Read one YAML document as plain data.

    Numbers are those of YAML 1.1 plus forms like `8e-4`; dates stay text; merge keys work.

    Args:
        data: UTF-8, or UTF-16 with a byte order mark.
        limits: bounds on size; None means the defaults.
    Raises:
        YamlProblem: too large, no text, no YAML, empty, several documents, a tag beyond the core, a key twice, a key
            that is no scalar, too deep, too many nodes, a recursive or unknown alias.
    >>> load_yaml(b"a: [1, 8e-4, yes, null]").value
    {'a': [1, 0.0008, True, None]}
    """
    limits = limits or YamlLimits()
    if len(data) > limits.bytes:
        raise YamlProblem("unreadable", f"the file has {len(data)} bytes, the limit is {limits.bytes}")
    root = _compose(_decoded(data), limits)
    lines: dict[PlainPath, int] = {(): root.line}
    return Loaded(value=_value(root, (), lines), lines=lines)


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as reason:
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        line = data.count(b"\n", 0, reason.start) + 1
        raise YamlProblem("unreadable", f"byte {reason.start} is not {name} text", line) from None


def _events(text: str) -> Iterator[yaml.Event]:
    """The parser's events; whatever it raises becomes a YamlProblem."""
    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as reason:
        line = text.count("\n", 0, reason.position) + 1
        raise YamlProblem("unreadable", f"a control character ({reason.character:#x}) in the text", line) from None
    except yaml.MarkedYAMLError as reason:
        mark = reason.problem_mark if reason.problem_mark is not None else reason.context_mark
        said = shown(" ".join(filter(None, (reason.context, reason.problem))), 160)
        if mark is None:
            raise YamlProblem("invalid", f"no YAML: {said}") from None
        raise YamlProblem("invalid", f"no YAML: {said} (column {mark.column + 1})", mark.line + 1) from None
    except (yaml.YAMLError, ValueError, OverflowError) as reason:
        # an escape beyond Unicode or a version number of thousands of digits ends in a bare ValueError
        raise YamlProblem("invalid", f"no YAML: {shown(reason)}") from None


def _compose(text: str, limits: YamlLimits) -> _Node:
    """Our own tree of the only document, every event counted before it is kept."""
    root: _Node | None = None
    open_nodes: list[_Node] = []
    anchors: dict[str, _Node] = {}
    total = 0
    for event in _events(text):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.CollectionEndEvent):
            done = open_nodes.pop()
            done.closed = True
            done.size = 1 + sum(item.size for item in done.items)
            continue
        if not isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise YamlProblem("invalid", "the file must hold one document, a second one starts", line)
            continue
        node = _known(event, anchors, line) if isinstance(event, yaml.AliasEvent) else _new(event, line)
        total += node.size
        if total > limits.nodes:
            raise YamlProblem(
                "invalid", f"over {limits.nodes} values when every alias is counted as often as it is used", line
            )
        if open_nodes:
            open_nodes[-1].items.append(node)
        else:
            root = node
        if isinstance(event, yaml.AliasEvent):
            continue
        if event.anchor is not None:
            anchors[event.anchor] = node
        if not node.closed:
            open_nodes.append(node)
            if len(open_nodes) > limits.levels:
                raise YamlProblem("invalid", f"nested beyond the allowed depth of {limits.levels} levels", line)
    if root is None:
        raise YamlProblem("invalid", "the file is empty")
    return root


def _known(event: yaml.AliasEvent, anchors: dict[str, _Node], line: int) -> _Node:
    node = anchors.get(event.anchor or "")
    if node is None:
        raise YamlProblem("invalid", f"the alias *{shown(event.anchor)} has no anchor before it", line)
    if not node.closed:
        raise YamlProblem("invalid", f"the alias *{shown(event.anchor)} stands inside its own anchor", line)
    return node


def _new(event: yaml.NodeEvent, line: int) -> _Node:
    tag: str | None = getattr(event, "tag", None)
    name = CORE_TAGS.get(tag, "") if tag is not None and tag != "!" else None
    if name == "":
        raise YamlProblem("invalid", f"the tag {shown(tag)} is refused, only plain YAML is read", line)
    if isinstance(event, yaml.ScalarEvent):
        if any("\ud800" <= c <= "\udfff" for c in event.value):
            raise YamlProblem("invalid", "an escape that is no character", line)
        name = "str" if tag == "!" else name
        node = _Node(line, "scalar", name, event.value, event.style is None)
        fits = name not in ("seq", "map")
    elif isinstance(event, yaml.SequenceStartEvent):
        node = _Node(line, "list", name, closed=False)
        fits = name in (None, "seq")
    else:
        node = _Node(line, "mapping", name, closed=False)
        fits = name in (None, "map")
    if not fits:
        raise YamlProblem("invalid", f"the tag {shown(tag)} does not fit what it stands on", line)
    return node


def _value(node: _Node, path: PlainPath, lines: dict[PlainPath, int]) -> Any:
    """Plain data of a node; an alias is built anew at each use, so nothing is shared."""
    if node.kind == "scalar":
        return _scalar(node, path)
    if node.kind == "list":
        values = []
        for place, item in enumerate(node.items):
            lines[(*path, place)] = item.line
            values.append(_value(item, (*path, place), lines))
        return values
    return _mapping(node, path, lines)


def _mapping(node: _Node, path: PlainPath, lines: dict[PlainPath, int]) -> dict[Any, Any]:
    built: dict[Any, Any] = {}
    merged: list[_Node] = []
    for key_node, value_node in zip(node.items[::2], node.items[1::2], strict=True):
        if key_node.kind != "scalar":
            text = f"a key must be a word or a number, not a {key_node.kind}"
            raise YamlProblem("invalid", text, key_node.line, path)
        if key_node.text == "<<" and key_node.plain:
            merged.append(value_node)
            continue
        key = _scalar(key_node, path)
        if key in built:
            first = lines[(*path, key)]
            raise YamlProblem(
                "invalid", f"the key {shown(key)} stands twice, first in line {first}", key_node.line, (*path, key)
            )
        lines[(*path, key)] = key_node.line
        built[key] = _value(value_node, (*path, key), lines)
    for value_node in merged:
        _merge(value_node, built, path, lines)
    return built


def _merge(node: _Node, built: dict[Any, Any], path: PlainPath, lines: dict[PlainPath, int]) -> None:
    """Add what a merge key `<<` brings; keys that stand in the mapping itself win, then earlier ones."""
    for source in node.items if node.kind == "list" else [node]:
        if source.kind != "mapping":
            raise YamlProblem("invalid", "a merge key << needs a mapping", source.line, path)
        inner: dict[PlainPath, int] = {}
        brought = {k: v for k, v in _mapping(source, path, inner).items() if k not in built}
        built.update(brought)
        lines.update({p: n for p, n in inner.items() if p[len(path)] in brought})


def _scalar(node: _Node, path: PlainPath) -> Any:
    if node.tag is None and not node.plain:
        return node.text
    wanted = node.tag
    if wanted == "str":
        return node.text
    value = _resolved(node, path)
    fits = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}
    if wanted is not None and (
        not isinstance(value, fits[wanted]) or (isinstance(value, bool) and wanted != "bool")  # type: ignore[arg-type]
    ):
        raise YamlProblem("invalid", f"{shown(node.text)} does not fit its tag !!{wanted}", node.line, path)
    return float(value) if wanted == "float" else value


def _resolved(node: _Node, path: PlainPath) -> Any:
    """What a plain scalar means under YAML 1.1; text that is nothing else stays text."""
    text = node.text
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if text[0] not in "+-.0123456789":
        return text
    whole = _INTEGER.fullmatch(text)
    if not whole and not _REAL.fullmatch(text):
        return text
    if len(text) > NUMBER_CHARACTERS:
        raise YamlProblem("invalid", f"a number of {len(text)} characters", node.line, path)
    try:
        return _integer(text) if whole else _real(text)
    except (ValueError, OverflowError):
        return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").replace("_", "")
    if digits.startswith(("0b", "0x")):
        return sign * int(digits[2:], 2 if digits[1] == "b" else 16)
    if digits[0] == "0" and len(digits) > 1:
        return sign * int(digits, 8)
    total = 0
    for part in digits.split(":"):  # 1:30 is ninety in YAML 1.1
        total = total * 60 + int(part)
    return sign * total


def _real(text: str) -> float:
    sign = -1.0 if text[0] == "-" else 1.0
    digits = text.lstrip("+-").replace("_", "").lower()
    if digits in (".inf", ".nan"):
        return sign * math.inf if digits == ".inf" else math.nan
    total = 0.0
    for part in digits.split(":"):
        total = total * 60.0 + float(part)
    return sign * total
