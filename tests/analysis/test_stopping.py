"""What early stopping saved, against counts by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from study.analysis.stopping import early_stopping
from study.trial import Status, TrialResult
from tests.analysis.planted import by_id, planted_spec, trial


def took(arm: str, index: int, gradients: int, status: Status = "ok") -> TrialResult:
    made = trial(arm, "tune", index, {"val_accuracy": 0.5} if status == "ok" else None, status=status)
    return dataclasses.replace(made, gradient_evaluations=gradients)


def spent(*results: TrialResult, **changes: Any) -> float | None:
    asha = {"trials_per_arm": 2, "replicates": 0, "early_stopping": "asha"}
    found = early_stopping(planted_spec("relu", "elu", search=asha, **changes), by_id(results), ())
    assert found is not None
    return found.spent


def test_what_was_spent_is_a_share_of_full_trials() -> None:
    trials = took("relu", 0, 100), took("relu", 1, 30, "pruned"), took("elu", 0, 100)
    assert spent(*trials) == pytest.approx(230 / 300)


def test_an_arm_of_which_all_were_stopped_is_beside_those_of_the_same_budget() -> None:
    trials = took("relu", 0, 100), took("elu", 0, 10, "pruned")
    assert spent(*trials) == pytest.approx(110 / 200)


def test_before_one_has_run_to_its_end_nothing_is_known() -> None:
    assert spent(took("relu", 0, 10, "pruned")) is None


def test_arms_of_smaller_budgets_save_nothing_by_that() -> None:
    scientific = {"dataset": {"train_size": [100, 800]}}
    full = took("n100", 0, 10), took("n100", 1, 10), took("n800", 0, 80), took("n800", 1, 80)
    assert spent(*full, scientific=scientific) == 1.0
    unknown = took("n100", 0, 10), took("n800", 0, 5, "pruned")
    assert spent(*unknown, scientific=scientific) == 1.0, "n800 is left out: no full trial of it is known"
