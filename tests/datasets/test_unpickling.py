"""Pickles of arrays are read; pickles of anything else are refused, and nothing in them runs."""

from __future__ import annotations

import os
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.components.datasets.unpickling import MAX_OPERATIONS, read_pickle
from study.errors import DataError
from tests.datasets.published import Pickler2

IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 6)


def call(function: str, arguments: bytes) -> bytes:
    """A pickle of {"data": function(*arguments)}, ``arguments`` being the operations of a tuple."""
    module, _, name = function.rpartition(".")
    return b"\x80\x02}U\x04datac" + f"{module}\n{name}\n".encode() + arguments + b"Rs."


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def array_of(dtype: bytes, state: bytes) -> bytes:
    """A pickled array whose element type and state are given as operations."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return b"\x80\x02}U\x04data" + made + b"(K\x01K\x04\x85" + dtype + b"\x89" + state + b"tbs."


OBJECT_TYPE = b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
BYTE_TYPE = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"


class Planting:
    """Writes a canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("memo", [True, False])
def test_a_python_2_pickle_is_read(memo: bool) -> None:
    data = Pickler2(memo).dump({"batch_label": "one", "labels": [3, 300, 70_000, -1], "data": IMAGES})
    content = read_pickle(data, "batch")
    assert content["batch_label"] == b"one"
    assert content["labels"] == [3, 300, 70_000, -1]
    np.testing.assert_array_equal(np.asarray(content["data"]), IMAGES)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "array",
    [IMAGES, np.asfortranarray(IMAGES), IMAGES[::2, ::3], IMAGES.astype(">i4"), IMAGES / 7],
    ids=["plain", "fortran", "strided", "big-endian", "float"],
)
def test_what_python_3_writes_is_read_too(protocol: int, array: np.ndarray[Any, Any]) -> None:
    content = read_pickle(pickle.dumps({b"data": array, "labels": (1, [2], None)}, protocol), "batch")
    assert content["labels"] == (1, [2], None)
    np.testing.assert_array_equal(np.asarray(content["data"]), array)
    assert np.asarray(content["data"]).dtype == array.dtype


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(content=st.dictionaries(st.text(), plain), protocol=st.sampled_from([3, 4, 5]))
def test_plain_containers_come_back_as_they_were(content: dict[str, Any], protocol: int) -> None:
    assert read_pickle(pickle.dumps(content, protocol), "batch") == content


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_before_it_runs(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    crafted = pickle.dumps({"data": Planting(canary)}, protocol)
    with pytest.raises(DataError, match="a file of images holds arrays and plain containers only"):
        read_pickle(crafted, "data_batch_1")
    assert not canary.exists()
    pickle.loads(crafted)
    assert canary.exists()


CRAFTED = {
    "eval": call("builtins.eval", text("1") + b"\x85"),
    "an attribute of an admitted module": call("numpy.fromfile", text("/etc/passwd") + b"\x85"),
    "a class made by copyreg": call("copy_reg._reconstructor", b"cnumpy\nndarray\nh\x00N\x87"),
    "a scalar": call("numpy.core.multiarray.scalar", BYTE_TYPE + b"U\x01a\x86"),
    "another class reconstructed": call("numpy.core.multiarray._reconstruct", b"cnumpy\ndtype\n)U\x01b\x87"),
    "an array class called": call("numpy.ndarray", b"K\x04\x85\x85"),
    "another encoding": call("_codecs.encode", text("a") + text("rot13") + b"\x86"),
    "an element type that is a list": call("numpy.dtype", b"](U\x01aU\x02u1\x86e\x85"),
    "an array of objects": array_of(OBJECT_TYPE, b"](K\x01K\x02K\x03K\x04e"),
    "an array that is a list": array_of(BYTE_TYPE, b"](K\x01K\x02K\x03K\x04e"),
    "the state of a function": b"\x80\x02}U\x01acnumpy\ndtype\n}U\x0b__doc__sU\x01bsbs.",
    "the state of a list": b"\x80\x02}U\x01a]K\x01\x85bs.",
    "an instance": b"\x80\x02}U\x01a(ios\nsystem\ns.",
    "an object": b"\x80\x02}U\x01a(cnumpy\nndarray\nos.",
    "a new object": b"\x80\x02}U\x01acnumpy\nndarray\n)\x81s.",
    "an extension": b"\x80\x02}U\x01a\x82\x01s.",
    "a persistent object": b"\x80\x02}U\x01aPname\ns.",
    "a name with a dot": b"\x80\x04}U\x01a" + text("numpy") + text("core.os.system") + b"\x93s.",
    "a tuple as a key": b"\x80\x02})K\x01s.",
    "a call of an array": call("numpy.dtype", b"U\x02u1\x85")[:-2] + b")Rs.",
    "no dictionary": b"\x80\x02]K\x01a.",
    "entries of a list": b"\x80\x02]K\x01K\x02s.",
}


@pytest.mark.parametrize("crafted", CRAFTED.values(), ids=CRAFTED.keys())
def test_a_crafted_pickle_is_refused(crafted: bytes) -> None:
    with pytest.raises(
        DataError, match=r"^data_batch_1: a file of images holds arrays and plain containers only"
    ):
        read_pickle(crafted, "data_batch_1")


DAMAGED = {
    "empty": b"",
    "cut": Pickler2().dump({"data": IMAGES})[:-20],
    "no end of a name": b"\x80\x02}U\x01acnumpy",
    "a length beyond the end": b"\x80\x02}U\x01a\x8e" + b"\xff" * 8 + b"s.",
    "a bytearray beyond the end": b"\x80\x02}U\x01a\x96" + b"\xff" * 7 + b"\x0fs.",
    "an array without its bytes": array_of(BYTE_TYPE, b"U\x02ab"),
    "no mark": b"\x80\x02]e.",
    "an empty stack": b"\x80\x02\x85.",
    "a value that was never kept": b"\x80\x02}h\x05.",
    "no UTF-8": b"\x80\x02}X\x01\x00\x00\x00\xffK\x01s.",
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_pickle_is_called_damaged(damaged: bytes) -> None:
    with pytest.raises(DataError, match=r"^train: damaged pickle: .* \(byte \d+\); fetch it again$"):
        read_pickle(damaged, "train")


def test_a_memo_index_costs_no_memory() -> None:
    # Python's own unpickler would allocate 64 GB for this.
    assert read_pickle(b"\x80\x02}r\xff\xff\xff\xff.", "train") == {}


def test_more_operations_than_any_published_file_has_are_refused() -> None:
    with pytest.raises(DataError, match=f"more than {MAX_OPERATIONS} operations"):
        read_pickle(b"\x80\x02" + b"]" * (MAX_OPERATIONS + 1), "train")


def test_a_text_cannot_be_encoded_over_and_over() -> None:
    word = b"X" + struct.pack("<I", 1000) + b"a" * 1000 + b"q\x00"
    again = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    with pytest.raises(DataError, match="the same text encoded over and over"):
        read_pickle(b"\x80\x02](" + word + again * 100 + b"e.", "train")


def test_an_array_of_structures_is_refused() -> None:
    structured = np.zeros(4, [("a", "u1"), ("b", "u2")])
    with pytest.raises(DataError, match="an array of other things than numbers"):
        read_pickle(pickle.dumps({"data": structured}), "train")


def test_an_error_is_one_line_and_carries_no_terminal_codes() -> None:
    with pytest.raises(DataError) as caught:
        read_pickle(b"\x80\x02}U\x01acos\x1b[31m\nsystem\n)Rs.", "train")
    assert str(caught.value).isprintable()


@given(data=st.binary(max_size=200))
def test_noise_never_ends_in_another_error(data: bytes) -> None:
    with suppress(DataError):
        read_pickle(b"\x80\x02}" + data, "train")


@given(position=st.integers(0, 300), byte=st.integers(0, 255))
def test_a_changed_byte_never_ends_in_another_error(position: int, byte: int) -> None:
    data = bytearray(Pickler2().dump({"labels": [1, 2, 3, 4], "data": IMAGES}))
    data[position % len(data)] = byte
    with suppress(DataError):
        read_pickle(bytes(data), "train")
