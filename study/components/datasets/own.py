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
    """The file, in the data folder or else the current one, unless its path is absolute."""


def load(task: Task, path: str, data_dir: Path | None) -> LoadedData:
    """The file at ``path`` (see ``located``). DataError where it is missing, or not what this module's first
    lines say."""
    if not path:
        raise refusal(f"npz_{task}", "dataset.path must name the file", 'e.g. path = "mine.npz"')
    file = located(path, data_dir)
    arrays = read(file)
    inputs, targets = {}, {}
    for split in ("train", "test"):
        inputs[split] = checked_inputs(arrays[f"{split}_x"], f"{file}: {split}_x")
        targets[split] = checked_targets(task, arrays[f"{split}_y"], f"{file}: {split}_y")
        if len(inputs[split]) != len(targets[split]):
            counts = f"not {len(inputs[split])} and {len(targets[split])}"
            raise refusal(file, f"{split}_x and {split}_y must have equally many rows, {counts}")
    if inputs["train"].shape[1:] != inputs["test"].shape[1:]:
        shapes = " and ".join(shape_of(inputs[split]) for split in ("train", "test"))
        raise refusal(file, f"train_x and test_x must have rows of one shape, not {shapes}")
    if np.ptp(targets["train"]) == 0:
        raise refusal(f"{file}: train_y", f"targets must differ, and all are {targets['train'][0]}")
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
    """As ``load``; the targets' type says what is asked for: a regression where they are real numbers."""
    kind = read(located(path, data_dir))["train_y"].dtype.kind
    return load("regression" if kind == "f" else "classification", path, data_dir)


def located(path: str, data_dir: Path | None) -> Path:
    """Where a file is: in ``data_dir`` (None: the user's data folder), or else the current folder; where it
    should be, if in neither."""
    kept, here = (data_dir or user_data_folder()) / path, Path(path)
    return here if here.exists() and not kept.exists() else kept


def remark(data: LoadedData) -> str:
    """What a user may have meant otherwise; empty where nothing is."""
    if data.task == "classification" or np.any(data.train_targets % 1):
        return ""
    return "train_y has whole numbers stored as real ones, so it is a regression; for classes: y.astype(int)"


def read(file: Path) -> Arrays:
    """The four arrays. Nothing in the file is unpickled."""
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, NpzFile):
                raise refusal(file, f"must be an .npz with {', '.join(KEYS)}, and is a single array")
            return taken(file, archive)
    except FileNotFoundError:
        way_out = "see dataset.path and --data-dir"
        raise refusal(file, "there is no such file, nor in the current folder", way_out) from None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        reason = OBJECTS if unpickling(error) else error
        raise refusal(file, f"cannot be read as an .npz of plain numbers ({reason})") from None


def taken(file: Path, archive: NpzFile) -> Arrays:
    missing = [key for key in KEYS if key not in archive]
    if missing:
        found = ", ".join(map(shorten, archive.files[:8])) or "nothing"
        raise refusal(file, f"must have {', '.join(KEYS)}, and {missing[0]} is missing (found: {found})")
    return {key: plain(archive, key, file) for key in KEYS}


def plain(archive: NpzFile, key: str, file: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = archive[key]
    except ValueError as error:
        if not unpickling(error):
            raise
        way_out = NUMBERED if key.endswith("_y") else "e.g. x.astype(float)"
        raise refusal(f"{file}: {key}", f"must be an array of numbers: {OBJECTS}", way_out) from None
    return array


def unpickling(error: Exception) -> bool:
    """Whether numpy refused to unpickle, which it says with the advice to allow it."""
    return "allow_pickle" in str(error)


def checked_inputs(array: NDArray[Any], place: str) -> NDArray[Any]:
    """Pictures as they are, vectors as float32."""
    if not array.ndim or not len(array):
        raise refusal(place, "must have one row or more")
    if array.ndim == 4 and array.dtype == np.uint8 and 0 not in array.shape:
        return np.ascontiguousarray(array)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        found = f"{shape_of(array)} {array.dtype}"
        rule = f"must be (n, features) of real numbers, or (n, height, width, channels) uint8, not {found}"
        raise refusal(place, rule, INPUT_HINTS.get((array.ndim, array.dtype == np.uint8), ""))
    return finite(array, place)


def checked_targets(task: Task, array: NDArray[Any], place: str) -> NDArray[Any]:
    """Labels as int64, numbers as float32."""
    whole = array.dtype.kind in "iu"
    if array.ndim != 1 or array.dtype.kind not in "fiu" or (task == "classification" and not whole):
        wanted = "whole numbers" if task == "classification" else "real numbers"
        rule = f"must be (n,) of {wanted}, not {shape_of(array)} {array.dtype}"
        raise refusal(place, rule, target_hint(array))
    return array.astype(np.int64) if task == "classification" else finite(array, place)


def target_hint(array: NDArray[Any]) -> str:
    """How targets that are no whole numbers become labels, or what takes them as they are."""
    if array.ndim == 2:
        return "y[:, 0] of a single column" if array.shape[1] == 1 else "one-hot labels: y.argmax(1)"
    if array.dtype.kind in "US":
        return NUMBERED
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and np.array_equal(array, np.floor(array))):
        return "y.astype(int)"
    return "npz_regression takes real numbers" if array.dtype.kind == "f" else ""


def finite(array: NDArray[Any], place: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        where = ", ".join(str(index) for index in wrong[0])
        rule = f"numbers must be finite in float32, and [{where}] is {array[tuple(wrong[0])]}"
        raise refusal(place, rule, "leave such rows out, or fill them in")
    return numbers


def classes_of(targets: Mapping[str, NDArray[Any]], file: Path) -> tuple[str, ...]:
    """``0`` to ``K - 1``: every class occurs in the training labels, and no other in the test ones."""
    found = np.unique(targets["train"])
    if found[0] != 0 or found[-1] != len(found) - 1 or len(found) > MAX_CLASSES:
        labels = shorten(found[:20].tolist())
        rule = f"labels must be 0, 1, ..., K - 1, and each must occur; they are {labels}"
        from_one = np.array_equal(found, np.arange(1, len(found) + 1))
        raise refusal(f"{file}: train_y", rule, "y - 1, of both sets" if from_one else NUMBERED)
    wrong = targets["test"][~np.isin(targets["test"], found)]
    if len(wrong):
        raise refusal(f"{file}: test_y", f"labels must be among those of train_y, and {wrong[0]} is not")
    return tuple(str(label) for label in found)


def statistics(inputs: NDArray[Any], place: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each feature; of each channel, of pixels scaled to [0, 1]."""
    mean, std = channel_statistics(inputs) if inputs.ndim == 4 else feature_statistics(inputs)
    constant = np.flatnonzero(std == 0)
    if len(constant):
        raise refusal(place, f"features must vary, and number {constant[0]} does not", "leave it out")
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


OBJECTS = "it holds Python objects, and nothing is unpickled"
NUMBERED = "number the labels of both sets at once: np.unique(y, return_inverse=True)[1]"
# By the number of axes, and whether the array is of bytes.
INPUT_HINTS: dict[tuple[int, bool], str] = {
    (1, True): "a single feature: x[:, None]",
    (1, False): "a single feature: x[:, None]",
    (3, True): "pictures of one channel: x[..., None]",
    (3, False): "pictures of one channel: x[..., None], as bytes from 0 to 255",
    (4, False): "give bytes, 0 to 255: x.astype('uint8'); of 0 to 1, (255 * x).round().astype('uint8')",
}

OWN: dict[str, DatasetInfo] = {
    "npz_classification": entry("classification"),
    "npz_regression": entry("regression"),
}
