"""Figure: what tuning found along the learning rate, and where trials diverged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.analysis.figures.drawing import (
    MOST_COLOURS,
    Drawing,
    Theme,
    arm_style,
    dress,
    left_out,
    legend_below,
    names_on_y,
    new_figure,
    plain,
    plain_ticks,
    spans_decades,
)
from study.analysis.outcomes import Results, ended, finite
from study.analysis.ranking import Ranking
from study.analysis.selection import best_trial
from study.analysis.wording import counted, key_name, metric_name, metric_with_unit
from study.space import Float, Int
from study.spec import StudySpec
from study.trial import STATUSES, Status, TrialResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRIP_MARKERS: Mapping[Status, str] = {"diverged": "x", "stalled": "d", "pruned": "|", "failed": "+"}


@dataclass(frozen=True)
class Point:
    """A tuning trial at its place on the x axis; ``y`` is None where it has no final value."""

    trial: TrialResult
    x: float
    y: float | None


def draw_tuning(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Final validation value against the learning rate, or else the first range that is searched;
    trials without a value stand on a strip below, at their place on the x axis."""
    key, log = _x_axis(spec)
    points = {arm.arm: _points(spec, results, arm.arm, key) for arm in found.arms} if key else {}
    drawn = [name for name, mine in points.items() if mine]
    shown = drawn[:MOST_COLOURS]
    if not shown:
        return None
    below = [name for name in shown if any(point.y is None for point in points[name])]
    heights = [2.2, 0.1 + 0.17 * len(below)] if below else [2.2]
    grid_shape = {"nrows": len(heights), "sharex": True, "squeeze": False, "height_ratios": heights}
    figure, grid = new_figure(0.4 + sum(heights), theme, **grid_shape)
    axes = grid[0, 0]
    handles = []
    for name in shown:
        best = best_trial(spec, results, name)
        handles.append(_dots(axes, name, points[name], best, arm_style(spec, name, theme)))
    _scale(axes, log, [point.y for name in shown for point in points[name] if point.y is not None])
    axes.set_ylabel(metric_with_unit(spec.objective.metric, spec))
    dress(axes, theme)
    if below:
        handles += _strip(grid[1, 0], {name: points[name] for name in below}, theme)
    if log:
        plain_ticks(grid[-1, 0].xaxis)
    grid[-1, 0].set_xlabel(plain(key_name(key)))
    legend_below(figure, theme, handles)
    total = counted(sum(len(points[name]) for name in shown), "trial")
    caption = (
        f"Final {metric_name(spec.objective.metric)} against {key_name(key)}, {total} (n = 1 each). "
        "Ringed: each arm's best."
    )
    if below:
        caption += " Below the panel: trials without a final value."
    return Drawing(figure, "Tuning", caption + left_out(len(drawn), MOST_COLOURS))


def _x_axis(spec: StudySpec) -> tuple[str, bool]:
    """The key on the x axis and whether it is searched on a log scale; an empty key for none."""
    ranges = [
        (entry.key, entry.distribution.log)
        for arm in spec.arms()
        for entry in arm.space.entries
        if isinstance(entry.distribution, Float | Int)
    ]
    # Stable: of equal ones the first in the study file.
    ranges.sort(key=lambda each: (each[0] != "optimizer.lr", not each[1]))
    return ranges[0] if ranges else ("", False)


def _points(spec: StudySpec, results: Results, arm: str, key: str) -> list[Point]:
    points = []
    for result in ended(results, arm, "tune"):
        x = result.config.hyperparameters.get(key)
        y = result.metrics.get(spec.objective.metric) if result.verdict.status == "ok" else None
        if isinstance(x, int | float):
            points.append(Point(result, float(x), finite(y)))
    return points


def _dots(
    axes: Axes, name: str, points: Sequence[Point], best: TrialResult | None, style: dict[str, Any]
) -> Any:
    look = {**style, "linestyle": ""}
    known = [(point.x, point.y) for point in points if point.y is not None]
    xs, ys = [x for x, _ in known], [y for _, y in known]
    handle = axes.plot(xs, ys, label=plain(name), markersize=3.6, **look)[0]
    for point in points:
        if best is not None and point.trial.config.id == best.config.id and point.y is not None:
            ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 0.9, "markersize": 8}
            axes.plot(point.x, point.y, "o", color=style["color"], **ring)
    return handle


def _scale(axes: Axes, log: bool, numbers: Sequence[float]) -> None:
    if log:
        axes.set_xscale("log")
    if spans_decades(numbers):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)


def _strip(axes: Axes, points: Mapping[str, Sequence[Point]], theme: Theme) -> list[Any]:
    """One row an arm with the trials that have no final value; returns the legend's handles."""
    handles: dict[Status, Any] = {}
    for row, mine in enumerate(points.values()):
        for point in mine:
            status = point.trial.verdict.status
            if point.y is None:
                look: dict[str, Any] = {"color": theme.ink, "markersize": 4.5, "linestyle": ""}
                marker = STRIP_MARKERS.get(status, ".")
                handles[status] = axes.plot(point.x, row, marker=marker, label=status, **look)[0]
    names_on_y(axes, list(points))
    dress(axes, theme, grid="x")
    axes.tick_params(axis="y", length=0)
    return [handles[status] for status in STATUSES if status in handles]
