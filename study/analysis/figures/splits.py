"""Figure: why test can beat training: accuracy while training, in eval mode on the same data, and on test."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from study.analysis.figures.drawing import (
    MOST_ROWS,
    Drawing,
    Theme,
    dress,
    left_out,
    legend_below,
    names_on_y,
    new_figure,
)
from study.analysis.intervals import Interval, mean_interval
from study.analysis.outcomes import Results, ended, finite
from study.analysis.ranking import Ranking
from study.spec import StudySpec
from study.trial import TrialResult


def draw_splits(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Three accuracies of each arm's replicates. None for a study that does not compare dropout."""
    if not any(key.endswith("dropout") for key in spec.compared):
        return None
    means = {arm.arm: _means(results, arm.arm) for arm in found.arms}
    arms = [name for name, each in means.items() if all(interval.n for interval in each.values())]
    shown = arms[:MOST_ROWS]
    if not shown:
        return None
    figure, axes = new_figure(0.7 + 0.3 * len(shown), theme)
    handles = []
    for at, way in enumerate(WAYS):
        look = {"color": theme.arms[at], "marker": "os^"[at], "markersize": 3.6, "linestyle": ""}
        ys = [row + 0.2 * (at - 1) for row in range(len(shown))]
        for name, y in zip(shown, ys, strict=True):
            interval = means[name][way]
            if interval.low is not None and interval.high is not None:
                axes.plot([interval.low, interval.high], [y, y], color=theme.arms[at], linewidth=1)
        xs = [means[name][way].mean or 0.0 for name in shown]
        handles += axes.plot(xs, ys, label=way, **look)
    names_on_y(axes, shown)
    axes.set_xlabel("accuracy (fraction)")
    dress(axes, theme, grid="x")
    legend_below(figure, theme, handles, most_columns=1)
    n = max(interval.n for name in shown for interval in means[name].values())
    caption = (
        f"The last epoch's accuracy three ways, n = {n} replicates an arm, bars: 95 % t intervals. Dropout "
        "and weights that still move hold down what is seen while training; the fair comparison with test is "
        "in eval mode."
    )
    return Drawing(figure, "Training and test accuracy", caption + left_out(len(arms), MOST_ROWS))


def _means(results: Results, arm: str) -> dict[str, Interval]:
    mine = [each for each in ended(results, arm, "confirm") if each.verdict.status == "ok"]
    return {
        way: mean_interval([value for each in mine if (value := finite(of(each))) is not None])
        for way, of in WAYS.items()
    }


def _while_training(result: TrialResult) -> float | None:
    return result.curve[-1].get("train_accuracy") if result.curve else None


WAYS: Mapping[str, Callable[[TrialResult], float | None]] = {
    "training, as it goes": _while_training,
    "training, in eval mode": lambda result: result.metrics.get("train_eval_accuracy"),
    "test": lambda result: result.metrics.get("test_accuracy"),
}
