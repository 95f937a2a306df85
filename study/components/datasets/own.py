"""A user's own data set: an .npz file with four arrays, checked when it is read.

    np.savez("mine.npz", train_x=..., train_y=..., test_x=..., test_y=...)

    train_x, test_x    vectors, (n, features) of real numbers, or pictures, (n, height, width, channels) uint8
    train_y, test_y    (n,): whole numbers 0, 1, ..., K - 1 (classes), or real numbers (regression)

Inputs are normalised by what the training set has; targets are answered as they are, so give numbers in a
unit in which they vary by one to ten.

In a study file: dataset = { name = "npz_regression", path = "mine.npz" }, or npz_classification.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from study.components.datasets.checking import channel_statistics, feature_statistics
from study.components.datasets.info import DatasetInfo, LoadedData, refusal
from study.components.datasets.sources import user_data_folder
from study.components.tasks import Task
from study.errors import shorten

KEYS = ("train_x", "train_y", "test_x", "test_y")
WHERE = "the file that dataset.path names"
MAX_CLASSES = 65_536

Arrays = dict[str, NDArray[Any]]


def path_argument(*, path: str) -> None:
    """The file, in the data folder unless its path is absolute."""


def load(task: Task, path: str, data_dir: Path | None) -> LoadedData:
    """The file at ``path`` in ``data_dir`` (None: the user's data folder). DataError where it is missing, or
    not what this module's first lines say."""
    if not path:
        raise refusal(f"npz_{task}", "dataset.path names the file", 'e.g. path = "mine.npz"')
    file = (data_dir or user_data_folder()) / path
    arrays = read(file)
    inputs, targets = {}, {}
    for split in ("train", "test"):
        inputs[split] = checked_inputs(arrays[f"{split}_x"], f"{file}: {split}_x")
        targets[split] = checked_targets(task, arrays[f"{split}_y"], f"{file}: {split}_y")
        if len(inputs[split]) != len(targets[split]):
            counts = f"not {len(inputs[split])} and {len(targets[split])}"
            raise refusal(file, f"{split}_x and {split}_y have as many rows, {counts}")
    if inputs["train"].shape[1:] != inputs["test"].shape[1:]:
        shapes = " and ".join(shape_of(inputs[split]) for split in ("train", "test"))
        raise refusal(file, f"train_x and test_x have rows of one shape, not {shapes}")
    if np.ptp(targets["train"]) == 0:
        raise refusal(f"{file}: train_y", f"targets differ, and all are {targets['train'][0]}")
    mean, std = statistics(inputs["train"], f"{file}: train_x")
    return LoadedData(
        name=f"npz_{task}",
        classes=classes_of(targets, file) if task == "classification" else (),
        train_inputs=inputs["train"],
        train_targets=targets["train"],
        test_inputs=inputs["test"],
        test_targets=targets["test"],
        mean=mean,
        std=std,
        fingerprint=fingerprint(inputs | {f"{split}_y": each for split, each in targets.items()}),
        part=False,
        origin=str(file),
    )


def load_own(path: str, data_dir: Path | None) -> LoadedData:
    """As ``load``; the targets' type says what is asked for: classes where they are whole numbers."""
    kind = read((data_dir or Path()) / path)["train_y"].dtype.kind
    return load("classification" if kind in "iu" else "regression", path, data_dir or Path())


def read(file: Path) -> Arrays:
    """The four arrays. Nothing in the file is unpickled."""
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, NpzFile):
                raise refusal(file, f"it is a single array, and not an .npz with {', '.join(KEYS)}")
            return taken(file, archive)
    except FileNotFoundError:
        raise refusal(file, "there is no such file", "see dataset.path and --data-dir") from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise refusal(file, f"it cannot be read as an .npz of plain numbers ({error})") from None


def taken(file: Path, archive: NpzFile) -> Arrays:
    missing = [key for key in KEYS if key not in archive]
    if missing:
        found = ", ".join(map(shorten, archive.files[:8])) or "nothing"
        raise refusal(file, f"it has {', '.join(KEYS)}, and {missing[0]} is missing (found: {found})")
    return {key: archive[key] for key in KEYS}


def checked_inputs(array: NDArray[Any], place: str) -> NDArray[Any]:
    """Pictures as they are, vectors as float32."""
    if not array.ndim or not len(array):
        raise refusal(place, "one row or more")
    if array.ndim == 4 and array.dtype == np.uint8 and 0 not in array.shape:
        return np.ascontiguousarray(array)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        found = f"{shape_of(array)} {array.dtype}"
        raise refusal(
            place, f"(n, features) of real numbers, or (n, height, width, channels) uint8, not {found}"
        )
    return finite(array, place)


def checked_targets(task: Task, array: NDArray[Any], place: str) -> NDArray[Any]:
    """Labels as int64, numbers as float32."""
    whole = array.dtype.kind in "iu"
    if array.ndim != 1 or array.dtype.kind not in "fiu" or (task == "classification" and not whole):
        wanted = "whole numbers" if task == "classification" else "real numbers"
        other = "; npz_regression takes real numbers" if task == "classification" else ""
        raise refusal(place, f"(n,) of {wanted}, not {shape_of(array)} {array.dtype}{other}")
    return array.astype(np.int64) if task == "classification" else finite(array, place)


def finite(array: NDArray[Any], place: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        where = ", ".join(str(index) for index in wrong[0])
        raise refusal(place, f"numbers are finite in float32, and [{where}] is {array[tuple(wrong[0])]}")
    return numbers


def classes_of(targets: Mapping[str, NDArray[Any]], file: Path) -> tuple[str, ...]:
    """``0`` to ``K - 1``: every class occurs in the training labels, and no other in the test ones."""
    found = np.unique(targets["train"])
    if found[0] != 0 or found[-1] != len(found) - 1 or len(found) > MAX_CLASSES:
        rule = f"labels are 0, 1, ..., K - 1, and each occurs; they are {shorten(found[:20].tolist())}"
        raise refusal(f"{file}: train_y", rule)
    wrong = targets["test"][~np.isin(targets["test"], found)]
    if len(wrong):
        raise refusal(f"{file}: test_y", f"labels are those of train_y, and {wrong[0]} is not")
    return tuple(str(label) for label in found)


def statistics(inputs: NDArray[Any], place: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each feature; of each channel, of pixels scaled to [0, 1]."""
    mean, std = channel_statistics(inputs) if inputs.ndim == 4 else feature_statistics(inputs)
    constant = np.flatnonzero(std == 0)
    if len(constant):
        raise refusal(place, f"features vary, and number {constant[0]} does not", "leave it out")
    return tuple(mean.tolist()), tuple(std.tolist())


def fingerprint(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) over each array's name, type, shape and content."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {shape_of(array)}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def shape_of(array: NDArray[Any]) -> str:
    return f"({', '.join(str(size) for size in array.shape)})"


def entry(task: Task) -> DatasetInfo:
    return DatasetInfo(
        name=f"npz_{task}",
        task=task,
        classes=(),
        shape=(),
        train_examples=0,
        test_examples=0,
        licence="your own",
        source="a file of your own",
        downloadable=False,
        mean=(),
        std=(),
        load=partial(load, task, ""),
        locate=lambda data_dir: WHERE,
        arguments=path_argument,
        load_file=partial(load, task),
    )


OWN: dict[str, DatasetInfo] = {
    "npz_classification": entry("classification"),
    "npz_regression": entry("regression"),
}
