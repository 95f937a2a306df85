"""Progress of a running study: a live view at a terminal, one plain line a trial elsewhere.

All of it goes to standard error; standard output is for the ranking.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.arm_progress import ArmProgress
from study.cli.remaining import remaining, spent, told
from study.conductor import Conductor, Running
from study.spec import StudySpec
from study.trial import STATUSES, Row, TrialResult

BARS = "▁▂▃▄▅▆▇█"
COLOURS = {"ok": "green", "pruned": "cyan", "diverged": "yellow", "stalled": "magenta", "failed": "red"}


class Shown(Protocol):
    """Where a running study's lines and news go."""

    def say(self, line: str) -> None:
        """A line for people."""

    def watch(self, conductor: Conductor) -> None:
        """Something has happened."""


@contextmanager
def progress(spec: StudySpec) -> Iterator[Shown]:
    """Progress of ``spec``'s run on standard error, live where that is a terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines(spec, console)
        return
    live = LiveView(spec, console)
    with live.screen:
        yield live


@dataclass
class Lines:
    """For logs and pipes: a line when a trial ends."""

    spec: StudySpec
    console: Console

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def watch(self, conductor: Conductor) -> None:
        while conductor.news:
            line = trial_line(self.spec, conductor.news.popleft())
            self.say(f"[{done_of_all(conductor)}] {line}  left {left(conductor)}")


class LiveView:
    """For a terminal: arms, running trials, verdicts, time left. Drawn four times a second."""

    def __init__(self, spec: StudySpec, console: Console) -> None:
        self.spec, self.console = spec, console
        self.conductor: Conductor | None = None
        self.screen = Live(
            console=console,
            refresh_per_second=4,
            transient=True,
            get_renderable=self.render,
            redirect_stdout=False,
        )

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def watch(self, conductor: Conductor) -> None:
        self.conductor = conductor
        conductor.news.clear()

    def render(self) -> RenderableType:
        if self.conductor is None:
            return Text.from_markup(f"[bold]{escape(self.spec.name)}[/bold]  starting")
        return Group(self._heading(self.conductor), self._arms(self.conductor), self._running(self.conductor))

    def _heading(self, conductor: Conductor) -> RenderableType:
        lines = [
            f"[bold]{escape(self.spec.name)}[/bold]  {done_of_all(conductor)} trials  left {left(conductor)}",
            f"[dim]spent {spent(conductor)}[/dim]",
        ]
        if conductor.done:
            lines.insert(1, verdicts(conductor))
        return Text.from_markup("\n".join(lines))

    def _arms(self, conductor: Conductor) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("arm", "tuned", "", "confirmed", f"best {self.spec.objective.metric}"):
            table.add_column(heading, no_wrap=True)
        room = max(3, self.console.height - min(len(conductor.running), self._rows()) - 8)
        add_rows(table, [self._arm(progress) for progress in conductor.arms.values()], room, "arms")
        return table

    def _arm(self, progress: ArmProgress) -> list[RenderableType]:
        search = self.spec.search
        tuned, confirmed = len(progress.ended["tune"]), len(progress.ended["confirm"])
        best = best_value(self.spec, progress)
        bar = ProgressBar(search.trials_per_arm + search.replicates, tuned + confirmed, width=20)
        return [
            escape(progress.arm.name),
            f"{tuned}/{search.trials_per_arm}",
            bar,
            f"{confirmed}/{search.replicates}",
            "" if best is None else f"{best:.4f}",
        ]

    def _running(self, conductor: Conductor) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("running", "epoch", self.spec.objective.metric, "", "seconds"):
            table.add_column(heading, no_wrap=True)
        begun = [each for each in [*conductor.running.values()] if each.token is not None]
        add_rows(table, [self._trial(each) for each in begun], self._rows(), "trials")
        return table

    def _rows(self) -> int:
        """How many running trials fit: a third of the screen."""
        return max(3, self.console.height // 3)

    def _trial(self, running: Running) -> list[RenderableType]:
        values = finite_values(running.rows, self.spec.objective.metric)
        epochs = running.config.hyperparameters.get("training.epochs", "?")
        return [
            escape(running.config.id),
            f"{len(running.rows)}/{epochs}",
            f"{values[-1]:.4f}" if values else "",
            sparkline(values),
            f"{time.monotonic() - running.since:.0f}",
        ]


def add_rows(table: Table, rows: list[list[RenderableType]], room: int, what: str) -> None:
    """As many rows as there is room for, and how many there are beside."""
    shown = rows if len(rows) <= room else rows[: room - 1]
    for row in shown:
        table.add_row(*row)
    if len(shown) < len(rows):
        table.add_row(f"[dim]and {len(rows) - len(shown)} more {what}[/dim]")


def verdicts(conductor: Conductor) -> str:
    """How trials have ended, by cause: ``ok 12  diverged(nonfinite_loss) 3``."""
    counts = Counter((each.verdict.status, str(each.verdict)) for each in [*conductor.done.values()])
    order = sorted(counts.items(), key=lambda entry: STATUSES.index(entry[0][0]))
    return "  ".join(f"[{COLOURS[status]}]{escape(text)} {count}[/]" for (status, text), count in order)


def done_of_all(conductor: Conductor) -> str:
    """``12/70``."""
    return f"{len(conductor.done)}/{len(conductor.done) + conductor.missing()}"


def left(conductor: Conductor) -> str:
    return told(remaining(conductor))


def trial_line(spec: StudySpec, result: TrialResult) -> str:
    """``relu+bn/tune/3  ok  val_accuracy 0.5120  optimizer.lr=0.012  38 s``."""
    metrics = dict(result.metrics)
    shown = [
        name
        for name in (spec.objective.metric, spec.objective.metric.replace("val_", "test_"))
        if name in metrics
    ]
    numbers = "  ".join(f"{name} {metrics[name]:.4f}" for name in shown)
    arm = next(arm for arm in spec.arms() if arm.name == result.config.arm)
    tuned = arm.space.tuned_part(result.config.hyperparameters)
    settings = " ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in tuned.items()
    )
    parts = (result.config.id, str(result.verdict), numbers, settings, f"{result.seconds:.0f} s")
    return "  ".join(part for part in parts if part)


def best_value(spec: StudySpec, progress: ArmProgress) -> float | None:
    """The best final value of the objective among an arm's finished tuning trials."""
    ended = progress.ended["tune"].values()
    values = [each.metrics[spec.objective.metric] for each in ended if each.verdict.status == "ok"]
    return (max if spec.objective.direction == "maximize" else min)(values, default=None)


def finite_values(rows: list[Row], metric: str) -> list[float]:
    return [float(value) for row in rows if (value := row.get(metric)) is not None]


def sparkline(values: list[float], width: int = 20) -> str:
    """The last ``width`` values as bars of eight heights."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    return "".join(BARS[int((value - low) / (high - low or 1) * (len(BARS) - 1))] for value in shown)
