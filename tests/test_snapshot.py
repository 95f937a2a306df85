"""Snapshots: what goes on from one gives the numbers that would have been."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from study.assembly import prepare
from study.components.datasets import load_dataset
from study.devices import reproducible
from study.seeding import derive_seed
from study.snapshot import Snapshot, capture, restore
from study.space import Scalar
from study.steps import Trial, batches, differentiate, update
from study.training import run
from study.trial import Row, TrialConfig

DIGITS = load_dataset("digits", None)
CPU = torch.device("cpu")
TIMES = {"seconds", "time", "images_per_second"}
# Everything that draws or keeps something: dropout, augmentation, batch norm, momentum, a schedule.
HYPERPARAMETERS: dict[str, Scalar] = {
    "dataset.name": "digits",
    "dataset.train_size": 150,
    "dataset.validation_size": 100,
    "model.name": "all_cnn_c",
    "model.width": 0.1,
    "model.batch_norm": True,
    "model.dropout": True,
    "activation.name": "prelu",
    "optimizer.name": "sgd",
    "optimizer.lr": 0.05,
    "optimizer.momentum": 0.9,
    "schedule.name": "cosine",
    "augmentation.flip": True,
    "augmentation.crop": 1,
    "training.epochs": 3,
    "training.batch_size": 32,
    "training.precision": "fp32",
    "training.evaluation_size": 50,
}


def trial_of(**changes: Scalar) -> Trial:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    config = TrialConfig("study", "arm", "tune", 0, {**HYPERPARAMETERS, **dotted}, seed=1, split_seed=2)
    return prepare(config, DIGITS, CPU)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with reproducible(CPU, derive_seed(1, "dropout"), 1):
        yield


def rest(trial: Trial) -> tuple[list[Row], dict[str, Tensor], Any]:
    """The rows from here to the end, and the state there."""
    rows = [
        {key: value for key, value in row.items() if key not in TIMES} for row in run(trial, time.monotonic())
    ]
    end = capture(trial)
    return rows, end.model, end.optimizer["state"]


def walk(trial: Trial, steps: int) -> None:
    """The first ``steps`` steps of an epoch, as the training makes them."""
    trial.model.train()
    for images, labels in batches(trial):
        gradient = differentiate(trial, images, labels)
        trial.position.sums += torch.stack((gradient.loss * len(labels), gradient.right, gradient.norm))
        trial.monitor.step(gradient.loss, gradient.norm)
        update(trial)
        if trial.position.batch == steps:
            return


def assert_same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def elsewhere(snapshot: Snapshot) -> Trial:
    """Another process's trial, put to where the snapshot was taken; all that was global is foreign."""
    trial = trial_of()
    torch.manual_seed(99)
    restore(trial, snapshot)
    return trial


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_going_on_from_an_epoch_s_end_gives_the_same_bits(epochs: int, optimizer: str) -> None:
    changes: dict[str, Scalar] = {"optimizer__name": optimizer}
    trial = trial_of(**changes) if optimizer == "sgd" else adam()
    rows = run(trial, 0.0)
    for _ in range(epochs):
        next(rows)
    snapshot = capture(trial)
    undisturbed = rest(trial)
    other = trial_of() if optimizer == "sgd" else adam()
    torch.manual_seed(99)
    restore(other, snapshot)
    assert_same(rest(other), undisturbed)
    assert [row["epoch"] for row in undisturbed[0]] == list(range(epochs + 1, 4))


def adam() -> Trial:
    changed = {key: value for key, value in HYPERPARAMETERS.items() if key != "optimizer.momentum"}
    changed.update({"optimizer.name": "adam", "optimizer.lr": 0.01})
    return prepare(TrialConfig("study", "arm", "tune", 0, changed, seed=1, split_seed=2), DIGITS, CPU)


@pytest.mark.parametrize("steps", [1, 3, 5], ids=["early", "midway", "before the evaluation"])
def test_going_on_from_within_an_epoch_gives_the_same_bits(steps: int) -> None:
    trial = trial_of()
    assert trial.training.steps == 5
    next(run(trial, 0.0))
    walk(trial, steps)
    snapshot = capture(trial)
    assert (snapshot.epoch, snapshot.batch) == (2, steps)
    undisturbed = rest(trial)
    assert_same(rest(elsewhere(snapshot)), undisturbed)


def test_a_snapshot_is_restored_as_often_as_one_likes() -> None:
    trial = trial_of()
    next(run(trial, 0.0))
    snapshot = capture(trial)
    first = rest(trial)
    for _ in range(2):
        restore(trial, snapshot)
        assert_same(rest(trial), first)


def test_taking_snapshots_changes_no_number() -> None:
    undisturbed = rest(trial_of())
    trial = trial_of()
    torch.manual_seed(derive_seed(1, "dropout"))
    rows = []
    for row in run(trial, 0.0):
        capture(trial)
        rows.append({key: value for key, value in row.items() if key not in TIMES})
    assert_same(rows, undisturbed[0])


def test_a_snapshot_goes_through_a_file_that_holds_no_code(tmp_path: Path) -> None:
    trial = trial_of()
    next(run(trial, 0.0))
    walk(trial, 2)
    torch.save(vars(capture(trial)), tmp_path / "snapshot.pt")
    undisturbed = rest(trial)
    read = Snapshot(**torch.load(tmp_path / "snapshot.pt", weights_only=True))
    assert_same(rest(elsewhere(read)), undisturbed)


def test_a_file_that_forgot_the_order_in_memory_is_no_harm() -> None:
    trial = trial_of()
    next(run(trial, 0.0))
    snapshot = capture(trial)
    assert not all(value.is_contiguous() for value in snapshot.model.values())
    state = {
        number: {name: contiguous(value) for name, value in moments.items()}
        for number, moments in snapshot.optimizer["state"].items()
    }
    plain = replace(
        snapshot,
        model={name: contiguous(value) for name, value in snapshot.model.items()},
        optimizer={**snapshot.optimizer, "state": state},
    )
    undisturbed = rest(trial)
    assert_same(rest(elsewhere(plain)), undisturbed)


def contiguous(value: Any) -> Any:
    return value.contiguous() if isinstance(value, Tensor) else value


def test_a_snapshot_shares_no_memory_with_the_training() -> None:
    trial = trial_of()
    next(run(trial, 0.0))
    snapshot = capture(trial)
    buffer = io.BytesIO()
    torch.save(vars(snapshot), buffer)
    rest(trial)
    restore(trial, snapshot)
    rest(trial)
    buffer.seek(0)
    assert_same(vars(snapshot), torch.load(buffer, weights_only=True))


def test_gradients_that_are_left_over_are_dropped() -> None:
    trial = trial_of()
    snapshot = capture(trial)
    images, labels = next(batches(trial))
    assert math.isfinite(differentiate(trial, images, labels).norm)
    restore(trial, snapshot)
    assert all(parameter.grad is None for parameter in trial.parameters)
