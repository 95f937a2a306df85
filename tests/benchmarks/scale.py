"""How large a study may grow: trials, arms, slots, workers at once, runs in MLflow, an arm's proposals.

    python -m tests.benchmarks.scale --small     (does it run?)
    python -m tests.benchmarks.scale             (make bench-scale: half an hour)

The trials do no work: what is measured is everything else, over the real ways (conductor, record, sampler,
Ray Tune and warm workers, MLflow's server). The numbers of a busy machine mean nothing: let nothing else run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from study import tracking
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord, write_whole
from study.samplers import search_inside
from study.space import Scalar
from study.spec import StudySpec
from study.studyfile import validate
from study.tracking.server import mlflow_server
from study.trial import TrialConfig, TrialResult, Verdict
from study.tuning import nodes
from tests.benchmarks.speed.driven import (
    Drive,
    NoWork,
    a_row,
    driven,
    in_its_own_process,
    nothing_to_learn,
    peak_memory_mb,
)
from tests.benchmarks.speed.lines import Line, Spread
from tests.benchmarks.speed.table import Row, document, rendered


@dataclass(frozen=True)
class Size:
    """Trials over Ray; trials, arms and slots of a conductor alone; workers at once; runs in MLflow; trials
    that an arm's TPE knows."""

    trials: tuple[int, ...]
    conducted: tuple[int, ...]
    arms: tuple[int, ...]
    slots: tuple[int, ...]
    workers: int
    runs: int
    known: tuple[int, ...]


FULL = Size(
    trials=(100, 1000, 10_000),
    conducted=(1000, 10_000, 100_000),
    arms=(1, 200),
    slots=(2, 1000),
    workers=64,
    runs=10_000,
    known=(1000, 5000),
)
SMALL = Size(
    trials=(4, 8), conducted=(20, 40), arms=(1, 4), slots=(2, 10), workers=3, runs=20, known=(20, 40)
)


def over_ray(size: Size, folder: Path) -> Iterator[Line]:
    """Trials one after the other on the machine's slots."""
    for trials in size.trials:
        run = driven(folder, Drive(trials, NoWork(epochs=1)))
        counted = len(run.wall_s)
        yield Line(f"{trials:,} trials, wall", one(run.wall_ms(counted)), " ms/trial")
        yield Line(f"{trials:,} trials, driver's CPU", one(run.cpu_ms(counted)), " ms/trial")
        yield Line(f"{trials:,} trials, driver's memory", one(run.memory_mb), " MB")


def conducted(size: Size, folder: Path) -> Iterator[Line]:
    """What decides, proposes and records, without Ray: the driver's share that is ours."""
    few, most = min(size.conducted), max(size.conducted)
    cases = [(trials, 1, 2) for trials in size.conducted]
    cases += [(few, arms, 2) for arms in size.arms if arms > 1]
    cases += [(few, 1, slots) for slots in size.slots if slots > 2]
    for trials, arms, slots in cases:
        cpu_ms, memory_mb, replay_s = in_its_own_process(conduct, folder, trials, arms, slots)
        what = f"{trials:,} trials, {arms:,} {'arm' if arms == 1 else 'arms'}, {slots:,} slots"
        yield Line(f"{what}, CPU", one(cpu_ms), " ms/trial")
        if trials == most:
            yield Line(f"{what}, memory", one(memory_mb), " MB")
            yield Line(f"{what}, taken up again in", one(replay_s), " s")


def at_once(size: Size, folder: Path) -> Iterator[Line]:
    """So many processes at once, each a worker that waits ten seconds in its trial."""
    before = psutil.virtual_memory().available
    seconds, started_s, least_mb = in_its_own_process(crowd, folder, size.workers)
    used_mb = before / 2**20 - least_mb
    yield Line(f"{size.workers} workers, until all had begun", one(started_s), " s")
    yield Line(f"{size.workers} workers, {2 * size.workers} trials of 10 s", one(seconds), " s")
    yield Line(f"{size.workers} workers, the machine's memory", one(used_mb / size.workers), " MB each")


def in_mlflow(size: Size, folder: Path) -> Iterator[Line]:
    """A store with so many runs: bringing them there, and what its pages ask for."""
    place = Path(tempfile.mkdtemp(dir=folder))
    record = in_its_own_process(recorded, place, size.runs)
    uri = tracking.default_tracking_uri(place)
    began = time.monotonic()
    in_its_own_process(tracking.sync, StudyRecord(record), uri)
    yield Line(
        f"{size.runs:,} runs into SQLite", one((time.monotonic() - began) / size.runs * 1e3), " ms/run"
    )
    with mlflow_server(uri, place / "mlartifacts", 0) as server:
        for what, question in QUESTIONS.items():
            wanted = {"experiment_ids": ["1"], "max_results": 100, **question}
            times = [asked(server.address, wanted) for _ in range(5)]
            yield Line(f"{what}, of {size.runs:,} runs", Spread.of(times), " s")


def proposed(size: Size, folder: Path) -> Iterator[Line]:
    """What one proposal takes, after so many trials of the arm."""
    for known in size.known:
        times = in_its_own_process(propose, known)
        yield Line(f"TPE's proposal after {known:,} trials, CPU", Spread.of(times), " ms")


def one(value: float) -> Spread:
    return Spread.of([value])


# -- what is measured --------------------------------------------------------------------------------


def a_study(trials: int, arms: int, sampler: str = "random") -> StudySpec:
    """As many arms as are wanted, by widths that nobody trains."""
    table = {
        "question": "What does it take to do nothing?",
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "scientific": {"model": {"width": [round(0.01 * number, 2) for number in range(1, arms + 1)]}},
        "nuisance": {"optimizer": {"lr": {"low": 1e-4, "high": 1.0, "log": True}}},
        "fixed": {"dataset": {"name": "digits"}, "training": {"epochs": 1}},
        "search": {"sampler": sampler, "trials_per_arm": max(1, trials // arms), "replicates": 0},
    }
    return validate(table, "scale", "scale.toml")


def conduct(folder: Path, trials: int, arms: int, slots: int) -> tuple[float, float, float]:
    """CPU milliseconds a trial, the most memory in MB, and the seconds in which the record is read again."""
    spec = a_study(trials, arms)
    record = StudyRecord.create(Path(tempfile.mkdtemp(dir=folder)), spec)
    began = time.process_time()
    with JournalWriter(record) as journal:
        journal.session({}, ["study", "run"])
        run_all(Conductor(record, journal, worst=0.1, concurrent=slots))
    cpu_ms = 1e3 * (time.process_time() - began) / spec.trial_count
    began = time.monotonic()
    with JournalWriter(record) as journal:
        again = Conductor(record, journal, worst=0.1)
    assert not again.missing()
    return cpu_ms, peak_memory_mb(), time.monotonic() - began


def propose(known: int) -> list[float]:
    """CPU milliseconds of some proposals, one after the other."""
    spec, draw, times = a_study(known, 1, "tpe"), random.Random(0), list[float]()
    (arm,) = spec.arms()
    search = search_inside(spec, arm)
    for index in range(known + PROPOSALS):
        if index < known:
            tuned: dict[str, Scalar] = {"optimizer.lr": 10 ** draw.uniform(-4, 0)}
            search.repeat(index, tuned)
        else:
            began = time.process_time()
            tuned = search.ask(index)
            times.append(1e3 * (time.process_time() - began))
        config = TrialConfig("scale", arm.name, "tune", index, arm.complete(tuned), index, 0)
        search.tell(TrialResult(config, Verdict("ok"), metrics={"val_accuracy": draw.random()}), 0.1)
    return times


def run_all(conductor: Conductor) -> None:
    """Trials start as long as there is a slot, and end in any order."""
    draw, running = random.Random(0), list[TrialConfig]()
    while True:
        while (config := conductor.next_trial()) is not None:
            conductor.started(config, config.id)
            running.append(config)
        if not running:
            return
        config = running.pop(draw.randrange(len(running)))
        row = a_row(config, 1)
        conductor.reported(config, config.id, row)
        metrics = {"val_accuracy": float(row["val_accuracy"] or 0.0)}
        conductor.ended(TrialResult(config, Verdict("ok"), metrics=metrics), config.id)
        conductor.news.clear()


def crowd(folder: Path, workers: int) -> tuple[float, float, float]:
    """Seconds for two trials a worker, until every worker had begun its first, and the least free memory."""
    from study.spec import Resources
    from study.tuning.attempt import Keeping
    from study.tuning.session import ray_session

    spec = a_study(2 * workers, 1)
    record = StudyRecord.create(Path(tempfile.mkdtemp(dir=folder)), spec)
    started, least_mb = list[float](), list[float]()

    def watch(conductor: Conductor) -> None:
        begun = sum(running.token is not None for running in conductor.running.values())
        least_mb.append(psutil.virtual_memory().available / 2**20)
        if begun + len(conductor.done) >= workers and not started:
            started.append(time.monotonic())

    place = folder / "cluster"
    cluster = nodes.up(place, 1, workers, lambda line: None)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(cluster.token_file)  # of a cluster that is not this user's own
    try:
        with JournalWriter(record) as journal:
            journal.session({}, ["study", "run"])
            conductor = Conductor(record, journal, worst=0.1, watch=watch)
            data = nothing_to_learn()
            with ray_session(cluster.address, Resources(), debug=False) as slots:
                from study.tuning.spread import spread

                conductor.concurrent = slots.concurrent
                record.checkpoints.mkdir()
                began = time.monotonic()
                spread(conductor, data, slots, Keeping(record.checkpoints, 10.0), NoWork(1, pause_s=10.0))
                return time.monotonic() - began, started[0] - began, min(least_mb)
    finally:
        nodes.down(place)


def recorded(folder: Path, runs: int) -> Path:
    """The folder of a record with so many trials, eight metrics each."""
    spec = a_study(runs, 10 if runs >= 10 else 1)
    record = StudyRecord.create(folder, spec)
    with JournalWriter(record) as journal:
        journal.session({}, ["study", "run"])
        run_all(Conductor(record, journal, worst=0.1, concurrent=2))
        journal.finished()
    return record.folder


def asked(address: str, wanted: dict[str, object]) -> float:
    """Seconds until the server has answered."""
    began = time.monotonic()
    answer = requests.post(f"{address}/api/2.0/mlflow/runs/search", json=wanted, timeout=300)
    answer.raise_for_status()
    assert answer.json()["runs"]
    return time.monotonic() - began


# -- the table ---------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_const", const=SMALL, dest="size", default=FULL)
    parser.add_argument("--only", default=",".join(PARTS), metavar="S1,S3", help="these parts")
    parser.add_argument("--out", type=Path, default=Path("runs/scale"), help="where the JSON is kept")
    asked_for = parser.parse_args()
    names = asked_for.only.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    rows: list[Row] = []
    asked_for.out.mkdir(parents=True, exist_ok=True)
    path = asked_for.out / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    with tempfile.TemporaryDirectory(prefix="study-scale-") as folder:
        for name in names:
            title, measure = PARTS[name]
            began = time.monotonic()
            lines = list(measure(asked_for.size, Path(folder)))
            rows.append(Row(name, title, lines, time.monotonic() - began))
            sys.stdout.write(f"{rendered(rows[-1])}\n")
            sys.stdout.flush()
            kept = {**document(rows, "small" if asked_for.size is SMALL else "full"), "benchmark": "scale"}
            write_whole(path, json.dumps(kept, indent=2, allow_nan=False) + "\n")
    machine = kept["environment"]
    sys.stdout.write(f"{machine['cpu']}, {machine['cores']} cores, {kept['date']}\nkept in {path}\n")


# How many proposals are timed.
PROPOSALS = 11

# What MLflow's pages ask for: the list as it opens, a view of the study, a search by tags.
QUESTIONS: dict[str, dict[str, object]] = {
    "the newest 100": {"order_by": ["attributes.start_time DESC"]},
    "the best 100 trials": {
        "filter": "tags.phase = 'tune'",
        "order_by": ["metrics.`val_accuracy` DESC"],
    },
    "100 that ended well": {"filter": "tags.verdict = 'ok'"},
}

Part = Callable[[Size, Path], Iterator[Line]]
PARTS: dict[str, tuple[str, Part]] = {
    "S1": ("trials that do nothing, over Ray", over_ray),
    "S2": ("what decides and records, without Ray", conducted),
    "S3": ("workers at once", at_once),
    "S4": ("runs in MLflow", in_mlflow),
    "S5": ("proposals inside one arm", proposed),
}

if __name__ == "__main__":
    main()
