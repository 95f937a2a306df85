"""Figure: how much of the targets each arm's intervals cover, from place to place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.analysis.figures.drawing import MARKERS, Drawing, Theme, dress, legend_below, new_figure, plain
from study.analysis.intervals import Interval, mean_interval
from study.analysis.outcomes import Results, replicates, values
from study.analysis.ranking import Ranking
from study.spec import Arm, StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECILES = range(1, 11)
# Of the interval around an answer that is a centre (study.components.regression).
NOMINAL = 0.9
MOST_PANELS = 3

Lines = dict[str, dict[int, Interval]]


def draw_coverage(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Coverage over the tenths of the first feature, a panel for each kind of data, a line for each arm on
    it. None where no arm makes intervals on vectors."""
    panels = _panels(spec, results)
    if not panels or len(panels) > MOST_PANELS:
        return None
    figure, grid = new_figure(2.0, theme, ncols=len(panels), sharey=True, squeeze=False)
    looks = {name: number for number, name in enumerate(dict.fromkeys(n for p in panels.values() for n in p))}
    handles: dict[str, Any] = {}
    for axes, (title, lines) in zip(grid[0], panels.items(), strict=True):
        axes.axhline(_nominal(spec), color=theme.ink, linewidth=0.8, linestyle="--")
        for name, line in lines.items():
            handles[name] = _line(axes, looks[name], name, line, theme)
        if title:
            axes.set_title(plain(title), fontsize=7.5)
        axes.set_xticks([1, 4, 7, 10])
    grid[0][0].set_ylabel("coverage (fraction)")
    # Beside two others there is room for one.
    for axes in grid[0] if len(panels) < MOST_PANELS else grid[0][1:2]:
        axes.set_xlabel("tenth of the first feature")
    for axes in grid[0]:
        dress(axes, theme)
    legend_below(figure, theme, list(handles.values()))
    sizes = sorted({each.n for lines in panels.values() for line in lines.values() for each in line.values()})
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    caption = (
        "The share of test targets within each arm's interval, by tenths of the first feature; the dashed "
        f"line is what it should be. n = {n} replicates, bars: 95 % t intervals."
    )
    return Drawing(figure, "Coverage from place to place", caption)


def _panels(spec: StudySpec, results: Results) -> dict[str, Lines]:
    """By the compared settings of the data, by the others, by tenth: the mean over the replicates."""
    panels: dict[str, Lines] = {}
    for arm in spec.arms():
        found = {decile: _mean(results, arm, decile) for decile in DECILES}
        if all(each.n for each in found.values()):
            data = [str(value) for key, value in arm.values.items() if key.startswith("dataset.")]
            rest = [str(value) for key, value in arm.values.items() if not key.startswith("dataset.")]
            panels.setdefault(", ".join(data), {})[", ".join(rest) or arm.name] = found
    return panels


def _mean(results: Results, arm: Arm, decile: int) -> Interval:
    return mean_interval(
        list(values(replicates(results, arm.name, f"test_coverage_decile{decile}")).values())
    )


def _nominal(spec: StudySpec) -> float:
    """What the arms' intervals should cover: the check sees to it that it is the same for all."""
    for arm in spec.arms():
        levels = str(arm.held.get("loss.levels", "")).split("-")
        if len(levels) > 1:
            return float(levels[-1]) - float(levels[0])
    return NOMINAL


def _line(axes: Axes, at: int, name: str, line: dict[int, Interval], theme: Theme) -> Any:
    color, marker = theme.arms[at % len(theme.arms)], MARKERS[at % len(MARKERS)]
    for decile, each in line.items():
        if each.low is not None and each.high is not None:
            axes.plot([decile, decile], [each.low, each.high], color=color, linewidth=0.8)
    means = [each.mean or 0.0 for each in line.values()]
    return axes.plot(
        list(line), means, label=plain(name), color=color, marker=marker, markersize=3.2, linewidth=1.1
    )[0]
