"""Figure: the objective on the validation split over the epochs, with a band over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
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
from study.analysis.intervals import mean_interval
from study.analysis.outcomes import Results, ended, finite
from study.analysis.ranking import Ranking
from study.analysis.selection import best_trial
from study.analysis.wording import metric_name, metric_with_unit, sentence
from study.spec import StudySpec
from study.trial import TrialResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = dict[int, float]  # by epoch


def draw_curves(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """The objective on the validation split over the epochs: mean and band of each arm's replicates,
    or its best tuning trial where no replicate has a curve yet."""
    metric = spec.objective.metric
    lines = {arm.arm: _curves_of(spec, results, arm.arm) for arm in found.arms}
    drawn = [name for name, curves in lines.items() if curves]
    shown = drawn[:MOST_COLOURS]
    if not shown:
        return None
    figure, axes = new_figure(2.35, theme)
    handles = [_band(axes, name, lines[name], arm_style(spec, name, theme)) for name in shown]
    _scale(axes, spec, [value for name in shown for curve in lines[name] for value in curve.values()])
    dress(axes, theme)
    legend_below(figure, theme, handles)
    sizes = ", ".join(f"{name} {len(lines[name])}" for name in shown)
    caption = (
        f"{sentence(metric_name(metric))} over the epochs. Lines: mean of the runs that reached the "
        f"epoch; bands: its 95 % t interval. n: {sizes}."
    )
    return Drawing(figure, "Validation curves", caption + left_out(len(drawn), MOST_COLOURS))


def _curves_of(spec: StudySpec, results: Results, arm: str) -> list[Curve]:
    metric = spec.objective.metric
    best = best_trial(spec, results, arm)
    confirmed = [_curve(result, metric) for result in ended(results, arm, "confirm")]
    tuned = [_curve(best, metric)] if best else []
    return [curve for curve in confirmed if curve] or [curve for curve in tuned if curve]


def _curve(result: TrialResult, metric: str) -> Curve:
    points = {int(row["epoch"] or 0): finite(row.get(metric)) for row in result.curve}
    return {epoch: value for epoch, value in points.items() if value is not None}


def _band(axes: Axes, name: str, curves: Sequence[Curve], style: dict[str, Any]) -> Any:
    epochs = sorted({epoch for curve in curves for epoch in curve})
    means = [mean_interval([curve[epoch] for curve in curves if epoch in curve]) for epoch in epochs]
    mean = [each.mean or 0.0 for each in means]
    low = [mean[i] if each.low is None else each.low for i, each in enumerate(means)]
    high = [mean[i] if each.high is None else each.high for i, each in enumerate(means)]
    axes.fill_between(epochs, low, high, color=style["color"], alpha=0.18, linewidth=0)
    style = {"linewidth": 1.2, "markersize": 2.8, "markevery": 1 + len(epochs) // 15, **style}
    return axes.plot(epochs, mean, label=plain(name), **style)[0]


def _scale(axes: Axes, spec: StudySpec, numbers: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_ylabel(metric_with_unit(spec.objective.metric, spec))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if spans_decades(numbers):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
