"""Figure: plain against residual networks: training and test error over depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.analysis.figures.drawing import MARKERS, Drawing, Theme, dress, legend_below, new_figure, plain
from study.analysis.intervals import Interval, mean_interval
from study.analysis.outcomes import Results, replicates, values
from study.analysis.ranking import Ranking
from study.spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAMILY, DEPTH = "model.name", "model.depth"
PANELS = {"train_eval_error": "training", "test_error": "test"}


def draw_depth(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Errors over depth, a line a family of models. None for a study that does not compare both."""
    if not {FAMILY, DEPTH} <= spec.compared.keys():
        return None
    lines = {metric: _lines(spec, results, metric) for metric in PANELS}
    if not any(line for family in lines.values() for line in family.values()):
        return None
    figure, grid = new_figure(2.0, theme, ncols=len(PANELS), sharey=True)
    for axes, (metric, label) in zip(grid, PANELS.items(), strict=True):
        families = enumerate(lines[metric].items())
        handles = [_line(axes, at, name, line, theme) for at, (name, line) in families]
        axes.set_title(label)
        axes.set_xlabel("depth (layers)")
        depths = sorted({depth for line in lines[metric].values() for depth in line})
        axes.set_xticks(depths)
        dress(axes, theme)
    grid[0].set_ylabel("error (fraction)")
    legend_below(figure, theme, handles)
    drawn = [line for family in lines.values() for line in family.values()]
    sizes = sorted({each.n for line in drawn for each in line.values()})
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    caption = (
        f"Error over depth, on training examples in eval mode and on test; n = {n} replicates a point, bars: "
        "95 % t intervals. Degradation shows in the training error: overfitting would lower it."
    )
    return Drawing(figure, "Plain and residual networks", caption)


def _lines(spec: StudySpec, results: Results, metric: str) -> dict[str, dict[int, Interval]]:
    """By family, by depth: the mean over the replicates. Other scientific settings make families too."""
    lines: dict[str, dict[int, Interval]] = {}
    for arm in spec.arms():
        others = (str(value) for key, value in arm.values.items() if key != DEPTH)
        interval = mean_interval(list(values(replicates(results, arm.name, metric)).values()))
        if interval.n:
            lines.setdefault(", ".join(others), {})[int(arm.values[DEPTH])] = interval
    return lines


def _line(axes: Axes, at: int, name: str, line: dict[int, Interval], theme: Theme) -> Any:
    color, marker = theme.arms[at % len(theme.arms)], MARKERS[at % len(MARKERS)]
    points = sorted((depth, each) for depth, each in line.items())
    for depth, each in points:
        if each.low is not None and each.high is not None:
            axes.plot([depth, depth], [each.low, each.high], color=color, linewidth=0.8)
    means = [each.mean or 0.0 for _, each in points]
    depths = [depth for depth, _ in points]
    return axes.plot(
        depths, means, label=plain(name), color=color, marker=marker, markersize=3.2, linewidth=1.1
    )[0]
