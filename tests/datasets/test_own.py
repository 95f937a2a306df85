"""A user's own file: what is read of it, and the line that each mistake is answered with."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.components.datasets import load_dataset
from study.components.datasets.own import load_own, located, remark
from study.components.tasks import Task
from study.errors import DataError

DRAW = np.random.default_rng(0)
X = DRAW.normal(5, 2, (30, 3))
NUMBERS: dict[str, Any] = {"train_x": X[:20], "train_y": X[:20, 0], "test_x": X[20:], "test_y": X[20:, 0]}
LABELS: dict[str, Any] = {**NUMBERS, "train_y": np.arange(20) % 3, "test_y": np.arange(10) % 3}
PICTURES: dict[str, Any] = {
    **LABELS,
    "train_x": DRAW.integers(0, 256, (20, 4, 5, 2), np.uint8),
    "test_x": DRAW.integers(0, 256, (10, 4, 5, 2), np.uint8),
}


def written(folder: Path, arrays: Mapping[str, Any]) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder


def test_numbers_are_read_as_float32(tmp_path: Path) -> None:
    data = load_dataset("npz_regression", written(tmp_path, NUMBERS), "mine.npz")
    assert data.task == "regression"
    assert data.train_inputs.dtype == data.train_targets.dtype == np.float32
    assert data.train_targets == pytest.approx(X[:20, 0], rel=1e-6)
    assert data.mean == pytest.approx(X[:20].mean(0), rel=1e-6)
    assert data.std == pytest.approx(X[:20].std(0), rel=1e-6)


def test_labels_are_classes(tmp_path: Path) -> None:
    data = load_dataset("npz_classification", written(tmp_path, LABELS), "mine.npz")
    assert (data.task, data.classes) == ("classification", ("0", "1", "2"))
    assert data.train_targets.dtype == np.int64


def test_pictures_stay_bytes(tmp_path: Path) -> None:
    data = load_dataset("npz_classification", written(tmp_path, PICTURES), "mine.npz")
    assert np.array_equal(data.test_inputs, PICTURES["test_x"])
    assert data.mean == pytest.approx((PICTURES["train_x"] / 255).mean((0, 1, 2)))


def test_an_absolute_path_needs_no_folder(tmp_path: Path) -> None:
    path = written(tmp_path, NUMBERS) / "mine.npz"
    assert load_dataset("npz_regression", None, str(path)).origin == str(path)


@pytest.mark.parametrize(("arrays", "task"), [(NUMBERS, "regression"), (LABELS, "classification")])
def test_the_type_of_the_targets_says_what_is_asked_for(
    tmp_path: Path, arrays: Mapping[str, Any], task: Task
) -> None:
    assert load_own("mine.npz", written(tmp_path, arrays)).task == task


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    first = load_own("mine.npz", written(tmp_path, NUMBERS)).fingerprint
    assert load_own("mine.npz", written(tmp_path, NUMBERS)).fingerprint == first
    changed = {**NUMBERS, "test_y": NUMBERS["test_y"] + 1}
    assert load_own("mine.npz", written(tmp_path, changed)).fingerprint != first


MISTAKES: dict[str, tuple[Task, dict[str, Any], str]] = {
    "labels that are no whole numbers": (
        *("classification", {**LABELS, "train_y": X[:20, 0]}),
        r"train_y: must be \(n,\) of whole numbers, not \(20\) float64; npz_regression takes real numbers",
    ),
    "labels with a gap": (
        *("classification", {**LABELS, "train_y": np.arange(20) % 3 * 2}),
        r"train_y: labels must be 0, 1, \.\.\., K - 1, and each must occur; .* \[0, 2, 4\]; .* np\.unique",
    ),
    "a test label that is never trained on": (
        *("classification", {**LABELS, "test_y": np.arange(10)}),
        "test_y: labels must be among those of train_y, and 3 is not",
    ),
    "targets that are all the same": (
        *("regression", {**NUMBERS, "train_y": np.ones(20)}),
        r"train_y: targets must differ, and all are 1\.0",
    ),
    "a number that is not finite": (
        *("regression", {**NUMBERS, "train_x": np.where(np.arange(60).reshape(20, 3) == 7, np.nan, X[:20])}),
        r"train_x: numbers must be finite in float32, and \[2, 1\] is nan; leave such rows out",
    ),
    "a number past float32": (
        *("regression", {**NUMBERS, "train_y": X[:20, 0] * 1e300}),
        "train_y: numbers must be finite in float32",
    ),
    "a feature that does not vary": (
        *("regression", {**NUMBERS, "train_x": X[:20] * (1, 0, 1)}),
        "train_x: features must vary, and number 1 does not; leave it out",
    ),
    "counts that differ": (
        *("regression", {**NUMBERS, "train_y": X[:19, 0]}),
        "train_x and train_y must have equally many rows, not 20 and 19",
    ),
    "other features in the test set": (
        *("regression", {**NUMBERS, "test_x": X[20:, :2]}),
        r"must have rows of one shape, not \(20, 3\) and \(10, 2\)",
    ),
    "a missing array": (
        *("regression", {key: NUMBERS[key] for key in ("train_x", "train_y", "test_x")}),
        "test_y is missing",
    ),
    "inputs of one dimension": (
        *("regression", {**NUMBERS, "train_x": X[:20, 0]}),
        r"train_x: must be \(n, features\) of real numbers, or .* uint8, not \(20\) float64; .* x\[:, None\]",
    ),
    "nothing": (
        *("regression", {**NUMBERS, "test_x": X[:0], "test_y": X[:0, 0]}),
        "test_x: must have one row or more",
    ),
    "text": (
        *("regression", {**NUMBERS, "train_y": np.array(["a"] * 20)}),
        "train_y: must be .n,. of real numbers, not .* np.unique",
    ),
}


@pytest.mark.parametrize(("task", "arrays", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_in_a_line(
    tmp_path: Path, task: Task, arrays: Mapping[str, Any], line: str
) -> None:
    with pytest.raises(DataError, match=line) as error:
        load_dataset(f"npz_{task}", written(tmp_path, arrays), "mine.npz")
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


HINTS: dict[str, tuple[dict[str, Any], str]] = {
    "pictures without channels": ({"train_x": PICTURES["train_x"][..., 0]}, "x[..., None]"),
    "pictures of real numbers": ({"train_x": PICTURES["train_x"] / 255}, "(255 * x).round().astype('uint8')"),
    "one-hot labels": ({"train_y": np.eye(3, dtype=int)[LABELS["train_y"]]}, "y.argmax(1)"),
    "a column of labels": ({"train_y": LABELS["train_y"][:, None]}, "y[:, 0]"),
    "words": ({"train_y": np.array(list("abc"))[LABELS["train_y"]]}, "np.unique(y, return_inverse=True)[1]"),
    "labels from one": ({"train_y": LABELS["train_y"] + 1}, "y - 1"),
    "switches": ({"train_y": LABELS["train_y"] > 0}, "y.astype(int)"),
}


@pytest.mark.parametrize(("change", "hint"), HINTS.values(), ids=HINTS)
def test_what_a_user_often_has_is_answered_with_the_way_out(
    tmp_path: Path, change: dict[str, Any], hint: str
) -> None:
    with pytest.raises(DataError, match="must ") as error:
        load_own("mine.npz", written(tmp_path, {**PICTURES, **change}))
    assert hint in str(error.value).partition("; ")[2]


def test_classes_stored_as_real_numbers_are_remarked_on(tmp_path: Path) -> None:
    whole = {**LABELS, "train_y": LABELS["train_y"] / 1.0}
    assert "y.astype(int)" in remark(load_own("mine.npz", written(tmp_path, whole)))
    assert remark(load_own("mine.npz", written(tmp_path, LABELS))) == ""
    assert remark(load_own("mine.npz", written(tmp_path, NUMBERS))) == ""


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    written(tmp_path, {**NUMBERS, "train_y": np.array([Bomb()] * 20, dtype=object)})
    with pytest.raises(DataError, match="nothing is unpickled; number the labels of both") as error:
        load_dataset("npz_regression", tmp_path, "mine.npz")
    assert "allow_pickle" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 torn", pickle.dumps(Bomb()), b"\x93NUMPY\x01\x00v\x00"], ids=repr
)
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.npz"):
        load_dataset("npz_regression", tmp_path, "mine.npz")


def test_a_pickle_is_refused_without_the_advice_to_allow_it(tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(pickle.dumps({"train_x": 1}))
    with pytest.raises(DataError, match="cannot be read as an") as error:
        load_dataset("npz_regression", tmp_path, "mine.npz")
    assert "allow_pickle" not in str(error.value)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", X)
    with pytest.raises(DataError, match="and is a single array"):
        load_dataset("npz_regression", tmp_path, "mine.npy")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npz: there is no such file"):
        load_dataset("npz_regression", tmp_path, "nowhere.npz")


def test_a_study_without_a_path_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.path must name the file"):
        load_dataset("npz_regression", tmp_path)


def test_a_file_is_found_in_the_data_folder_or_else_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, here = tmp_path / "data", tmp_path / "here"
    data.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    assert located("mine.npz", data) == data / "mine.npz"
    (here / "mine.npz").touch()
    assert located("mine.npz", data) == Path("mine.npz")
    (data / "mine.npz").touch()
    assert located("mine.npz", data) == data / "mine.npz"
    assert located(str(here / "mine.npz"), data) == here / "mine.npz"
