"""Figure: the best validation value against the tuning budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.analysis.figures.drawing import (
    MOST_COLOURS,
    Drawing,
    Theme,
    arm_style,
    dress,
    left_out,
    legend_below,
    new_figure,
    plain,
    plain_ticks,
    spans_decades,
)
from study.analysis.outcomes import Direction, Results
from study.analysis.ranking import Ranking
from study.analysis.tuning_curves import TuningCurve, tuning_curves
from study.analysis.wording import counted, metric_name, metric_with_unit
from study.spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_budget(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Each arm's best value after so many tuning trials: of random search the median with its band, of the
    other samplers the best so far of the one search there was."""
    curves = {each.arm: each for each in tuning_curves(spec, results)}
    drawn = [curves[arm.arm] for arm in found.arms if arm.arm in curves]
    shown = drawn[:MOST_COLOURS]
    longest = max((len(each.best) for each in shown), default=0)
    if longest < 2:
        return None
    figure, axes = new_figure(2.35, theme)
    handles = [
        _line(axes, each, spec.objective.direction, arm_style(spec, each.arm, theme)) for each in shown
    ]
    _scale(axes, [value for each in shown for value in each.best], spec)
    dress(axes, theme)
    legend_below(figure, theme, handles)
    return Drawing(figure, "Best value by budget", _caption(spec, shown) + left_out(len(drawn), MOST_COLOURS))


def _line(axes: Axes, curve: TuningCurve, better: Direction, style: dict[str, Any]) -> Any:
    budgets = range(1, len(curve.best) + 1)
    if curve.low:
        _band(axes, curve, better, style["color"])
    look = {"linewidth": 1.2, "markersize": 2.8, "markevery": 1 + len(budgets) // 15, **style}
    look |= {"drawstyle": "steps-post"} if curve.kind == "observed" else {}
    return axes.plot(budgets, curve.best, label=plain(curve.arm), **look)[0]


def _band(axes: Axes, curve: TuningCurve, better: Direction, colour: str) -> None:
    """The band as far as values that were seen bound it on both sides; from there on its worse end alone."""
    up = better == "maximize"
    good, bad = (curve.high, curve.low) if up else (curve.low, curve.high)
    seen = curve.mean[-1]  # the expected best of all trials is the best one
    open_at = [at for at, end in enumerate(good) if (end > seen if up else end < seen)]
    bounded = min(open_at, default=len(good))
    budgets = range(1, len(good) + 1)
    axes.fill_between(budgets[:bounded], good[:bounded], bad[:bounded], color=colour, alpha=0.2, linewidth=0)
    last = max(0, bounded - 1)
    axes.plot(budgets[last:], bad[last:], color=colour, linewidth=0.7, linestyle=":")


def _scale(axes: Axes, best: list[float], spec: StudySpec) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("tuning trials")
    axes.set_ylabel(f"best {metric_with_unit(spec.objective.metric, spec)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if spans_decades(best):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)


def _caption(spec: StudySpec, shown: list[TuningCurve]) -> str:
    sizes = ", ".join(f"{each.arm} {len(each.best)}" for each in shown)
    what = f"Best {metric_name(spec.objective.metric)} after so many tuning trials of an arm. "
    if all(each.kind == "expected" for each in shown):
        how = (
            "Lines: median over random searches of that length; bands: its simultaneous 80 % band; dotted: "
            "that band's worse end, where so few trials do not bound the better one. "
        )
    else:
        how = (
            f"Lines: the best so far of the one search by {spec.search.sampler} that an arm had (n = 1), so "
            "without bands. "
        )
    trials = counted(sum(len(each.best) for each in shown), "trial")
    return f"{what}{how}Diverged trials count as chance. {trials}: {sizes}."
