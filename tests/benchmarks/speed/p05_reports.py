"""P5: how long a report holds the trainer up, and how many pass through the driver."""

from __future__ import annotations

from itertools import chain

from tests.benchmarks.speed.contestants import slots
from tests.benchmarks.speed.driven import Drive, Driven, NoWork, driven
from tests.benchmarks.speed.lines import Bound, Line, Spread, quantile
from tests.benchmarks.speed.sizes import Bench

# Between two reports of a trainer that is busy with other things: still far more often than epochs end.
PAUSE_S = 0.05
WAITS = "Tune's report waits until the driver has answered, so that a stopped trial stops"


def measure(bench: Bench) -> list[Line]:
    paced = driven(bench.folder, Drive(slots(), paced_trainer(bench)))
    blocked_ms = [1e3 * each for each in chain.from_iterable(one["blocked_s"] for one in paced.seen)]
    # Twice as many trials as slots: counted is from the first one's end, when all workers are warm.
    pressed = driven(bench.folder, Drive(2 * slots(), NoWork(bench.size.reports)))
    per_s = throughput(pressed)
    cpu_ms = 1e3 * pressed.cpu_s / (pressed.trials * bench.size.reports)
    return [
        Line("trainer blocked, median", Spread.of([quantile(blocked_ms, 0.5)]), " ms", Bound("<", 1), WAITS),
        Line("trainer blocked, p99", Spread.of([quantile(blocked_ms, 0.99)]), " ms", Bound("<", 5), WAITS),
        Line("through the driver", Spread.of([per_s]), " /s", Bound(">=", 400), "Tune's event loop"),
        Line("driver's CPU a report", Spread.of([cpu_ms]), " ms", Bound("<=", 1), "Tune's event loop"),
    ]


def paced_trainer(bench: Bench) -> NoWork:
    return NoWork(bench.size.reports // 10, pause_s=PAUSE_S)


def throughput(run: Driven) -> float:
    """Reports a second of trainers that do nothing else."""
    reports = sum(len(one["blocked_s"]) for one in run.seen)
    spent_s = sum(float(one["ended"]) - float(one["began"]) for one in run.seen)
    return slots() * reports / spent_s
