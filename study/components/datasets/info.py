"""What a data set is: its published facts, and its arrays once they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from study.errors import DataError, one_line

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class DatasetInfo:
    """The published facts of a data set; nothing of it is read to know them.

    ``shape`` is (height, width, channels). ``mean`` and ``std`` are per channel, of the published
    training set, with pixels scaled to [0, 1]. ``load`` takes the data folder (None: the user's data
    folder) and raises DataError; ``locate`` says where ``load`` would read, or None where nothing is.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    train_examples: int
    test_examples: int
    licence: str
    source: str
    downloadable: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[Path | None], LoadedData] = field(repr=False)
    locate: Callable[[Path | None], str | None] = field(repr=False)


@dataclass(frozen=True, eq=False)
class LoadedData:
    """A data set in memory, checked.

    Images are uint8 (n, height, width, channels), C-contiguous and writeable; labels are int64 (n,),
    in [0, number of classes). ``mean`` and ``std`` normalise pixels scaled to [0, 1]; they are the
    published ones, also for a part. ``fingerprint`` is the SHA-256 (hex) of the content: of every
    image with its label and split, whatever their order. ``part``: a class-balanced part of the
    published set. ``origin``: the folder or archive it was read from.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    part: bool
    origin: str


def refusal(place: object, rule: str, way_out: str = "") -> DataError:
    """The one-line error that names the place and the rule it breaks, then the way out."""
    hint = f"; {way_out}" if way_out else ""
    return DataError(one_line(f"{place}: {rule}{hint}"))
