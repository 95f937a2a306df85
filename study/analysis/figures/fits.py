"""Figures of one-dimensional regressions: fits in panels, and intervals with their coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from study.analysis.figures.drawing import DASHES, Drawing, Theme, dress, legend_below, new_figure, plain

if TYPE_CHECKING:
    import pandas as pd

OBSERVED, TRUTH = "observed", "true"


def draw_fits(points: pd.DataFrame, theme: Theme, title: str, caption: str) -> Drawing:
    """Fits to noisy numbers, a panel each. ``points``: columns ``panel``, ``series``, ``x``, ``y``; the
    series OBSERVED is drawn as dots, TRUTH as a thick pale line, any other one as a line of its own."""
    panels = list(dict.fromkeys(points["panel"]))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    shape: dict[str, Any] = {"nrows": rows, "ncols": columns, "sharex": True, "sharey": True}
    figure, grid = new_figure(1.25 * rows + 0.2, theme, squeeze=False, **shape)
    looks = _looks(list(dict.fromkeys(points["series"])), theme)
    handles: dict[str, Any] = {}
    for axes, panel in zip(grid.flat, panels, strict=False):
        mine = points[points["panel"] == panel]
        for name in dict.fromkeys(mine["series"]):
            line = mine[mine["series"] == name].sort_values("x")
            (handles[name],) = axes.plot(line["x"], line["y"], label=plain(name), **looks[name])
        axes.set_title(plain(panel), fontsize=7.5)
        dress(axes, theme)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("x")
    for axes in grid[:, 0]:
        axes.set_ylabel("y")
    legend_below(figure, theme, list(handles.values()))
    return Drawing(figure, title, caption)


def _looks(series: list[str], theme: Theme) -> dict[str, dict[str, Any]]:
    """How each series is drawn."""
    dots = {"color": theme.ink, "marker": ".", "linestyle": "", "markersize": 2, "alpha": 0.25, "zorder": 1}
    truth = {"color": theme.faint, "linewidth": 2.6, "zorder": 2}
    fitted = [name for name in series if name not in (OBSERVED, TRUTH)]
    lines = {
        name: {
            "color": theme.arms[at % len(theme.arms)],
            "linestyle": DASHES[at // len(theme.arms) % len(DASHES)],
            "linewidth": 1.1,
            "zorder": 3,
        }
        for at, name in enumerate(fitted)
    }
    return {OBSERVED: dots, TRUTH: truth, **lines}


def draw_intervals(
    points: pd.DataFrame, bands: pd.DataFrame, coverage: pd.DataFrame, theme: Theme, level: float = 0.9
) -> Drawing:
    """Prediction intervals and how they cover, a column a kind of noise.

    ``points``: ``panel, x, y``; ``bands``: ``panel, series, x, low, high``; ``coverage``: ``panel, series,
    decile`` (1 to 10), ``share``, and ``low`` and ``high``, the ends of its 95 % interval.
    """
    panels = list(dict.fromkeys(points["panel"]))
    names = list(dict.fromkeys(bands["series"]))
    shape: dict[str, Any] = {"nrows": 2, "ncols": len(panels), "sharey": "row", "squeeze": False}
    figure, grid = new_figure(3.0, theme, height_ratios=[1.4, 1], **shape)
    handles: list[Any] = []
    for column, panel in enumerate(panels):
        above, below = grid[:, column]
        dots = points[points["panel"] == panel]
        above.plot(dots["x"], dots["y"], ".", color=theme.ink, alpha=0.25, markersize=2, markeredgewidth=0)
        handles = []
        for at, name in enumerate(names):
            look: dict[str, Any] = {"color": theme.arms[at], "linestyle": DASHES[at], "linewidth": 1.1}
            band = bands[(bands["panel"] == panel) & (bands["series"] == name)].sort_values("x")
            handles.append(above.plot(band["x"], band["low"], label=plain(name), **look)[0])
            above.plot(band["x"], band["high"], **look)
            shares = coverage[(coverage["panel"] == panel) & (coverage["series"] == name)]
            below.plot(shares["decile"], shares["share"], marker="os^"[at % 3], markersize=2.6, **look)
            below.vlines(shares["decile"], shares["low"], shares["high"], color=theme.arms[at], linewidth=0.7)
        below.axhline(level, color=theme.ink, linewidth=0.7)
        below.set_xticks(np.arange(1, 11, 3))
        below.set_xlabel("decile of x")
        above.set_title(plain(panel), fontsize=7.5)
        above.set_xlabel("x")
        dress(above, theme)
        dress(below, theme)
    grid[0, 0].set_ylabel("y")
    grid[1, 0].set_ylabel("coverage (fraction)")
    legend_below(figure, theme, handles)
    caption = (
        f"Above: observations (n = {len(points) // len(panels):,} a panel) and the ends of {100 * level:g} % "
        f"prediction intervals. Below: the share of fresh observations inside, by decile of x; bars: 95 % "
        f"intervals, line: {level:g}."
    )
    return Drawing(figure, "Prediction intervals", caption)
