"""P13: what a study adds to a training: monitor, metrics, checkpoints and reports, as a share of step time.

The watch over each step is timed within it; steps without it, by turns, say whether it costs more than its
own time, as far as their noise lets them (tests/benchmarks/monitor_overhead.py has both). A checkpoint and a
report are measured by what one takes, as a share of the time from one to the next. Metrics are made of what
an evaluation has anyway; what their arithmetic takes is measured as a share of the evaluation's epoch.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from study.checkpoint import Saved, write
from study.components.metrics import of_task
from study.components.tasks import Answers
from study.devices import pick_device, reproducible, resolve_precision
from study.snapshot import capture
from study.spec import Resources
from study.steps import Trial, answers, differentiate, update
from tests.benchmarks.monitor_overhead import CASES, endless, trial_of
from tests.benchmarks.monitor_overhead import measure as watched
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.p05_reports import blocked_s, reporting
from tests.benchmarks.speed.sizes import Bench

# An epoch as short as P1's.
EPOCH_EXAMPLES, EVALUATED = 2000, 1000
REPEATS = 5


def measure(bench: Bench) -> list[Line]:
    device = pick_device("cpu")
    size = bench.size
    case = replace(
        CASES["usual"],
        rounds=size.watched_rounds,
        batch_size=size.batch,
        precision=resolve_precision("auto", device),
    )
    with reproducible(device, 0, 1):
        rounds = list(watched(case, device))
        trial = trial_of(case, device)
        shares = {
            "monitor": Spread.of([100 * each.added for each in rounds]),
            "checkpoints": Spread.of([100 * checkpoint_s(trial, bench.folder) / Resources().checkpoint_s]),
        }
        epoch_s = (
            EPOCH_EXAMPLES / case.batch_size * statistics.median(each.bare for each in rounds) / case.pairs
        )
        shares["metrics"] = Spread.of([100 * metrics_s(trial) / epoch_s])
    shares["reports"] = Spread.of([100 * report_s(bench) / epoch_s])
    lines = [Line(name, found, " %") for name, found in shares.items()]
    slower = Spread.of([100 * (each.watched / each.bare - 1) for each in rounds])
    lines.insert(1, Line("watched steps less bare ones", slower, " %", note="as noisy as the machine"))
    together = Spread.of([sum(each.median for each in shares.values())])
    note = f"steps of {1e3 * epoch_s * case.batch_size / EPOCH_EXAMPLES:.0f} ms, epochs of {epoch_s:.1f} s"
    return [
        *lines,
        Line("all together", together, " %", Bound("<=", 2.0), "the shortest epochs pay most", note),
    ]


def checkpoint_s(trial: Trial, folder: Path) -> float:
    """A snapshot of the trial, on the disk."""
    source = endless(trial)
    differentiate(trial, *next(source))
    update(trial)
    place = Path(tempfile.mkdtemp(dir=folder)) / "1.ckpt"
    return taken(lambda: write(place, "benchmark", Saved(capture(trial), (), 1.0)))


def metrics_s(trial: Trial) -> float:
    """All metrics of validation and of the evaluated training examples, from their outputs."""
    with torch.inference_mode():
        few = answers(trial, trial.parts["val"], None)
        many = torch.arange(EVALUATED) % len(few.targets)
        found = Answers(few.outputs[many], few.targets[many], few.losses[many], few.levels, None, None)
        return taken(lambda: [metric.of(found).item() for metric in of_task(trial.task).values()]) * 2


def report_s(bench: Bench) -> float:
    return statistics.median(blocked_s(reporting(bench)))


def taken(action: Callable[[], object]) -> float:
    """Seconds that it takes, the median of some."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
