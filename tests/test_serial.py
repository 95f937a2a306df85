"""Trials one by one in this process: what a training may do, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from study.components.datasets import LoadedData, load_dataset
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord
from study.serial import Train, one_by_one
from study.trial import Row, TrialConfig, TrialResult, Verdict
from tests.good_study import GOOD, spec_of

Report = Callable[[Row], None]
DIGITS = load_dataset("digits", None)
SCORES = {"val_accuracy": 0.5, "test_accuracy": 0.4}


def conducted(root: Path, train: Train, *overrides: str) -> Conductor:
    """The good study, run with ``train`` until nothing is missing or it is stopped."""
    record = StudyRecord.create(root, spec_of(GOOD, *overrides))
    with JournalWriter(record) as journal:
        conductor = Conductor(record, journal, worst=0.1)
        one_by_one(conductor, DIGITS, train)
    return conductor


def row(epoch: int, accuracy: float = 0.5) -> Row:
    return {"epoch": epoch, "step": epoch, "val_accuracy": accuracy, "seconds": 1.0}


def test_every_trial_is_trained_once(tmp_path: Path) -> None:
    seen: list[str] = []

    def train(config: TrialConfig, data: LoadedData, report: Report) -> TrialResult:
        seen.append(config.id)
        report(row(1))
        return TrialResult(config, Verdict("ok"), metrics=SCORES)

    conductor = conducted(tmp_path, train)
    assert conductor.complete
    assert len(seen) == len(set(seen)) == 4 * (4 + 3)
    assert all(len(result.curve) == 1 for result in conductor.done.values())


def test_results_say_what_chance_scores_on_which_data(tmp_path: Path) -> None:
    conductor = conducted(
        tmp_path, lambda config, data, report: TrialResult(config, Verdict("ok"), metrics=SCORES)
    )
    environment = conductor.done["relu/tune/0"].environment
    assert environment["data"] == DIGITS.fingerprint
    assert 0.09 < environment["worst"]["accuracy"] < 0.12


def test_an_exception_is_a_failed_trial_and_three_in_a_row_end_the_study(tmp_path: Path) -> None:
    def train(config: TrialConfig, data: LoadedData, report: Report) -> TrialResult:
        raise ZeroDivisionError("a bug of mine")

    conductor = conducted(tmp_path, train)
    assert conductor.broken
    assert [str(each.verdict) for each in conductor.failures] == ["failed(crash)"] * 3
    assert "ZeroDivisionError: a bug of mine" in str(conductor.failures[0].error)


def test_a_trial_that_is_stopped_early_ends_at_its_report(tmp_path: Path) -> None:
    """The better half comes first, so the rungs stop what comes after."""
    finished: list[str] = []

    def train(config: TrialConfig, data: LoadedData, report: Report) -> TrialResult:
        for epoch in range(1, 10):
            report(row(epoch, 0.9 - 0.1 * config.index))
        finished.append(config.id)
        return TrialResult(config, Verdict("ok"), metrics=SCORES)

    overrides = ("search.early_stopping=asha", "fixed.training.epochs=9", "search.finish_share=0")
    conductor = conducted(tmp_path, train, *overrides)
    pruned = [name for name, result in conductor.done.items() if result.verdict.status == "pruned"]
    assert pruned
    assert not set(pruned) & set(finished)
    assert len(conductor.done["relu/tune/0"].curve) == 9


def test_a_study_that_is_stopped_leaves_its_trial_to_be_resumed(tmp_path: Path) -> None:
    record = StudyRecord.create(tmp_path, spec_of())
    with JournalWriter(record) as journal:
        conductor = Conductor(record, journal, worst=0.1)

        def train(config: TrialConfig, data: LoadedData, report: Report) -> TrialResult:
            conductor.stop_requested = True
            report(row(1))
            raise AssertionError("report does not come back")

        one_by_one(conductor, DIGITS, train)
        assert (len(conductor.done), len(conductor.running)) == (0, 1)
        again = Conductor(record, journal, worst=0.1)
        assert [config.id for config in again.interrupted] == list(conductor.running)
