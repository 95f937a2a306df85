"""P7: how long a warm worker idles between the end of one trial's training and the beginning of the next's,
with a TPE that has nearly a thousand trials to go by: the result's way to the driver, a proposal, the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from tests.benchmarks.speed.driven import Drive, NoWork, driven
from tests.benchmarks.speed.lines import Bound, Line, Spread, quantile
from tests.benchmarks.speed.p04_orchestration import largest
from tests.benchmarks.speed.sizes import Bench

# Long enough that a proposal asked for ahead would be there.
TRIAL_S = 0.5


def measure(bench: Bench) -> list[Line]:
    trials = bench.size.known + bench.size.proposed
    run = driven(bench.folder, Drive(trials, NoWork(1, pause_s=TRIAL_S), "tpe", bench.size.known))
    idle_ms = [1e3 * each for each in idle_s(run.seen)]
    median, p95, bound = quantile(idle_ms, 0.5), quantile(idle_ms, 0.95), Bound("<=", 50)
    limit = "" if bound.holds(p95) else without_tpe(bench)
    what = f"TPE from {bench.size.known:,} trials on"
    return [
        Line(f"{what}, median", Spread.of([median]), " ms"),
        Line(f"{what}, p95", Spread.of([p95]), " ms", bound, limit),
    ]


def without_tpe(bench: Bench) -> str:
    """What stands in the way: P4's trials, whose proposals are random."""
    p95 = quantile([1e3 * each for each in idle_s(largest(bench).seen)], 0.95)
    return f"with random proposals it is {p95:.0f} ms: the rest is TPE's, which the worker waits for"


def idle_s(seen: Iterable[Mapping[str, Any]]) -> list[float]:
    """Between two trials of one process."""
    by_process: dict[int, list[tuple[float, float]]] = {}
    for one in seen:
        by_process.setdefault(one["process"], []).append((one["began"], one["ended"]))
    return [
        later[0] - earlier[1] for spans in by_process.values() for earlier, later in pairwise(sorted(spans))
    ]
