"""Trials as the record and scripts see them."""

from __future__ import annotations

import json
import math

import pytest

from study.trial import TrialConfig, TrialResult, Verdict, finite_or_none

CONFIG = TrialConfig(
    study="mine",
    arm="relu+bn",
    phase="tune",
    index=3,
    hyperparameters={"optimizer.lr": 0.1 + 0.2, "model.batch_norm": True, "dataset.name": "digits"},
    seed=2**32 - 1,
    split_seed=7,
)
RESULT = TrialResult(
    config=CONFIG,
    verdict=Verdict(
        "diverged", "nonfinite_loss", step=12, epoch=2, reason="loss is NaN", numbers={"loss": None}
    ),
    curve=({"epoch": 1, "val_accuracy": 0.5, "train_loss": None},),
    metrics={"val_accuracy": 0.1},
    seconds=1.5,
    gradient_evaluations=768,
    environment={"device": "cpu", "threads": 1},
)


def through_json(value: object) -> object:
    return json.loads(json.dumps(value, allow_nan=False))


def test_a_trial_is_known_by_arm_phase_and_index() -> None:
    assert CONFIG.id == "relu+bn/tune/3"


def test_a_config_survives_json() -> None:
    assert TrialConfig.from_json(through_json(CONFIG.to_json())) == CONFIG  # type: ignore[arg-type]


def test_a_result_survives_json() -> None:
    assert TrialResult.from_json(through_json(RESULT.to_json())) == RESULT  # type: ignore[arg-type]


def test_a_result_takes_the_curve_it_is_given() -> None:
    assert RESULT.with_curve(()).curve == ()
    assert RESULT.curve, "the first one is as it was"


@pytest.mark.parametrize(
    ("verdict", "text"),
    [(Verdict("ok"), "ok"), (Verdict("diverged", "nonfinite_loss"), "diverged(nonfinite_loss)")],
)
def test_a_verdict_is_shown_with_its_kind(verdict: Verdict, text: str) -> None:
    assert str(verdict) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_none(value: float) -> None:
    assert finite_or_none(value) is None


def test_a_finite_number_is_itself() -> None:
    assert finite_or_none(0.25) == 0.25
