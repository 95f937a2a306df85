"""Results as tables."""

from __future__ import annotations

import pytest

from study.analysis.frames import curves, trials
from tests.analysis.planted import by_id, diverged, finished, planted_spec, simulated


def test_there_is_one_row_a_trial() -> None:
    spec = planted_spec("relu", "elu", trials=3, replicates=2)
    frame = trials(simulated(spec, {"relu": 0.4, "elu": 0.5}))
    assert len(frame) == 10
    assert set(frame["arm"]) == {"relu", "elu"}


def test_a_row_holds_metrics_and_hyperparameters() -> None:
    row = trials(by_id([finished("relu", "confirm", 3, 0.5, lr=0.02)])).iloc[0]
    assert (row["trial"], row["status"], row["index"]) == ("relu/confirm/3", "ok", 3)
    assert (row["optimizer.lr"], row["val_accuracy"], row["seconds"]) == (0.02, 0.5, 10.0)


def test_a_diverged_trial_says_when_and_has_no_metrics() -> None:
    frame = trials(by_id([diverged("relu", "tune", 0), finished("relu", "tune", 1, 0.5)]))
    row = frame.set_index("index").loc[0]
    assert (row["status"], row["kind"], row["step"]) == ("diverged", "nonfinite_loss", 3)
    assert frame["val_accuracy"].isna().tolist() == [True, False]


def test_there_is_one_row_an_epoch() -> None:
    frame = curves(by_id([finished("relu", "tune", 0, 0.5), finished("elu", "tune", 0, 0.4)]))
    assert len(frame) == 16
    assert frame.groupby("arm")["val_accuracy"].last()["relu"] == pytest.approx(0.5, abs=0.01)


def test_no_results_make_empty_tables_with_their_columns() -> None:
    assert trials({}).empty
    assert "status" in trials({})
    assert "epoch" in curves({})
