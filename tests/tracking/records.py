"""Records to bring into MLflow, written by the real JournalWriter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study import studyfile
from study.record import Event, JournalWriter, StudyRecord
from study.space import Scalar
from study.trial import Phase, Row, TrialConfig, TrialResult, Verdict

STUDY_FILE: dict[str, Any] = {
    "question": "Which activation trains best?",
    "objective": {"metric": "val_accuracy", "direction": "maximize"},
    "scientific": {"activation": {"name": ["relu", "elu"]}},
    "nuisance": {"optimizer": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}},
    "fixed": {"dataset": {"name": "digits"}, "model": {"name": "all_cnn_c", "batch_norm": True}},
    "search": {"trials_per_arm": 2, "replicates": 1},
    "claims": [{"source": "A paper, Table 1", "metric": "test_accuracy", "ranking": ["relu", "elu"]}],
}
ENVIRONMENT = {
    "study": "0.1.0",
    "host": "here",
    "packages": {"torch": "2.13.0"},
    "git": {"commit": "3e240b4", "dirty": False},
    "data": {"name": "digits", "fingerprint": "ab12", "part": False},
}
COMMAND = ["/opt/venv/bin/study", "run", "acts", "--profile", "demo"]


def new_record(root: Path, fresh: bool = False, **sections: Any) -> StudyRecord:
    spec = studyfile.validate({**STUDY_FILE, **sections}, "acts", "acts.toml")
    return StudyRecord.create(root, spec, fresh)


def config(arm: str = "relu", phase: Phase = "tune", index: int = 0, lr: float = 0.01) -> TrialConfig:
    hyperparameters: dict[str, Scalar] = {
        "activation.name": arm,
        "optimizer.lr": lr,
        "model.batch_norm": True,
    }
    return TrialConfig("acts", arm, phase, index, hyperparameters, 40 + index, 7)


def row(epoch: int, **changes: float | None) -> Row:
    values: Row = {
        "epoch": epoch,
        "step": 10 * epoch,
        "train_loss": 2.0 / epoch,
        "val_loss": 2.1 / epoch,
        "val_accuracy": 1 - 1 / (epoch + 1),
        "lr": 0.01,
        "seconds": 0.5 * epoch,
        "time": 1_790_000_000.0 + epoch + 0.25,
    }
    return values | changes


def begin(journal: JournalWriter) -> None:
    journal.session(ENVIRONMENT, COMMAND)


def run_trial(
    journal: JournalWriter,
    trial: TrialConfig,
    verdict: Verdict | None = None,
    *,
    epochs: int = 3,
    attempt: int = 1,
    metrics: Mapping[str, float] | None = None,
    error: str | None = None,
) -> None:
    """A whole trial; of a second attempt only what comes after it was asked for."""
    if attempt == 1:
        journal.asked(trial)
    journal.started(trial.id, attempt)
    for epoch in range(1, epochs + 1):
        journal.epoch(trial.id, attempt, row(epoch))
    last = row(max(epochs, 1))
    final = (
        {"val_accuracy": last["val_accuracy"], "val_loss": last["val_loss"]} if metrics is None else metrics
    )
    known = {name: float(value) for name, value in final.items() if value is not None}
    verdict = verdict or Verdict("ok")
    environment = {"device": "cpu", "precision": "fp32"}
    journal.result(
        trial.id, attempt, TrialResult(trial, verdict, (), known, 1.5, 30 * epochs, environment, error)
    )


def write_study(record: StudyRecord, epochs: int = 3) -> None:
    """A finished study: two arms with two trials and one replicate each; one trial diverged, one failed."""
    with JournalWriter(record) as journal:
        begin(journal)
        run_trial(journal, config("relu", index=0), epochs=epochs)
        diverged = Verdict("diverged", "nonfinite_loss", 17, 2, "the loss was inf at step 17")
        trial = config("elu", index=0, lr=0.1)
        journal.asked(trial)
        journal.started(trial.id, 1)
        journal.epoch(trial.id, 1, row(1))
        journal.epoch(trial.id, 1, row(2, train_loss=None, val_loss=None))
        journal.result(trial.id, 1, TrialResult(trial, diverged, seconds=0.9, gradient_evaluations=17))
        run_trial(journal, config("relu", index=1), epochs=epochs)
        failed = Verdict("failed", "crash", reason="RuntimeError: no")
        run_trial(
            journal,
            config("elu", index=1),
            failed,
            epochs=1,
            metrics={},
            error="Traceback\n  RuntimeError: no",
        )
        for arm in ("relu", "elu"):
            final = {"test_accuracy": 0.8, "test_loss": 0.4, "val_accuracy": 0.81}
            run_trial(journal, config(arm, "confirm"), epochs=epochs, metrics=final)
        journal.append("finished")


def cut(record: StudyRecord, root: Path, lines: int) -> StudyRecord:
    """A copy of the record whose journal ends after so many lines."""
    part = StudyRecord.create(root, record.spec)
    whole = record.journal.read_bytes().splitlines(keepends=True)
    part.journal.write_bytes(b"".join(whole[:lines]))
    return part


def points(record: StudyRecord, trial: str, metric: str) -> list[tuple[float, int, int]]:
    """A curve as the record has it: value, milliseconds, epoch; without what is not finite."""
    rows = record.results()[trial].curve
    return [
        (float(value), round(1000 * float(each["time"] or 0)), int(each["epoch"] or 0))
        for each in rows
        if (value := each[metric]) is not None and math.isfinite(value)
    ]


def times(record: StudyRecord, kind: str) -> list[int]:
    """When the journal's events of a kind happened, in milliseconds."""
    return [round(1000 * event["time"]) for event in record.events() if event["event"] == kind]


def events(record: StudyRecord) -> list[Event]:
    return list(record.events())
