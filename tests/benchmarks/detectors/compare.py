"""Replays the stored traces through the monitor and through the rules that others use.

    python -m tests.benchmarks.detectors.compare        (make bench-detectors)

Caught: flagged at any step. Delay: median and largest number of steps from the onset of the trouble to
the flag, negative where the flag came first (for a number that is not finite the onset is that number).
The other columns count trainings that a rule would have ended for nothing: healthy ones, those that
recovered from a spike, and those that sat on a plateau.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from study.components.thresholds import Thresholds
from study.divergence import Monitor
from study.trial import Verdict
from tests.benchmarks.detectors.rules import Rule, table
from tests.benchmarks.detectors.traces import KINDS, PATH, Trace, command, load

TROUBLES = ("nonfinite", "no return", "dead")
FINE = ("healthy", "recovered", "plateau")


@dataclass(frozen=True)
class Outcome:
    """What a rule said of a trace: the step at which it spoke, None where it did not."""

    trace: Trace
    step: int | None

    @property
    def delay(self) -> int | None:
        return None if self.step is None else self.step - self.trace.onset


def replay(trace: Trace, thresholds: Thresholds | None = None) -> tuple[Verdict | None, Monitor]:
    """The monitor's verdict on a trace, told it as a training tells it; and the monitor."""
    monitor = Monitor(trace.scale, chance=trace.chance, epoch_steps=trace.epoch_steps, thresholds=thresholds)
    values = torch.from_numpy(trace.losses), torch.from_numpy(trace.norms)
    for step, (loss, norm) in enumerate(zip(*values, strict=True), start=1):
        if monitor.step(loss, norm, 0.1):
            break
        epoch, rest = divmod(step, trace.epoch_steps)
        if rest == 0 and epoch <= len(trace.accuracies) and end_epoch(monitor, trace, epoch - 1):
            break
    return monitor.verdict, monitor


def end_epoch(monitor: Monitor, trace: Trace, epoch: int) -> Verdict | None:
    evaluation = float(trace.evaluations[epoch])
    if math.isfinite(evaluation) and monitor.evaluation_alone(evaluation):
        monitor.note("evaluation_alone", train_eval_loss=evaluation)
    return monitor.epoch(
        float(trace.accuracies[epoch]),
        trace.examples,
        alike=lambda: bool(trace.alike[epoch]),
        last=epoch == len(trace.accuracies) - 1,
    )


def by_monitor(trace: Trace) -> Outcome:
    verdict, _ = replay(trace)
    return Outcome(trace, None if verdict is None else verdict.step)


def by_rule(trace: Trace, rule: Rule) -> Outcome:
    values = zip(trace.losses.tolist(), trace.norms.tolist(), strict=True)
    return Outcome(trace, next((step for step, told in enumerate(values) if rule(*told)), None))


def row(name: str, outcomes: Iterable[Outcome]) -> list[str]:
    found = list(outcomes)
    cells = [name]
    for kind in TROUBLES:
        mine = [each for each in found if each.trace.kind == kind]
        delays = [each.delay for each in mine if each.delay is not None]
        cells.append(f"{len(delays)}/{len(mine)}")
        cells.append(f"{statistics.median(delays):+.0f} ({max(delays):+d})" if delays else "-")
    for kind in FINE:
        mine = [each for each in found if each.trace.kind == kind]
        cells.append(f"{sum(each.step is not None for each in mine)}/{len(mine)}")
    return cells


HEADER = [
    *("rule", "not finite", "delay", "no return", "delay", "dead", "delay"),
    *("healthy stopped", "recovered stopped", "plateau stopped"),
]


def compare(traces: list[Trace]) -> list[list[str]]:
    rows = [HEADER, row("the monitor", map(by_monitor, traces))]
    classes = round(1 / min(trace.chance for trace in traces))
    for name, make in table(classes).items():
        rows.append(row(name, (by_rule(trace, make()) for trace in traces)))
    return rows


def written(rows: list[list[str]]) -> str:
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def events(traces: list[Trace]) -> str:
    """What the monitor told without stopping, by kind of trace."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for trace in traces:
        _, monitor = replay(trace)
        counts[trace.kind].update(event["kind"] for event in monitor.events)
        counts[trace.kind][f"verdict {monitor.verdict or 'none'}"] += 1
    return "\n".join(
        f"{kind}: " + ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))
        for kind, counted in counts.items()
        if counted
    )


def main(write: Callable[[str], object] = sys.stdout.write) -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else PATH
    traces = load(path)
    write(f"{len(traces)} traces, made by: {command(path)}\n\n")
    write(written(compare(traces)) + "\n\nWhat the monitor told of them:\n" + events(traces) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
