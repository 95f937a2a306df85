"""The contestants of P1, P2 and P3, each a command that trains one load from its start to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch

from study.components.datasets import load_dataset
from study.devices import resolve_precision
from study.errors import StudyUnfinished
from study.record import StudyRecord
from tests.benchmarks.speed.peers.workload import BATCH, MOMENTUM, WEIGHT_DECAY, Trained, Workload
from tests.benchmarks.speed.sizes import Bench, Load

PROJECT = Path(__file__).resolve().parents[3]
WIDTH = 0.25
# None of these diverges: a trial that ended early would be an advantage.
LOWEST, HIGHEST = 3e-3, 3e-2
NAME = "speed"


@dataclass(frozen=True)
class Layout:
    """How pictures lie in memory, and what is multiplied with."""

    channels_last: bool
    bf16: bool

    def __str__(self) -> str:
        return f"{'channels last' if self.channels_last else 'NCHW'}, {'bf16' if self.bf16 else 'fp32'}"


NCHW, LAST = Layout(channels_last=False, bf16=False), Layout(channels_last=True, bf16=False)
LAST_BF16 = Layout(channels_last=True, bf16=True)


@dataclass(frozen=True)
class Finished:
    """What came of one contestant: seconds from its command to its end, its trials, and its record where it
    is a study. ``started`` is in seconds since 1970."""

    started: float
    seconds: float
    trained: Sequence[Trained]
    record: StudyRecord | None = None

    @property
    def training_s(self) -> float:
        """From the beginning of the first trial to the end of the last."""
        return max(each.ended for each in self.trained) - min(each.began for each in self.trained)

    @property
    def accuracy(self) -> float:
        """The best validation accuracy of the tuned trials."""
        return max(each.accuracy for each in self.trained)


def natural() -> Layout:
    """What a study trains in here if nothing is said."""
    return Layout(channels_last=True, bf16=resolve_precision("auto", torch.device("cpu")) == "bf16")


def rates(load: Load) -> tuple[float, ...]:
    return tuple(float(f"{each:.3g}") for each in np.geomspace(LOWEST, HIGHEST, load.trials))


def slots() -> int:
    return os.cpu_count() or 1


def peer(name: str, bench: Bench, load: Load, layout: Layout) -> Finished:
    """One of tests/benchmarks/speed/peers."""
    (finished,) = run_peers([name], [layout], bench, load)
    return finished


def on_one_ray(wanted: Sequence[tuple[str, Layout]], bench: Bench, load: Load) -> list[Finished]:
    """Some of those that run on Ray Tune, one after the other by one command: the time that it takes beside
    them, to start and to stop, counts for each."""
    names, layouts = zip(*wanted, strict=True)
    return run_peers(["on_one_ray", ",".join(names)], layouts, bench, load)


def run_peers(command: Sequence[str], layouts: Sequence[Layout], bench: Bench, load: Load) -> list[Finished]:
    """A module of tests/benchmarks/speed/peers and its words, with two files for each workload."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        module, *words = command
        results = []
        for number, layout in enumerate(layouts):
            given, result = (Path(folder) / f"{number}-{file}.json" for file in ("workload", "result"))
            given.write_text(json.dumps(asdict(workload(bench, load, layout))))
            words += [str(given), str(result)]
            results.append(result)
        started, seconds = timed(["-m", f"tests.benchmarks.speed.peers.{module}", *words])
        told = [json.loads(result.read_text()) for result in results]
    beside = seconds - sum(each["seconds"] for each in told)
    found = [
        Finished(started, beside + each["seconds"], [Trained(**trained) for trained in each["trained"]])
        for each in told
    ]
    expected = load.trials + load.replicates
    assert all(len(each.trained) == expected for each in found), f"{module} lost trials"
    return found


def workload(bench: Bench, load: Load, layout: Layout) -> Workload:
    return Workload(
        str(exported(bench.folder, bench.data_dir)),
        rates(load),
        load.replicates,
        load.epochs,
        load.train_size,
        load.validation_size,
        WIDTH,
        layout.channels_last,
        layout.bf16,
        slots(),
    )


def ours(bench: Bench, load: Load, layout: Layout, *options: str) -> Finished:
    """`study run`, with everything that it does: record, MLflow, report."""
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    file = folder / f"{NAME}.toml"
    file.write_text(tomli_w.dumps(study_file(load, layout)))
    words = ["-m", "study", "run", str(file), "--out", str(folder / "runs"), *options]
    if bench.data_dir is not None:
        words += ["--data-dir", str(bench.data_dir)]
    started, seconds = timed(words)
    record = StudyRecord.latest(folder / "runs", NAME)
    return Finished(started, seconds, trained_in(record), record)


def study_file(load: Load, layout: Layout) -> dict[str, Any]:
    return {
        "question": "How fast is a study?",
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "nuisance": {"optimizer": {"lr": list(rates(load))}},
        "fixed": {
            "dataset": {
                "name": "cifar10",
                "train_size": load.train_size,
                "validation_size": load.validation_size,
            },
            "model": {"name": "all_cnn_c", "width": WIDTH, "batch_norm": True},
            "activation": {"name": "relu"},
            "optimizer": {"name": "sgd", "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY},
            "training": {
                "epochs": load.epochs,
                "batch_size": BATCH,
                "evaluation_size": 1000,
                "precision": "bf16" if layout.bf16 else "fp32",
            },
        },
        "search": {"sampler": "grid", "trials_per_arm": load.trials, "replicates": load.replicates},
    }


def trained_in(record: StudyRecord) -> list[Trained]:
    """A record's trials as the peers tell theirs."""
    ended = {event["trial"]: event["time"] for event in record.events() if event["event"] == "result"}
    began = {event["trial"]: event["time"] for event in record.events() if event["event"] == "started"}
    return [
        Trained(
            float(result.config.hyperparameters["optimizer.lr"]),
            float(result.metrics.get("val_accuracy", 0.0)),
            began[trial],
            ended[trial],
            result.metrics.get("test_accuracy"),
        )
        for trial, result in record.results().items()
    ]


def timed(words: Sequence[str]) -> tuple[float, float]:
    """Run Python with these words, on one thread a process; when it started and how long it took.

    Nobody gets settings of Ray's or Tune's from here: neither the shell's nor those that a study makes for
    itself. Raises StudyUnfinished with the last that it said where it failed.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
    environment |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    started, began = time.time(), time.monotonic()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise StudyUnfinished(f"{' '.join(words)} failed:\n{done.stderr[-3000:]}")
    return started, seconds


@cache
def exported(folder: Path, data_dir: Path | None) -> Path:
    """CIFAR-10 as an .npz, which the peers read faster than its published files. DataError without it."""
    data = load_dataset("cifar10", data_dir)
    path = folder / "cifar10.npz"
    np.savez(
        path,
        train_images=data.train_inputs,
        train_labels=data.train_targets,
        test_images=data.test_inputs,
        test_labels=data.test_targets,
    )
    return path


@cache
def rounds(bench: Bench, load: Load) -> list[tuple[Finished, Finished]]:
    """(raw loops, the study), by round, taking turns at who is first: for P1, P2 and P11."""
    exported(bench.folder, bench.data_dir)
    layout, found = natural(), []
    for number in range(bench.size.rounds):
        if number % 2:
            study = ours(bench, load, layout)
            found.append((peer("raw", bench, load, layout), study))
        else:
            raw = peer("raw", bench, load, layout)
            found.append((raw, ours(bench, load, layout)))
    return found


def fewer(load: Load) -> Load:
    """One short trial with next to no evaluation: its first epoch's end tells when its first step began."""
    return replace(load, trials=1, replicates=0, epochs=1, train_size=BATCH, validation_size=100)
