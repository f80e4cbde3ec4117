"""Interprets the opcodes of a pickle into plain data, for `pdparams`.

A pickle is a program for a small stack machine, and the standard machine can import and call anything. This one has
no such ability: the few names it knows become marks, `REDUCE` and `BUILD` on a mark are recognised patterns that make
a number array from bytes, and every other name, call, attribute or reference outside is `model_unsafe`. There is
nothing in front of a dangerous machine here that could be got round; the dangerous machine is not used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import shown
from .pickle_arrays import NUMBERS, Array, Described, array_of, corrupt, set_order, too_large, unsafe

OPCODES = 1_000_000
MEMO_SLOTS = 1_000_000
MARKS = 100
ARRAYS = 20_000
LINE_BYTES = 1024
DIGITS = 20

_PROTOCOLS = range(6)
# Paddle's own habit for some tensors, and pickle protocol 5, do no harm by themselves; anything could stand there.
_AS_ARRAYS = "save the parameters again as plain arrays (numpy) with protocol 4"


@dataclass(frozen=True, slots=True)
class _Mark:
    """A name that is allowed to stand in the file. It stands for itself: nothing is imported."""

    role: str


_ALLOWED = {
    ("numpy", "dtype"): _Mark("dtype"),
    ("numpy", "ndarray"): _Mark("ndarray"),
    ("numpy.core.multiarray", "_reconstruct"): _Mark("reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"): _Mark("reconstruct"),
    ("_codecs", "encode"): _Mark("encode"),
    ("builtins", "tuple"): _Mark("tuple"),
    ("__builtin__", "tuple"): _Mark("tuple"),  # how protocol 2 spells the line above
    ("collections", "OrderedDict"): _Mark("mapping"),
}


def interpret(data: bytes) -> Any:
    """The value of a pickle as plain data: dict, list, tuple, text, numbers, bytes, and `Array`.

    Containers may hold each other in any way, so whoever walks them bounds the walk.

    Raises:
        ModelError: `model_unsafe`, `model_corrupt`, `model_too_large`.
    """
    machine = _Machine(memoryview(data))
    for _ in range(OPCODES):
        code = machine.take(1)[0]
        if code == ord("."):
            result = machine.pop()
            if machine.at != len(data):
                raise unsafe(f"goes on for {len(data) - machine.at} bytes after its end")
            return result
        step = _STEPS.get(code)
        if step is None:
            raise corrupt(f"unknown opcode 0x{code:02x} at byte {machine.at - 1}")
        step(machine)
    raise too_large(f"the pickle has over {OPCODES} opcodes")


class _Machine:
    """Stack, marks and memo of one pickle, and the place in the file."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.arrays = 0
        self.encoded_bytes = 0

    # bytes

    def take(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.data) - self.at:
            raise corrupt(f"{size} bytes wanted at byte {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """A text argument that ends with its line."""
        end = bytes(self.data[self.at : self.at + LINE_BYTES + 1]).find(b"\n")
        if end < 0:
            raise corrupt(f"a line of over {LINE_BYTES} bytes, or none, at byte {self.at}")
        raw = bytes(self.take(end + 1)[:-1])
        return _text(raw)

    # stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise corrupt("a value is wanted from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise corrupt("a value is wanted from an empty stack")
        return self.stack[-1]

    def mark(self) -> None:
        if len(self.marks) >= MARKS:
            raise corrupt(f"nested beyond {MARKS} levels")
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise corrupt("a mark is wanted where none is set")
        values, self.stack = self.stack, self.marks.pop()
        return values

    # memo

    def put(self, index: int) -> None:
        if not 0 <= index < MEMO_SLOTS:
            raise too_large(f"the pickle uses memo slot {index}, the limit is {MEMO_SLOTS}")
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise corrupt(f"memo slot {index} is empty")
        self.push(self.memo[index])

    # containers

    def fill(self, pairs: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise corrupt("items are put into something that is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, (str, int, float, bytes, type(None))):
                raise corrupt("a key that is no text")
            target[key] = value

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise corrupt("items are put into something that is no list")
        target.extend(values)

    def tuple_of(self, size: int) -> None:
        values = [self.pop() for _ in range(size)]
        self.push(tuple(reversed(values)))

    # names and what they stand for

    def name(self, module: Any, attribute: Any) -> None:
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise unsafe("builds a name from something else than text")
        found = _ALLOWED.get((module, attribute))
        if found is None:
            full = f"{module}.{attribute}"
            habit = full in ("builtins.eval", "__builtin__.eval") or full.endswith("numeric._frombuffer")
            raise unsafe(f"asks for {shown(full)}", hint=_AS_ARRAYS if habit else "do not use this file")
        self.push(found)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Mark):
            raise unsafe("calls something that is no known name")
        if not isinstance(arguments, tuple):
            raise corrupt("a call without arguments")
        self.push(self.made(function.role, arguments))

    def made(self, role: str, arguments: tuple[Any, ...]) -> Any:
        if role == "mapping" and not arguments:
            return {}
        if role == "tuple" and len(arguments) == 1 and isinstance(arguments[0], tuple):
            return arguments[0]
        if role == "encode" and len(arguments) == 2 and isinstance(arguments[0], str):
            if arguments[1] not in ("latin1", "latin-1"):
                # never show a value that may be a container: a tuple doubled sixty times has no end
                codec = shown(arguments[1], 40) if isinstance(arguments[1], str) else "something"
                raise unsafe(f"encodes with {codec}, only latin1 is known")
            return self.encoded(arguments[0])
        if role == "dtype" and 1 <= len(arguments) <= 3 and isinstance(arguments[0], str):
            if arguments[0] not in NUMBERS:
                raise corrupt(f"an array of the type {shown(arguments[0], 40)}, only plain numbers are read")
            return Described(arguments[0])
        if role == "reconstruct" and len(arguments) == 3 and arguments[0] == _ALLOWED["numpy", "ndarray"]:
            self.arrays += 1
            if self.arrays > ARRAYS:
                raise too_large(f"the pickle has over {ARRAYS} arrays")
            return Array()
        raise unsafe(f"uses a known name ({role}) in an unknown way")

    def encoded(self, text: str) -> bytes:
        """Bytes that protocol 2 writes as text; together never more than the file, whatever is used again."""
        try:
            raw = text.encode("latin1")
        except UnicodeEncodeError:
            raise corrupt("bytes with values over 255") from None
        self.encoded_bytes += len(raw)
        if self.encoded_bytes > len(self.data):
            raise corrupt("the same bytes are used again and again")
        return raw

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if isinstance(target, Described) and isinstance(state, tuple):
            set_order(target, state)
        elif isinstance(target, Array) and isinstance(state, tuple):
            if target.value is not None:
                raise corrupt("an array is given twice")
            target.value = array_of(state)
        else:
            raise unsafe("sets attributes of an object")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise corrupt("a text that is not UTF-8") from None


# --- opcodes ------------------------------------------------------------------------------------------------------


def _protocol(m: _Machine) -> None:
    if (version := m.number("<B")) not in _PROTOCOLS:
        raise corrupt(f"pickle protocol {version}")


def _frame(m: _Machine) -> None:
    if (size := m.number("<Q")) > len(m.data) - m.at:
        raise corrupt(f"a frame of {size} bytes")


def _long(m: _Machine, form: str) -> None:
    if (size := m.number(form)) < 0 or size > 8:
        raise corrupt(f"a number of {size} bytes")
    m.push(int.from_bytes(m.take(size), "little", signed=True))


def _decimal(m: _Machine) -> int:
    text = m.line().removesuffix("L")
    if not text.lstrip("-").isdecimal() or not text.isascii() or len(text) > DIGITS:
        raise corrupt("a number that is no number")
    return int(text)


def _float_line(m: _Machine) -> None:
    text = m.line()
    try:
        m.push(float(text[:40]))
    except ValueError:
        raise corrupt("a number that is no number") from None


def _string_line(m: _Machine) -> None:
    text = m.line()
    if len(text) < 2 or text[0] not in "'\"" or text[0] != text[-1] or "\\" in text:
        raise corrupt("a text without its quotes")
    m.push(text[1:-1])


def _text_line(m: _Machine) -> None:
    text = m.line()
    if "\\" in text or not text.isascii():
        raise corrupt("a text with escapes, which only protocols 0 and 1 write")
    m.push(text)


def _pop(m: _Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.since_mark()


def _raw_text(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(_text(bytes(m.take(m.number(form)))))


def _raw_bytes(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.take(m.number(form)))


def _pushes(form: str) -> Callable[[_Machine], None]:
    return lambda m: m.push(m.number(form))


def _refused(what: str) -> Callable[[_Machine], None]:
    def step(m: _Machine) -> None:
        raise unsafe(what)

    return step


def _setitem(m: _Machine) -> None:
    value, key = m.pop(), m.pop()
    m.fill([key, value])


def _append(m: _Machine) -> None:
    value = m.pop()
    m.extend([value])


def _dict(m: _Machine) -> None:
    pairs = m.since_mark()
    m.push({})
    m.fill(pairs)


def _stack_global(m: _Machine) -> None:
    attribute, module = m.pop(), m.pop()
    m.name(module, attribute)


def _items(m: _Machine, fill: Callable[[list[Any]], None]) -> None:
    values = m.since_mark()
    fill(values)


_STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: _protocol,
    0x95: _frame,
    ord("("): _Machine.mark,
    ord("0"): _pop,
    ord("1"): lambda m: _items(m, lambda values: None),
    ord("2"): lambda m: m.push(m.top()),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): _pushes("<B"),
    ord("M"): _pushes("<H"),
    ord("J"): _pushes("<i"),
    ord("G"): _pushes(">d"),
    0x8A: lambda m: _long(m, "<B"),
    0x8B: lambda m: _long(m, "<i"),
    ord("I"): lambda m: m.push(_decimal(m)),
    ord("L"): lambda m: m.push(_decimal(m)),
    ord("F"): _float_line,
    ord("S"): _string_line,
    ord("V"): _text_line,
    0x8C: _raw_text("<B"),
    ord("X"): _raw_text("<I"),
    0x8D: _raw_text("<Q"),
    ord("C"): _raw_bytes("<B"),
    ord("B"): _raw_bytes("<I"),
    0x8E: _raw_bytes("<Q"),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.since_mark()),
    ord("a"): _append,
    ord("e"): lambda m: _items(m, m.extend),
    ord("}"): lambda m: m.push({}),
    ord("d"): _dict,
    ord("s"): _setitem,
    ord("u"): lambda m: _items(m, m.fill),
    ord("h"): lambda m: m.get(m.number("<B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    ord("g"): lambda m: m.get(_decimal(m)),
    ord("q"): lambda m: m.put(m.number("<B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    ord("p"): lambda m: m.put(_decimal(m)),
    0x94: lambda m: m.put(len(m.memo)),
    ord("c"): lambda m: m.name(m.line(), m.line()),
    0x93: _stack_global,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
    ord("i"): lambda m: _refused(f"makes an object of {shown(m.line())}.{shown(m.line())}")(m),
    ord("o"): _refused("makes an object"),
    0x81: _refused("makes an object"),
    0x92: _refused("makes an object"),
    ord("P"): _refused("refers to an object outside"),
    ord("Q"): _refused("refers to an object outside"),
    0x82: _refused("refers to a registered extension"),
    0x83: _refused("refers to a registered extension"),
    0x84: _refused("refers to a registered extension"),
    0x97: _refused("refers to a buffer outside"),
}
