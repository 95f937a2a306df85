"""Reads IDX, the format of MNIST and its kin: arrays of bytes behind a short header, plain or gzipped.

Two zero bytes, the kind of number (8: unsigned bytes, the only one read here), how many dimensions there
are, the size of each as four bytes, the largest first; then the numbers, the last dimension fastest.
http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.info import refusal
from study.components.datasets.sources import MAX_FILE_BYTES

UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"
_AGAIN = "fetch it again"


def read_idx(data: bytes, dimensions: int, place: str) -> NDArray[np.uint8]:
    """The array in a file's content, with so many ``dimensions``. DataError where it is not whole, or
    something else. The array can be written to."""
    content = _unzipped(data, place)
    head = 4 + 4 * dimensions
    kind = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if len(content) < head:
        raise refusal(
            place, f"an IDX header of {dimensions} dimensions has {head} bytes, not {len(content)}", _AGAIN
        )
    if content[:4] != kind:
        raise refusal(
            place, f"an IDX file of {dimensions} dimensions begins with {kind.hex()}, not {content[:4].hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:head])
    if len(content) != head + math.prod(shape):
        raise refusal(
            place,
            f"its header says {'x'.join(map(str, shape))} bytes, and it has {len(content) - head}",
            f"it is cut short or damaged: {_AGAIN}",
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy()


def _unzipped(data: bytes, place: str) -> bytes:
    """``data``, unpacked where it is gzipped; never to more than MAX_FILE_BYTES."""
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise refusal(place, f"damaged: {error}", _AGAIN) from None
    if len(content) > MAX_FILE_BYTES:
        raise refusal(place, f"unpacks to more than {MAX_FILE_BYTES} bytes")
    return content
