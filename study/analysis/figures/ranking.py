"""Figure: each arm's replicates, their mean and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.analysis.figures.drawing import (
    MOST_ROWS,
    Drawing,
    Theme,
    dress,
    few_ticks,
    left_out,
    names_on_y,
    new_figure,
)
from study.analysis.outcomes import Results
from study.analysis.ranking import RankedArm, Ranking
from study.analysis.wording import metric_name, metric_with_unit, sentence
from study.spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INTERVALS = (("t", "t"), ("bca", "BCa bootstrap"))


def draw_ranking(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Each arm's replicates, their mean and its 95 % interval, best arm on top."""
    arms = [arm for arm in found.arms if arm.rank is not None]
    shown = arms[:MOST_ROWS]
    if not shown:
        return None
    figure, axes = new_figure(0.75 + 0.33 * len(shown), theme)
    for row, arm in enumerate(shown):
        _replicate_dots(axes, row, arm, theme)
        _mean_with_interval(axes, row, arm, theme)
    names_on_y(axes, [arm.arm for arm in shown])
    axes.set_xlabel(metric_with_unit(found.metric, spec))
    few_ticks(axes.xaxis)
    dress(axes, theme, grid="x")
    sizes = sorted({arm.n for arm in shown})
    n = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    caption = (
        f"{sentence(metric_name(found.metric))} of the confirm phase, {n} replicates an arm. "
        f"Dots: replicates; diamonds and bars: mean and 95 % {_intervals(shown)} interval."
    )
    if any(each.penalised for arm in shown for each in arm.replicates):
        caption += " Crosses: replicates that diverged or stalled, counted as chance."
    return Drawing(figure, "Ranking", caption + left_out(len(arms), MOST_ROWS))


def _intervals(shown: Sequence[RankedArm]) -> str:
    kinds = {arm.interval.kind for arm in shown if arm.interval.low is not None}
    return (
        " or ".join({"t": "t", "bca": "BCa bootstrap"}[kind] for kind in sorted(kinds, reverse=True)) or "t"
    )


def _replicate_dots(axes: Axes, row: int, arm: RankedArm, theme: Theme) -> None:
    # Below the mean, and spread a little, so that equal scores are seen as several.
    last = max(1, arm.n - 1)
    for order, each in enumerate(arm.replicates):
        y = row + 0.1 + 0.22 * order / last
        if each.value is not None and each.penalised:
            axes.plot(each.value, y, "x", color=theme.verdicts["diverged"], markersize=4, markeredgewidth=1)
        elif each.value is not None:
            axes.plot(each.value, y, "o", color=theme.arms[0], markersize=2.8, alpha=0.65, markeredgewidth=0)


def _mean_with_interval(axes: Axes, row: int, arm: RankedArm, theme: Theme) -> None:
    interval, y = arm.interval, row - 0.12
    if interval.low is not None and interval.high is not None:
        ends = [interval.low, interval.high]
        axes.plot(ends, [y, y], color=theme.ink, linewidth=1, marker="|", markersize=4.5, zorder=3)
    if interval.mean is not None:
        look = {"markerfacecolor": theme.paper, "markeredgewidth": 1, "markersize": 3.6}
        axes.plot(interval.mean, y, "D", color=theme.ink, zorder=4, **look)  # type: ignore[arg-type]
