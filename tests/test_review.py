"""A record's searches as Optuna's dashboard is given them."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from study.record import JournalWriter, StudyRecord
from study.samplers.review import review
from study.trial import Verdict
from tests.tracking.records import begin, config, new_record, run_trial


@pytest.fixture
def record(tmp_path: Path) -> StudyRecord:
    made = new_record(tmp_path)
    diverged = Verdict("diverged", "nonfinite_loss", 17, 2, "the loss was inf at step 17")
    with JournalWriter(made) as journal:
        begin(journal)
        run_trial(journal, config("elu", index=1), Verdict("failed", "crash", reason="no"), metrics={})
        run_trial(journal, config("elu", index=0, lr=0.05))
        run_trial(journal, config("elu", index=2, lr=3.0), diverged, metrics={})
        run_trial(journal, config("elu", "confirm"))
    return made


def trials(record: StudyRecord, arm: str) -> list[FrozenTrial]:
    shown = optuna.load_study(study_name=f"acts@{record.digest} {arm}", storage=review([record]))
    return shown.get_trials()


def test_an_arm_is_a_study_and_the_tuned_trials_are_its(record: StudyRecord) -> None:
    assert [each.user_attrs["trial"] for each in trials(record, "elu")] == [f"elu/tune/{i}" for i in range(3)]
    assert trials(record, "relu") == []


def test_how_a_trial_ended_is_its_state(record: StudyRecord) -> None:
    states = [each.state for each in trials(record, "elu")]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED]
    assert trials(record, "elu")[2].user_attrs["reason"] == "the loss was inf at step 17"


def test_a_trial_has_its_value_curve_and_times(record: StudyRecord) -> None:
    first = trials(record, "elu")[0]
    assert (first.params, first.value) == ({"optimizer.lr": 0.05}, 0.75)
    assert first.intermediate_values == {1: 0.5, 2: pytest.approx(2 / 3), 3: 0.75}
    assert first.duration is not None
    assert first.duration.total_seconds() == pytest.approx(1.5)


def test_a_value_beyond_its_range_widens_what_is_shown(record: StudyRecord) -> None:
    assert trials(record, "elu")[2].params == {"optimizer.lr": 3.0}
    assert trials(record, "elu")[2].distributions["optimizer.lr"].high == 3.0  # type: ignore[attr-defined]
