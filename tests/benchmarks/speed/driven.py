"""Trials that do no work, over the real way: conductor, record, sampler, Ray Tune, warm workers, messages."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil

from study.components.datasets import LoadedData
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord
from study.spec import StudySpec
from study.studyfile import validate
from study.trial import Row, TrialConfig, TrialResult, Verdict
from study.tuning.attempt import Keeping
from study.tuning.session import ray_session

T = TypeVar("T")
# As many as CIFAR-10 has to train on.
PICTURES = 50_000
METRICS = ("accuracy", "loss", "error", "f1")


@dataclass(frozen=True)
class NoWork:
    """Takes the place of study.training.train: reports ``epochs`` rows, ``pause_s`` after each, and touches
    the data where ``reads`` says so. What it saw is in its result's environment: its pause, the seconds that
    each report blocked it, when it began and ended, its process, its own memory, whether it may write to the
    data."""

    epochs: int
    pause_s: float = 0.0
    reads: bool = False

    def __call__(self, config: TrialConfig, data: LoadedData, *, report: Any, **others: Any) -> TrialResult:
        began, blocked = time.time(), []
        touched = int(data.train_inputs.sum()) if self.reads else 0
        for epoch in range(1, self.epochs + 1):
            row = a_row(config, epoch)
            before = time.perf_counter()
            report(row)
            blocked.append(time.perf_counter() - before)
            time.sleep(self.pause_s)
        seen = {
            "pause_s": self.pause_s,
            "blocked_s": blocked,
            "began": began,
            "process": os.getpid(),
            "own_mb": psutil.Process().memory_full_info().uss / 2**20 if self.reads else None,
            "writeable": bool(data.train_inputs.flags.writeable),
            "touched": touched,
        }
        metrics = {"val_accuracy": float(a_row(config, self.epochs)["val_accuracy"] or 0.0)}
        return TrialResult(config, Verdict("ok"), metrics=metrics, environment={**seen, "ended": time.time()})


@dataclass(frozen=True)
class Changing:
    """``first`` takes the place of it in the first ``number`` trials, ``then`` in the others."""

    number: int
    first: NoWork
    then: NoWork

    @property
    def epochs(self) -> int:
        return max(self.first.epochs, self.then.epochs)

    def __call__(self, config: TrialConfig, data: LoadedData, **others: Any) -> TrialResult:
        work = self.first if config.index < self.number else self.then
        return work(config, data, **others)


def a_row(config: TrialConfig, epoch: int) -> Row:
    """As a training's: eight metrics and what stands beside them."""
    score = config.seed % 1000 / 2000 + epoch / 10**6
    measured = {f"{part}_{name}": score for part in ("train_eval", "val") for name in METRICS}
    return {"epoch": epoch, "step": epoch, "seconds": epoch / 10, "time": time.time(), **measured}


@dataclass(frozen=True)
class Driven:
    """What trials took: from the end of the first ones, when the workers are warm, to the last's.

    ``wall_s`` and ``cpu_s``, of the driver: until the first trial that counts had ended, the second, and so
    on. ``reports``: how many came meanwhile. ``start_s``: until the very first had ended. ``end_s``: from the
    last one's end to Tune's own. ``seen``: the trials' environments. ``memory_mb``: the driver's most.
    """

    wall_s: Sequence[float]
    cpu_s: Sequence[float]
    reports: int
    start_s: float
    end_s: float
    memory_mb: float
    seen: list[Mapping[str, Any]]

    def wall_ms(self, trials: int) -> float:
        """For each of the first so many that count."""
        return 1e3 * self.wall_s[trials - 1] / trials

    def cpu_ms(self, trials: int) -> float:
        """The same, of the driver's processor."""
        return 1e3 * self.cpu_s[trials - 1] / trials


def a_study(trials: int, epochs: int, sampler: str, replicates: int = 0) -> StudySpec:
    table = {
        "question": "What does it take to do nothing?",
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "nuisance": {
            "optimizer": {
                "lr": {"low": 1e-4, "high": 1.0, "log": True},
                "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
            }
        },
        "fixed": {"dataset": {"name": "digits"}, "training": {"epochs": epochs}},
        "search": {"sampler": sampler, "trials_per_arm": trials, "replicates": replicates},
    }
    return validate(table, "nothing", "nothing.toml")


def nothing_to_learn(pixels: int = 32, pictures: int = 10) -> LoadedData:
    """Black pictures."""
    images = np.zeros((pictures, pixels, pixels, 3), np.uint8)
    labels = np.arange(pictures, dtype=np.int64) % 10
    names = tuple(map(str, range(10)))
    third = (0.5, 0.5, 0.5)
    return LoadedData(
        "black", names, images, labels, images[:10], labels[:10], third, third, "", False, "made here"
    )


@dataclass(frozen=True)
class Drive:
    """``trials`` to be tuned, of which ``known`` are in the record already, and ``replicates`` after them,
    over so many ``pictures``."""

    trials: int
    work: NoWork | Changing
    sampler: str = "random"
    known: int = 0
    pictures: int = 10
    replicates: int = 0


@cache
def driven(folder: Path, drive: Drive) -> Driven:
    """What a drive took, in a driver process of its own."""
    result: Driven = in_its_own_process(_driven, folder, drive)
    return result


def in_its_own_process(function: Any, *arguments: Any) -> Any:
    """What ``function`` returns from a new process, whose memory and CPU time are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _driven(folder: Path, drive: Drive) -> Driven:
    spec = a_study(drive.trials, drive.work.epochs, drive.sampler, drive.replicates)
    record = StudyRecord.create(Path(tempfile.mkdtemp(dir=folder)), spec)
    began, marks = time.monotonic(), []

    def watch(conductor: Conductor) -> None:
        if conductor.news:
            conductor.news.clear()
            marks.append((time.monotonic(), time.process_time(), time.time()))

    with JournalWriter(record) as journal:
        plant(journal, spec, drive.known)
        journal.session({}, ["study", "run"])
        conductor = Conductor(record, journal, worst=0.1, watch=watch)
        data = nothing_to_learn(pictures=drive.pictures)
        with ray_session(None, spec.resources, debug=False) as slots:
            from study.tuning.spread import spread

            conductor.concurrent, conductor.ahead = slots.concurrent, slots.ahead
            record.checkpoints.mkdir()
            keeping = Keeping(record.checkpoints, 10.0)
            spread(conductor, data, slots, keeping, drive.work)
            finished = time.monotonic()
    warm = min(slots.concurrent, len(marks) - 1) - 1
    wall, cpu, since = marks[warm]
    counted = marks[warm + 1 :]
    return Driven(
        wall_s=[each - wall for each, _, _ in counted],
        cpu_s=[each - cpu for _, each, _ in counted],
        reports=sum(each["row"]["time"] > since for each in record.events() if each["event"] == "epoch"),
        start_s=marks[0][0] - began,
        end_s=finished - marks[-1][0],
        memory_mb=peak_memory_mb(),
        seen=[each.environment for each in record.results().values() if each.environment],
    )


def peak_memory_mb() -> float:
    """The most that this process ever had, where Linux tells it; elsewhere what it has now. (What getrusage
    says begins with the memory of whoever started the process.)"""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) / 2**10 if found else psutil.Process().memory_info().rss / 2**20


def plant(journal: JournalWriter, spec: StudySpec, known: int) -> None:
    """Trials that have ended already, drawn at random, so that a sampler has much to go by."""
    (arm,) = spec.arms()
    draw = np.random.default_rng(0)
    for index in range(known):
        tuned = {
            entry.key: float(entry.distribution.between(draw.random()))  # type: ignore[union-attr]
            for entry in arm.space.entries
        }
        config = TrialConfig(spec.name, arm.name, "tune", index, arm.complete(tuned), index, 0)
        row = a_row(config, 1)
        journal.asked(config)
        journal.started(config.id, 1)
        journal.epoch(config.id, 1, row)
        metrics = {"val_accuracy": float(row["val_accuracy"] or 0.0)}
        journal.result(config.id, 1, TrialResult(config, Verdict("ok"), metrics=metrics))
