"""P5: how long a report holds the trainer up, and how many pass through the driver."""

from __future__ import annotations

from tests.benchmarks.speed.contestants import slots
from tests.benchmarks.speed.driven import Changing, Drive, Driven, NoWork, driven
from tests.benchmarks.speed.lines import Bound, Line, Spread, quantile
from tests.benchmarks.speed.sizes import Bench

# Between two reports of a trainer that is busy with other things: still far more often than epochs end.
PAUSE_S = 0.05
HANDED = "it is handed to a thread, and Python has one lock"


def measure(bench: Bench) -> list[Line]:
    run = reporting(bench)
    blocked_ms = [1e3 * each for each in blocked_s(run)]
    per_s = run.reports / run.wall_s[-1]
    cpu_ms = 1e3 * run.cpu_s[-1] / run.reports
    return [
        Line("trainer blocked, median", Spread.of([quantile(blocked_ms, 0.5)]), " ms", Bound("<", 1), HANDED),
        Line("trainer blocked, p99", Spread.of([quantile(blocked_ms, 0.99)]), " ms", Bound("<", 5), HANDED),
        Line("through the driver", Spread.of([per_s]), " /s", Bound(">=", 400), "Tune's event loop"),
        Line("driver's CPU a report", Spread.of([cpu_ms]), " ms", Bound("<=", 1), "Tune's event loop"),
    ]


def reporting(bench: Bench) -> Driven:
    """One trial a slot that is busy with other things, and then two that only report. Counted is from the end
    of the former, when all workers are warm."""
    paced = NoWork(bench.size.reports // 10, PAUSE_S, reads=True)
    pressed = NoWork(bench.size.reports, reads=True)
    return driven(bench.folder, Drive(3 * slots(), Changing(slots(), paced, pressed)))


def blocked_s(run: Driven) -> list[float]:
    """By each report of a trainer that is busy with other things, as long as no other does nothing else."""
    pressed_at = min(one["began"] for one in run.seen if not one["pause_s"])
    found = []
    for one in run.seen:
        at = one["began"]
        for blocked in one["blocked_s"] if one["pause_s"] else ():
            at += blocked
            if at < pressed_at:
                found.append(blocked)
            at += one["pause_s"]
    return found
