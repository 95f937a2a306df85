"""A study whose trials take no time, and a worker without Ray: record, samplers, conductor, messages,
training and checkpoints are the real ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study.best import best_weights
from study.components.datasets import LoadedData
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord
from study.running import worst_objective
from study.spec import StudySpec
from study.studyfile import validate
from study.trial import Row, TrialConfig, TrialResult, Verdict
from study.tuning.attempt import Keeping, attempt, deliver

EPOCHS = 3
CHANCE = 0.1
TIMES = ("seconds", "time", "images_per_second")

TABLE: dict[str, Any] = {
    "question": "Which is better?",
    "objective": {"metric": "val_accuracy", "direction": "maximize"},
    "scientific": {"activation": {"name": ["relu", "elu"]}},
    "nuisance": {"optimizer": {"lr": {"low": 1e-4, "high": 1.0, "log": True}}},
    "fixed": {"dataset": {"name": "digits"}, "training": {"epochs": EPOCHS}},
    "search": {"trials_per_arm": 5, "replicates": 3, "sampler": "random"},
}

# The same, trained: all that draws or remembers is on.
TRAINED: dict[str, Any] = {
    **TABLE,
    "nuisance": {"optimizer": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}},
    "fixed": {
        "dataset": {"name": "digits", "train_size": 60, "validation_size": 50},
        "model": {"name": "all_cnn_c", "width": 0.0625, "batch_norm": True, "dropout": True},
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "augmentation": {"flip": True, "crop": 1},
        "training": {"epochs": EPOCHS, "batch_size": 20, "evaluation_size": 50},
    },
    "search": {"trials_per_arm": 2, "replicates": 2, "sampler": "tpe"},
    "resources": {"checkpoint_s": 0.0},
}


def a_study(table: Mapping[str, Any] = TABLE, **search: object) -> StudySpec:
    return validate({**table, "search": {**table["search"], **search}}, "toy", "toy.toml")


# -- trials that are computed, not trained ---------------------------------------------------------


def rows(config: TrialConfig) -> list[Row]:
    """Best at lr 0.01; diverges in the second epoch from 0.3 on."""
    lr = float(config.hyperparameters["optimizer.lr"])
    best = 0.9 - abs(math.log10(lr) + 2) / 10 + config.seed % 7 / 1000
    count = 1 if lr > 0.3 else EPOCHS
    return [
        {"epoch": epoch, "step": 10 * epoch, "val_accuracy": best * epoch / EPOCHS, "seconds": float(epoch)}
        for epoch in range(1, count + 1)
    ]


def outcome(config: TrialConfig) -> TrialResult:
    curve = rows(config)
    if len(curve) < EPOCHS:
        return TrialResult(config, Verdict("diverged", "nonfinite_loss", step=13, epoch=2))
    accuracy = float(curve[-1]["val_accuracy"] or 0)
    test = {"test_accuracy": accuracy} if config.phase == "confirm" else {}
    return TrialResult(config, Verdict("ok"), metrics={"val_accuracy": accuracy, **test})


def failed(config: TrialConfig, kind: str = "crash") -> TrialResult:
    return TrialResult(config, Verdict("failed", kind, reason="a bug"), error="Traceback: a bug")


@contextmanager
def conducting(root: Path, spec: StudySpec, concurrent: int = 1, **options: Any) -> Iterator[Conductor]:
    """One session of a study."""
    record = StudyRecord.create(root, spec)
    with JournalWriter(record) as journal:
        journal.session({"data": {"fingerprint": "toy"}}, ["study", "run"])
        conductor = Conductor(record, journal, worst=CHANCE, concurrent=concurrent, **options)
        yield conductor
        if conductor.complete and not record.finished:
            journal.finished()


def compute(conductor: Conductor, config: TrialConfig, token: str) -> None:
    """Carry a trial out from its start to its end."""
    conductor.started(config, token)
    for row in rows(config):
        conductor.reported(config, token, row)
    conductor.ended(outcome(config), token)


def run_computed(conductor: Conductor, trials: int = 10**9) -> int:
    """Carry out up to so many trials; how many it were."""
    done = 0
    while done < trials and (config := conductor.next_trial()) is not None:
        compute(conductor, config, f"{config.id} {conductor.attempts.get(config.id, 0)}")
        done += 1
    return done


# -- trials that are trained, in this process ------------------------------------------------------


Message = Mapping[str, Any]


class Stopped(Exception):
    """Ends an attempt that the source has given up, as Ray does."""


def train_next(
    conductor: Conductor,
    data: LoadedData,
    keeping: Keeping,
    tap: Callable[[str, Message], None] = lambda when, message: None,
) -> TrialConfig | None:
    """Train the next trial as a worker would; ``tap`` sees each message before and after it counts."""
    config = conductor.next_trial()
    if config is not None:
        train_it(conductor, config, data, keeping, tap)
    return config


def train_it(
    conductor: Conductor,
    config: TrialConfig,
    data: LoadedData,
    keeping: Keeping,
    tap: Callable[[str, Message], None] = lambda when, message: None,
) -> None:
    def send(message: Message) -> None:
        tap("before", message)
        stop = deliver(conductor, config, message)
        tap("after", message)
        if stop:
            raise Stopped

    try:
        attempt(config, data, 1, keeping, send=send)
    except Stopped:
        return


def keeping_of(record: StudyRecord) -> Keeping:
    record.checkpoints.mkdir(exist_ok=True)
    asked = record.spec.resources
    weights = best_weights(record) if asked.models else None
    return Keeping(record.checkpoints.resolve(), asked.checkpoint_s, weights=weights)


def run_trained(root: Path, spec: StudySpec, data: LoadedData) -> StudyRecord:
    """A session of a study, as `study run` has it, with one worker, which is this process."""
    record = StudyRecord.create(root, spec)
    with JournalWriter(record) as journal:
        journal.session({"data": {"fingerprint": data.fingerprint}}, ["study", "run"])
        worst = worst_objective(spec, data)
        conductor = Conductor(record, journal, worst=worst)
        while train_next(conductor, data, keeping_of(record)):
            pass
        if conductor.complete and not record.finished:
            journal.finished()
    return record


# -- what a fault must not change ------------------------------------------------------------------


def numbers(record: StudyRecord) -> dict[str, Any]:
    """Settings, seeds, curves, metrics and verdicts of all trials that ended; not times and places."""
    return {
        trial: (
            dict(result.config.hyperparameters),
            result.config.seed,
            result.verdict,
            dict(result.metrics),
            [{key: value for key, value in row.items() if key not in TIMES} for row in result.curve],
            result.gradient_evaluations,
            result.events,
        )
        for trial, result in record.results().items()
    }


def events(record: StudyRecord, kind: str) -> list[dict[str, Any]]:
    return [event for event in record.events() if event["event"] == kind]
