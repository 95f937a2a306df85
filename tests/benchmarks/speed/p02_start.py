"""P2: a small study with start and stop, where its time goes, and how long until the first step."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from itertools import pairwise

from study.places import cluster_folder
from study.record import StudyRecord
from study.trial import Row
from study.tuning import nodes
from tests.benchmarks.speed.contestants import Finished, fewer, natural, ours, rounds, slots, timed
from tests.benchmarks.speed.lines import Bound, Line, Spread, ratio
from tests.benchmarks.speed.sizes import Bench

HELP_ROUNDS = 5


def measure(bench: Bench) -> list[Line]:
    pairs = rounds(bench, bench.size.short)
    raw, whole = ([each.seconds for each in side] for side in zip(*pairs, strict=True))
    helps = [timed(["-m", "study", "--help"])[1] for _ in range(HELP_ROUNDS)]
    return [
        Line(
            "start and stop included, beside raw loops",
            ratio(whole, raw),
            "x",
            Bound("<=", 1.15),
            "Ray's start and stop, over so short a study",
            f"{whole[-1]:.1f} s beside {raw[-1]:.1f} s: {told(stages(pairs[-1][1]))}",
        ),
        first_step("cold", [study for _, study in pairs], 8.0),
        first_step("on a warm cluster", [on_a_running_cluster(bench) for _ in range(bench.size.rounds)], 2.0),
        Line("study --help", Spread.of(helps), " s", Bound("<", 0.3)),
    ]


def on_a_running_cluster(bench: Bench) -> Finished:
    """A study that is over as soon as it has begun, on `study cluster up --local-nodes 1 --warm`, apart from
    whatever the user has running."""
    home = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(bench.folder)
    try:
        nodes.up(cluster_folder(), 1, slots(), lambda line: None, warm=True)
        return ours(bench, fewer(bench.size.short), natural(), "--address", "auto")
    finally:
        nodes.down(cluster_folder())
        os.environ.pop("XDG_STATE_HOME")
        if home is not None:
            os.environ["XDG_STATE_HOME"] = home


def first_step(where: str, starts: list[Finished], bound_s: float) -> Line:
    waits = [first_step_at(each.record) - each.started for each in starts if each.record]
    found, note = Spread.of(waits), told(stages(starts[-1]))
    return Line(
        f"command to first step, {where}", found, " s", Bound("<=", bound_s), "see where it goes", note
    )


def first_step_at(record: StudyRecord) -> float:
    """When the first epoch's training began, in seconds since 1970.

    A row is written when the epoch's evaluation is over; this takes as long as in the second epoch. Where
    there is none the answer is late by it.
    """
    rows = [(event["trial"], event["row"]) for event in record.events() if event["event"] == "epoch"]
    trial, first = min(rows, key=lambda each: each[1]["time"])
    size = float(record.spec.held["dataset.train_size"])

    def trained(row: Row) -> float:
        return size / float(row["images_per_second"] or math.inf)

    second = next((row for each, row in rows if each == trial and row["epoch"] == 2), None)
    evaluated = second["time"] - first["time"] - trained(second) if second else 0.0
    return float(first["time"]) - evaluated - trained(first)


def stages(finished: Finished) -> dict[str, float]:
    """Seconds from one thing to the next, from the command to its end."""
    record, times = finished.record, {"": finished.started}
    assert record is not None, "only studies have stages"
    for event in record.events():
        stage, at = STAGES.get(event["event"]), float(event["time"])
        if stage is not None:
            times[stage] = times.get(stage, at) if event["event"] in ("asked", "started") else at
    times["MLflow and Python end"] = finished.started + finished.seconds
    ordered = sorted(times.items(), key=lambda each: each[1])
    return {stage: after - before for (_, before), (stage, after) in pairwise(ordered)}


def told(found: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in found.items())


# What has been done when the event is written.
STAGES = {
    "session": "imports and data",
    "asked": "MLflow and Ray start",
    "started": "a worker starts",
    "result": "training",
    "finished": "Ray stops",
    "ended": "report",
}
