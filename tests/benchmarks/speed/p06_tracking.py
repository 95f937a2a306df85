"""P6: MLflow on, beside off: CPU seconds, and how long it holds the driver up.

A study whose trials are computed, with eight metrics an epoch, as fast as the record takes them: far faster
than any training, so the feeder is under pressure all the time. What it takes is given as a share of a
study of the same size whose trials train for ten seconds each.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from study import tracking
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord
from study.tracking.server import mlflow_server
from study.trial import TrialResult, Verdict
from tests.benchmarks.speed.driven import a_row, a_study, in_its_own_process
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.sizes import Bench, Size

TRAINING_S = 10.0
LIMIT = "MLflow's SQLAlchemy store, row by row"


@dataclass(frozen=True)
class Fed:
    """``loop_s``: wall time of the driver's own work. ``drained_s``: until MLflow had all. ``missing``: what
    MLflow lacks or has wrong in the end."""

    loop_s: float
    drained_s: float
    cpu_s: float
    missing: int


def measure(bench: Bench) -> list[Line]:
    ways: dict[str, Callable[[Path, Size], Fed]] = {"SQLite": with_sqlite, "server": with_server}
    off = in_its_own_process(without, Path(tempfile.mkdtemp(dir=bench.folder)), bench.size)
    lines = []
    for name, way in ways.items():
        fed = in_its_own_process(way, Path(tempfile.mkdtemp(dir=bench.folder)), bench.size)
        lines += costs(name, fed, off, TRAINING_S * bench.size.tracked)
    return lines


def costs(name: str, fed: Fed, off: Fed, training_s: float) -> list[Line]:
    note = f"{fed.cpu_s - off.cpu_s:.1f} s of CPU; all there {fed.drained_s:.1f} s after the last trial"
    blocked = 100 * max(0.0, fed.loop_s - off.loop_s) / training_s
    cpu = 100 * (fed.cpu_s - off.cpu_s) / training_s
    return [
        Line(f"{name}: CPU, of the training's", Spread.of([cpu]), " %", Bound("<=", 1), LIMIT, note),
        Line(f"{name}: driver held up, of the training's", Spread.of([blocked]), " %", Bound("<=", 1), LIMIT),
        Line(f"{name}: lacking at the end", Spread.of([fed.missing]), "", Bound("<=", 0)),
    ]


def without(folder: Path, size: Size) -> Fed:
    return fed_to(None, folder, size)


def with_sqlite(folder: Path, size: Size) -> Fed:
    return fed_to(tracking.default_tracking_uri(folder), folder, size)


def with_server(folder: Path, size: Size) -> Fed:
    with mlflow_server(tracking.default_tracking_uri(folder), folder / "mlartifacts", 0) as server:
        tree = [psutil.Process(server.process.pid)]
        tree += tree[0].children(recursive=True)
        return fed_to(server.address, folder, size, tree)


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    times = [each.cpu_times() for each in processes]
    return sum(each.user + each.system for each in times)


def fed_to(uri: str | None, folder: Path, size: Size, server: Sequence[psutil.Process] = ()) -> Fed:
    """``server``: the processes whose CPU counts as well."""
    all_of_it = [psutil.Process(), *server]
    spec = a_study(size.tracked, size.tracked_epochs, "random")
    record = StudyRecord.create(folder, spec)
    with JournalWriter(record) as journal:
        journal.session({"data": {"fingerprint": "none"}}, ["study", "run"])
        conductor = Conductor(record, journal, worst=0.1)
        feeding = nullcontext() if uri is None else tracking.Feeder(record, uri, patience_s=3600)
        with feeding:
            cpu, began = cpu_seconds(all_of_it), time.monotonic()
            conduct(conductor, size.tracked_epochs)
            journal.finished()
            end = time.monotonic()
        drained = time.monotonic()
        cpu = cpu_seconds(all_of_it) - cpu
    # What is asked now is not part of the cost; the database answers faster than the server on it.
    store = tracking.default_tracking_uri(folder)
    missing = [] if uri is None else tracking.differences(record, store)
    return Fed(end - began, drained - end, cpu, len(missing))


def conduct(conductor: Conductor, epochs: int) -> None:
    while (config := conductor.next_trial()) is not None:
        conductor.started(config, config.id)
        report = partial(conductor.reported, config, config.id)
        for epoch in range(1, epochs + 1):
            report(a_row(config, epoch))
        score = float(a_row(config, epochs)["val_accuracy"] or 0.0)
        conductor.ended(TrialResult(config, Verdict("ok"), metrics={"val_accuracy": score}), config.id)
        conductor.news.clear()
