"""`study status`: how far studies are, from their records alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study.record import JournalWriter, StudyRecord
from study.trial import Phase, TrialConfig, TrialResult, Verdict
from tests.cli.conftest import Command
from tests.good_study import spec_of


def config(arm: str, phase: Phase, index: int) -> TrialConfig:
    return TrialConfig("mine", arm, phase, index, {"optimizer.lr": 0.1}, 0, 0)


@pytest.fixture
def record(folder: Path) -> StudyRecord:
    """A study of 28 trials, of which four have ended: one well, two diverged, one failed."""
    record = StudyRecord.create(folder / "runs", spec_of())
    verdicts = [Verdict("ok"), Verdict("diverged", "nonfinite_loss"), Verdict("failed", "crash")]
    with JournalWriter(record) as journal:
        journal.session({"host": "here"}, ["study", "run"])
        for index, verdict in enumerate(verdicts):
            journal.asked(config("relu", "tune", index))
            journal.result(f"relu/tune/{index}", 1, TrialResult(config("relu", "tune", index), verdict))
        journal.asked(config("elu", "confirm", 0))
        journal.result("elu/confirm/0", 1, TrialResult(config("elu", "confirm", 0), verdicts[1]))
    return record


def test_status_counts_trials_by_verdict(record: StudyRecord, study: Command) -> None:
    (entry,) = json.loads(study("status", "--json").out)
    assert entry == {
        "study": "mine",
        "digest": record.digest,
        "folder": str(Path("runs") / "mine" / record.digest),
        "state": "unfinished",
        "trials": 28,
        "ended": 3,
        "verdicts": {"ok": 1, "diverged(nonfinite_loss)": 2, "failed(crash)": 1},
    }


def test_status_of_one_study_counts_by_arm_and_phase(record: StudyRecord, study: Command) -> None:
    document = json.loads(study("status", "mine", "--json").out)
    arms = {entry["arm"]: entry for entry in document["arms"]}
    assert arms["relu"]["tune"] == {"ok": 1, "diverged(nonfinite_loss)": 1, "failed(crash)": 1}
    assert arms["elu"]["confirm"] == {"diverged(nonfinite_loss)": 1}
    assert arms["relu+bn"] == {"arm": "relu+bn", "tune": {}, "confirm": {}}


def test_status_is_readable(record: StudyRecord, study: Command) -> None:
    lines = study("status", f"mine@{record.digest}").out.splitlines()
    assert lines[0] == (
        f"mine@{record.digest}  unfinished  3/28 trials: 2 diverged(nonfinite_loss), 1 failed(crash), 1 ok"
    )
    assert "  elu: tuning none; confirmation 1 diverged(nonfinite_loss)" in lines


def test_a_study_that_is_being_run_is_running(record: StudyRecord, study: Command) -> None:
    with JournalWriter(record):
        assert json.loads(study("status", "mine", "--json").out)["state"] == "running"
    assert json.loads(study("status", "mine", "--json").out)["state"] == "unfinished"


def test_a_study_that_is_done_is_finished(record: StudyRecord, study: Command) -> None:
    with JournalWriter(record) as journal:
        journal.finished()
    assert "finished" in study("status").out.split()


def test_where_there_is_no_study_yet_status_says_how_to_begin(study: Command) -> None:
    said = study("status")
    assert (said.code, said.out) == (0, "")
    assert "runs holds no study yet" in said.err
    assert "study run" in said.err


def test_studies_are_looked_for_where_one_says(
    record: StudyRecord, study: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(study("status", "--out", folder / "elsewhere", "--json").out) == []
    monkeypatch.setenv("STUDY_HOME", str(folder / "elsewhere"))
    assert json.loads(study("status", "--json").out) == []
    assert len(json.loads(study("status", "--out", "runs", "--json").out)) == 1


def test_looking_writes_nothing(record: StudyRecord, study: Command) -> None:
    before = record.journal.read_bytes()
    study("status")
    study("status", "mine")
    assert record.journal.read_bytes() == before
