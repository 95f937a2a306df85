"""A trial that is asked for numbers: the same path as for classes, told and judged in its own way."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from study.batches import divide
from study.components.augmentation import Augmentation
from study.components.datasets import LoadedData, load_dataset
from study.components.metrics import of_task
from study.components.routine import Routine
from study.space import Scalar
from study.training import train
from study.trial import TrialConfig, TrialResult

HYPERPARAMETERS: dict[str, Scalar] = {
    "dataset.name": "plane",
    "dataset.validation_size": 200,
    "model.name": "mlp",
    "model.width": 16,
    "activation.name": "relu",
    "loss.name": "mse",
    "optimizer.name": "adam",
    "optimizer.lr": 0.01,
    "training.epochs": 12,
    "training.batch_size": 32,
}
TIMES = {"seconds", "time", "images_per_second"}


@cache
def plane(noise: float = 0.1) -> LoadedData:
    """y = 3 + x0 - 2 x1 and noise, over 1,000 and 300 examples whose features are far from standard."""
    draw = np.random.default_rng(0)
    inputs = draw.normal((50, -3), (10, 0.2), (1300, 2)).astype(np.float32)
    standard = (inputs - (50, -3)) / (10, 0.2)
    clean = (3 + standard @ (1, -2)).astype(np.float32)
    targets = (clean + draw.normal(0, noise, 1300)).astype(np.float32)
    return LoadedData(
        name="plane",
        classes=(),
        train_inputs=inputs[:1000],
        train_targets=targets[:1000],
        test_inputs=inputs[1000:],
        test_targets=targets[1000:],
        mean=(50.0, -3.0),
        std=(10.0, 0.2),
        fingerprint="plane",
        part=False,
        origin="made here",
        train_clean=clean[:1000],
        test_clean=clean[1000:],
    )


def config(phase: Any = "tune", **changes: Scalar) -> TrialConfig:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return TrialConfig("study", "arm", phase, 0, {**HYPERPARAMETERS, **dotted}, seed=1, split_seed=2)


def run(phase: Any = "tune", data: LoadedData | None = None, **changes: Scalar) -> TrialResult:
    return train(config(phase, **changes), data or plane(), device="cpu", threads=1)


@cache
def confirmed() -> TrialResult:
    return run("confirm")


def test_it_learns_down_to_the_noise() -> None:
    result = confirmed()
    assert result.verdict.status == "ok"
    assert result.metrics["val_rmse"] < 0.15  # of 0.1 noise, where the best constant has 2.2
    assert result.environment["worst"]["rmse"] == pytest.approx(5**0.5, rel=0.05)


def test_the_linear_model_finds_the_plane() -> None:
    kept = {key: value for key, value in HYPERPARAMETERS.items() if key != "model.width"}
    trial = replace(
        config("confirm"), hyperparameters={**kept, "model.name": "linear", "training.epochs": 30}
    )
    metrics = train(trial, plane(), device="cpu", threads=1).metrics
    assert metrics["test_clean_rmse"] < 0.02
    assert metrics["test_rmse"] == pytest.approx(0.1, rel=0.1)


def test_clean_targets_judge_without_noise() -> None:
    metrics = confirmed().metrics
    for part in ("val", "test"):
        assert metrics[f"{part}_clean_mse"] == pytest.approx(metrics[f"{part}_mse"] - 0.01, abs=0.004)


def test_a_row_has_the_metrics_of_regression_and_no_accuracy() -> None:
    evaluated = {
        f"{part}_{name}" for part in ("train_eval", "val", "val_clean") for name in of_task("regression")
    }
    told = {"epoch", "step", "gradient_evaluations", "train_loss", "gradient_norm", "lr"}
    for row in confirmed().curve:
        assert set(row) == evaluated | told | TIMES
        assert all(value is not None and math.isfinite(value) for value in row.values())


def test_the_test_split_is_judged_in_the_confirm_phase_alone() -> None:
    names = {f"{part}_{name}" for part in ("test", "test_clean") for name in of_task("regression")}
    assert names <= confirmed().metrics.keys()
    assert not names & run().metrics.keys()


def test_features_are_normalised() -> None:
    _, parts = divide(config(), Routine(epochs=1), Augmentation(), plane(), torch.device("cpu"))
    inputs = torch.cat([inputs for inputs, _ in parts["train_eval"]])
    assert inputs.mean(0).abs().max() < 0.15
    assert (inputs.std(0) - 1).abs().max() < 0.1


def test_batches_leave_the_features_as_they_were() -> None:
    before = plane().train_inputs.copy()
    run(training__epochs=1)
    assert np.array_equal(plane().train_inputs, before)


def test_another_split_seed_draws_other_examples() -> None:
    first, second = (
        divide(
            replace(config(), split_seed=seed),
            Routine(epochs=1),
            Augmentation(),
            plane(),
            torch.device("cpu"),
        )
        for seed in (2, 3)
    )
    assert len(first[0].index) == 800
    assert not torch.equal(first[0].index, second[0].index)


def test_the_same_config_gives_the_same_bits() -> None:
    first, again = confirmed(), run("confirm")
    assert first.metrics == again.metrics


def test_pictures_can_be_asked_for_numbers() -> None:
    digits = load_dataset("digits", None)
    numbers = replace(
        digits,
        classes=(),
        train_targets=digits.train_targets.astype(np.float32),
        test_targets=digits.test_targets.astype(np.float32),
    )
    result = run(data=numbers, model__name="all_cnn_c", model__width=0.1, training__epochs=4)
    assert result.verdict.status == "ok"
    assert result.metrics["val_rmse"] < 0.9 * result.environment["worst"]["rmse"]


def test_classes_can_be_asked_of_a_perceptron() -> None:
    result = run(data=load_dataset("digits", None), loss__name="cross_entropy")
    assert result.metrics["val_accuracy"] > 0.9


# -- divergence, in units of the best constant's loss


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_a_training_that_blows_up_is_stopped(loss: str) -> None:
    result = run(optimizer__name="sgd", optimizer__lr=1e4, loss__name=loss)
    assert result.verdict.status == "diverged"
    assert result.autopsy is not None
    assert result.autopsy["reproduced"]
    json.dumps(result.to_json(), allow_nan=False)


def test_a_dead_network_is_stalled() -> None:
    """A large rate kills all ReLUs; what is left is the last layer's bias."""
    result = run(
        optimizer__name="sgd", optimizer__lr=1.0, loss__name="mae", training__epochs=20, model__depth=3
    )
    assert (result.verdict.status, result.verdict.kind) == ("stalled", "dead")
    assert "answers the same, or nearly, whatever it is shown" in result.verdict.reason


def test_a_loss_that_stays_at_the_best_constant_s_is_no_verdict() -> None:
    """The targets are noise alone."""
    noise = np.random.default_rng(1).normal(0, 1, 1000).astype(np.float32)
    result = run(data=replace(plane(), train_targets=noise), training__epochs=30)
    assert result.verdict.status == "ok"
    assert result.metrics["val_mse"] > 0.8
