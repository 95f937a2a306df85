"""Reads pickles that hold arrays and plain containers, and runs nothing that is in them.

CIFAR is published as pickles, and a pickle is a program: Python's own ``pickle`` calls what the file
names. This is a stack machine of its own for the part of the language that such files use. A name is
compared with a short list and never imported; arrays are built here, from their bytes, not by NumPy's
pickle functions. What a file can make it spend is bounded: operations by MAX_OPERATIONS, bytes by the
size of the file.

The language: https://github.com/python/cpython/blob/3.11/Lib/pickletools.py
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.info import refusal
from study.errors import shorten

# Seven times what the largest published file has (CIFAR-100's training images: about 300,000).
MAX_OPERATIONS = 2_000_000
MAX_DIMENSIONS = 4
RULE = "a file of images holds arrays and plain containers only"
WAY_OUT = "nothing in it was run; do not trust where it came from"

_ADMITTED = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy._core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): "frombuffer",
    ("_codecs", "encode"): "encode",  # how Python 3 writes bytes in protocol 2
}
_NUMERIC = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


class _Refused(Exception):
    """The file is not a pickle of arrays and plain containers; says why."""


class _Damaged(Exception):
    """The file is not a whole pickle; says why."""


@dataclass(frozen=True)
class _Name:
    """One of the admitted names, as a mere word."""

    word: str


@dataclass
class _Type:
    """An element type; its byte order arrives after its creation."""

    dtype: np.dtype[np.generic]


@dataclass
class _Array:
    """An array; its content arrives after its creation."""

    content: NDArray[np.generic] | None = None


def read_pickle(data: bytes, place: str) -> dict[str, object]:
    """The dictionary that ``data`` holds, its byte keys as text; arrays among its values are read-only.

    Python 2's and Python 3's binary protocols are read; Python 2's strings come as bytes. DataError,
    naming ``place``, on anything else.
    """
    machine = _Machine(data)
    try:
        content = machine.run()
    except _Refused as error:
        raise refusal(place, f"{RULE}, not {error} (byte {machine.position})", WAY_OUT) from None
    except _Damaged as error:
        raise refusal(place, f"damaged pickle: {error} (byte {machine.position})", "fetch it again") from None
    return {_text(key): _unwrapped(value) for key, value in content.items()}


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _unwrapped(value: object) -> object:
    return value.content if isinstance(value, _Array) else value


class _Machine:
    """The stack, the marks and the memo of a pickle that is being read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.encoded = 0

    def run(self) -> dict[object, object]:
        for _ in range(MAX_OPERATIONS):
            (code,) = self.take(1)
            if code == _STOP:
                return self.result()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise _Refused(f"the operation {shorten(bytes([code]))}")
            operation(self)
        raise _Refused(f"more than {MAX_OPERATIONS} operations")

    def result(self) -> dict[object, object]:
        content = self.pop()
        if not isinstance(content, dict):
            raise _Refused(f"a {_kind(content)} in place of the dictionary")
        return content

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise _Damaged("it ends too early")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, self.position + 200)
        if end < 0:
            raise _Damaged("a name has no end")
        return self.take(end + 1 - self.position)[:-1].decode("latin-1")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise _Damaged("a value is missing")
        return self.stack.pop()

    def top(self) -> object:
        value = self.pop()
        self.stack.append(value)
        return value

    def since_mark(self) -> list[object]:
        if not self.marks:
            raise _Damaged("a mark is missing")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _skip(size: int) -> Callable[[_Machine], None]:
    def skip(machine: _Machine) -> None:
        machine.take(size)

    return skip


# Values --------------------------------------------------------------------------------------------


def _constant(value: object) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value)


def _integer(size: int, signed: bool) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.number(size, signed))


def _long(machine: _Machine) -> None:
    machine.push(machine.number(machine.number(1), signed=True))


def _bytes(size: int) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(size)))


def _unicode(size: int) -> Callable[[_Machine], None]:
    def push(machine: _Machine) -> None:
        try:
            machine.push(machine.take(machine.number(size)).decode("utf-8"))
        except UnicodeDecodeError:
            raise _Damaged("a text is not UTF-8") from None

    return push


# Containers ----------------------------------------------------------------------------------------


def _mark(machine: _Machine) -> None:
    machine.marks.append(len(machine.stack))


def _empty_list(machine: _Machine) -> None:
    machine.push([])


def _empty_dict(machine: _Machine) -> None:
    machine.push({})


def _tuple(size: int) -> Callable[[_Machine], None]:
    def push(machine: _Machine) -> None:
        machine.push(tuple(reversed([machine.pop() for _ in range(size)])))

    return push


def _marked_tuple(machine: _Machine) -> None:
    machine.push(tuple(machine.since_mark()))


def _append(machine: _Machine) -> None:
    _extend(machine, [machine.pop()])


def _appends(machine: _Machine) -> None:
    _extend(machine, machine.since_mark())


def _extend(machine: _Machine, items: list[object]) -> None:
    target = machine.top()
    if not isinstance(target, list):
        raise _Refused(f"items added to a {_kind(target)}")
    target.extend(items)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _update(machine, [key, value])


def _set_items(machine: _Machine) -> None:
    _update(machine, machine.since_mark())


def _update(machine: _Machine, items: list[object]) -> None:
    target = machine.top()
    if not isinstance(target, dict) or len(items) % 2:
        raise _Refused(f"entries added to a {_kind(target)}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Text alone: hashing a crafted tuple can take for ever.
        if not isinstance(key, (bytes, str)):
            raise _Refused(f"a {_kind(key)} as the key of an entry")
        target[key] = value


# Memo ----------------------------------------------------------------------------------------------


def _put(size: int) -> Callable[[_Machine], None]:
    def put(machine: _Machine) -> None:
        machine.memo[machine.number(size)] = machine.top()

    return put


def _memoize(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.top()


def _get(size: int) -> Callable[[_Machine], None]:
    def get(machine: _Machine) -> None:
        index = machine.number(size)
        if index not in machine.memo:
            raise _Damaged("it refers to a value that it does not have")
        machine.push(machine.memo[index])

    return get


# Names, and what they may build ----------------------------------------------------------------------


def _global(machine: _Machine) -> None:
    _name(machine, machine.line(), machine.line())


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not (isinstance(module, str) and isinstance(name, str)):
        raise _Damaged("a name is not text")
    _name(machine, module, name)


def _name(machine: _Machine, module: str, name: str) -> None:
    word = _ADMITTED.get((module, name))
    if word is None:
        raise _Refused(f"the name {shorten(f'{module}.{name}')}")
    machine.push(_Name(word))


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise _Refused(f"a call of a {_kind(function)}")
    build = {"dtype": _new_type, "reconstruct": _new_array, "frombuffer": _buffer, "encode": _encode}
    if function.word not in build:
        raise _Refused(f"a call of {function.word}")
    machine.push(build[function.word](machine, arguments))


def _new_type(machine: _Machine, arguments: tuple[object, ...]) -> _Type:
    code = _ascii(arguments[0]) if arguments else ""
    if code not in _NUMERIC:
        raise _Refused("an array of other things than numbers")
    return _Type(np.dtype(code))


def _new_array(machine: _Machine, arguments: tuple[object, ...]) -> _Array:
    if not (len(arguments) == 3 and arguments[0] == _Name("ndarray") and _is_shape(arguments[1])):
        raise _Refused("an array made in an unknown way")
    return _Array()


def _buffer(machine: _Machine, arguments: tuple[object, ...]) -> _Array:
    if len(arguments) != 4:
        raise _Refused("an array made in an unknown way")
    raw, kind, shape, order = arguments
    return _Array(_filled(raw, kind, shape, fortran=_ascii(order) == "F"))


def _encode(machine: _Machine, arguments: tuple[object, ...]) -> bytes:
    if len(arguments) != 2 or not isinstance(arguments[0], str) or _ascii(arguments[1]) != "latin1":
        raise _Refused("a text in an unknown encoding")
    # A memoised text could be encoded over and over; no honest file encodes more than it is long.
    machine.encoded += len(arguments[0])
    if machine.encoded > len(machine.data):
        raise _Refused("the same text encoded over and over")
    try:
        return arguments[0].encode("latin-1")
    except UnicodeEncodeError:
        raise _Damaged("bytes are not bytes") from None


def _build(machine: _Machine) -> None:
    state, target = machine.pop(), machine.top()
    if not isinstance(state, tuple):
        raise _Refused(f"the state of a {_kind(target)}")
    if isinstance(target, _Type):
        _order_bytes(target, state)
    elif isinstance(target, _Array) and target.content is None and len(state) == 5:
        _version, shape, kind, fortran, raw = state
        target.content = _filled(raw, kind, shape, fortran=fortran is True or fortran == 1)
    else:
        raise _Refused(f"the state of a {_kind(target)}")


def _order_bytes(target: _Type, state: tuple[object, ...]) -> None:
    """A dtype's state: version, byte order, no subarray, no names, no fields, sizes and flags of none."""
    if len(state) != 8 or any(part is not None for part in state[2:5]) or state[7] != 0:
        raise _Refused("an array of other things than numbers")
    match _ascii(state[1]):
        case "<" | ">" | "=" | "|" as order:
            target.dtype = target.dtype.newbyteorder(order)
        case _:
            raise _Refused("an array of unknown byte order")


def _filled(raw: object, kind: object, shape: object, fortran: bool) -> NDArray[np.generic]:
    if not isinstance(raw, bytes) or not isinstance(kind, _Type) or not _is_shape(shape):
        raise _Refused("an array of other things than numbers")
    if math.prod(shape) * kind.dtype.itemsize != len(raw):
        raise _Damaged(f"an array has {len(raw)} bytes, which is not what its shape says")
    return np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if fortran else "C")


def _is_shape(value: object) -> TypeGuard[tuple[int, ...]]:
    if not isinstance(value, tuple) or len(value) > MAX_DIMENSIONS:
        return False
    return all(isinstance(size, int) and 0 <= size < 2**40 for size in value)


def _ascii(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _kind(value: object) -> str:
    """The type of a value; never its content, which a crafted file can make endless."""
    return {_Name: "name", _Array: "array", _Type: "number type"}.get(type(value), type(value).__name__)


_STOP = ord(".")
_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _skip(1),  # the protocol
    0x95: _skip(8),  # the length of a frame
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("K"): _integer(1, signed=False),
    ord("M"): _integer(2, signed=False),
    ord("J"): _integer(4, signed=True),
    0x8A: _long,
    ord("U"): _bytes(1),  # Python 2's str
    ord("T"): _bytes(4),
    ord("C"): _bytes(1),  # Python 3's bytes
    ord("B"): _bytes(4),
    0x8E: _bytes(8),
    0x96: _bytes(8),  # a bytearray
    0x8C: _unicode(1),
    ord("X"): _unicode(4),
    0x8D: _unicode(8),
    ord("("): _mark,
    ord("]"): _empty_list,
    ord("}"): _empty_dict,
    ord(")"): _constant(()),
    ord("t"): _marked_tuple,
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("a"): _append,
    ord("e"): _appends,
    ord("s"): _set_item,
    ord("u"): _set_items,
    ord("q"): _put(1),
    ord("r"): _put(4),
    0x94: _memoize,
    ord("h"): _get(1),
    ord("j"): _get(4),
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("b"): _build,
}
