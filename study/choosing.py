"""What a trial trains on: in which order images are selected, and with which labels.

The order is a function of the data and the split's seed. It takes seconds, so the first trial that needs
it leaves it in a folder for those that share the split: the other arms' trials, and all of an arm's tuning.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from study.components.datasets import DATASETS
from study.components.datasets.classes import chosen_classes, of_classes
from study.components.datasets.info import Images, Labels, LoadedData, Numbers
from study.components.datasets.noise import mislabelled
from study.components.datasets.selecting import Selection, ranked
from study.components.datasets.splits import Rank
from study.seeding import derive_seed
from study.trial import TrialConfig

Indices = NDArray[np.int64]


def restricted(data: LoadedData, hyperparameters: Mapping[str, Any]) -> LoadedData:
    """``data`` with the classes that the study is about; as it is where it has these alone, or none."""
    if data.task == "regression":
        return data
    info = DATASETS.get(data.name)
    published = info.classes if info is not None and info.classes else data.classes
    return of_classes(data, chosen_classes(hyperparameters.get("dataset.classes"), published))


def training_targets(config: TrialConfig, data: LoadedData) -> Labels | Numbers:
    """The training targets as they are trained on: some labels wrong where the study asks for it."""
    share = float(config.hyperparameters.get("dataset.label_noise", 0.0))
    if not share:
        return data.train_targets
    return mislabelled(data.strata, len(data.classes), share, derive_seed(config.split_seed, "label_noise"))


def selection_rank(config: TrialConfig, data: LoadedData, shared: Path | None) -> Rank | None:
    """How the trial's training images are selected; None where at random. By their published labels,
    whatever noise these are trained with, so that the same images are selected at every share of it."""
    selection: Any = config.hyperparameters.get("dataset.selection", "random")
    if selection == "random":
        return None
    return partial(_selected, config, selection, data, shared)


def _selected(
    config: TrialConfig, selection: Selection, data: LoadedData, shared: Path | None, left: Indices
) -> Indices:
    pool = np.sort(left)
    kept = None if shared is None else shared / f"selection-{_key(config, selection, data, pool)}.npy"
    order = None if kept is None else _read(kept, pool)
    if order is None:
        seed = derive_seed(config.split_seed, "selection")
        images = cast("Images", data.train_inputs)
        order = ranked(selection, images, data.strata, pool, seed)
        if kept is not None:
            _write(kept, order)
    return order


def _key(config: TrialConfig, selection: Selection, data: LoadedData, pool: Indices) -> str:
    words = f"{selection} {config.split_seed} {data.fingerprint}".encode()
    return hashlib.sha256(words + pool.tobytes()).hexdigest()[:16]


def _read(kept: Path, pool: Indices) -> Indices | None:
    """The order in the file, or None where it is not there or not whole."""
    with suppress(OSError, ValueError, EOFError):
        order: Indices = np.load(kept, allow_pickle=False)
        if order.dtype == pool.dtype and np.array_equal(np.sort(order), pool):
            return order
    return None


def _write(kept: Path, order: Indices) -> None:
    """Leave the order for others, whole at once. Where that cannot be (a node that does not see the folder),
    each works it out for itself."""
    partial_file = kept.with_name(f".{kept.name}.{os.getpid()}.partial")
    with suppress(OSError):
        with partial_file.open("wb") as file:
            np.save(file, order)
        partial_file.replace(kept)
