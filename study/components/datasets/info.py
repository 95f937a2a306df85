"""What a data set is: its published facts, and its arrays once they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.components.tasks import Task
from study.errors import DataError, one_line
from study.space import Scalar

Images = NDArray[np.uint8]
Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Numbers = NDArray[np.float32]


def no_arguments() -> None:
    return None


@dataclass(frozen=True)
class DatasetInfo:
    """The published facts of a data set; nothing of it is read to know them.

    ``shape`` is (height, width, channels) of pictures, (features,) of vectors. ``classes`` is empty in
    regression. ``mean`` and ``std`` are per channel, of the published training set, with pixels scaled to
    [0, 1]; or per feature. ``load`` takes the data folder (None: the user's data
    folder) and raises DataError; ``locate`` says where ``load`` would read, or None where nothing is.
    ``arguments``: its keyword-only parameters are the data set's own hyperparameters. ``clean``: its
    targets are known without their noise. ``load_file(path, data_dir)`` takes the place of ``load`` where
    the data is a user's own file; what is not known before it is read is empty or 0.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    train_examples: int
    test_examples: int
    licence: str
    source: str
    downloadable: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[Path | None], LoadedData] = field(repr=False)
    locate: Callable[[Path | None], str | None] = field(repr=False)
    arguments: Callable[..., Any] = field(default=no_arguments, repr=False)
    clean: bool = False
    load_file: Callable[[str, Path | None], LoadedData] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class LoadedData:
    """A data set in memory, checked.

    Inputs are pictures, uint8 (n, height, width, channels), or vectors, float32 (n, features); C-contiguous
    and writeable. Targets (n,) are labels, int64 in [0, number of classes), or, in regression, float32
    numbers. ``mean`` and ``std`` normalise pixels scaled to [0, 1], or features; they are the published
    ones, also for a part. ``fingerprint`` is the SHA-256 (hex) of the content: of every example with its
    target and split, whatever their order. ``part``: a class-balanced part of the published set.
    ``origin``: the folder or archive it was read from. ``classes`` is empty in regression. ``train_clean``
    and ``test_clean`` (n,): the targets without their noise, where the data is made and they are known.
    ``redraw(arguments, seed)``: made data anew, with a trial's own arguments.
    """

    name: str
    classes: tuple[str, ...]
    train_inputs: Images | Features
    train_targets: Labels | Numbers
    test_inputs: Images | Features
    test_targets: Labels | Numbers
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    part: bool
    origin: str
    train_clean: Numbers | None = None
    test_clean: Numbers | None = None
    redraw: Callable[[Mapping[str, Scalar], int], LoadedData] | None = None

    def of_trial(self, hyperparameters: Mapping[str, Scalar], split_seed: int) -> LoadedData:
        """What a trial sees of it: itself or, where it is made, a draw of its own."""
        if self.redraw is None:
            return self
        own = {key.removeprefix("dataset."): value for key, value in hyperparameters.items()}
        return replace(self.redraw(own, split_seed), fingerprint=self.fingerprint)

    @property
    def task(self) -> Task:
        return "classification" if self.classes else "regression"

    @property
    def strata(self) -> Labels:
        """What a split keeps balanced: the training labels; nothing in regression."""
        return (
            self.train_targets.astype(np.int64)
            if self.classes
            else np.zeros(len(self.train_targets), np.int64)
        )


def refusal(place: object, rule: str, way_out: str = "") -> DataError:
    """The one-line error that names the place and the rule it breaks, then the way out."""
    hint = f"; {way_out}" if way_out else ""
    return DataError(one_line(f"{place}: {rule}{hint}"))
