"""Figures of one-dimensional regressions: fits in panels, and intervals with their coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from study.analysis.figures.drawing import DASHES, Drawing, Theme, dress, legend_below, new_figure, plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OBSERVED, TRUTH = "observed", "true"


def draw_fits(points: pd.DataFrame, theme: Theme, title: str, caption: str) -> Drawing:
    """Fits to noisy numbers, a panel each. ``points``: columns ``panel``, ``series``, ``x``, ``y``; the
    series OBSERVED is drawn as dots, TRUTH as a thick pale line, any other one as a line of its own, named
    above its panel."""
    panels = list(dict.fromkeys(points["panel"]))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    shape: dict[str, Any] = {"nrows": rows, "ncols": columns, "sharex": True, "sharey": True}
    figure, grid = new_figure(1.5 * rows + 0.2, theme, squeeze=False, **shape)
    shared: dict[str, Any] = {}
    for axes, panel in zip(grid.flat, panels, strict=False):
        shared |= _fits_panel(axes, panel, points[points["panel"] == panel], theme)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("x")
    for axes in grid[:, 0]:
        axes.set_ylabel("y")
    legend_below(figure, theme, list(shared.values()))
    return Drawing(figure, title, caption)


def _fits_panel(axes: Axes, panel: str, points: pd.DataFrame, theme: Theme) -> dict[str, Any]:
    """Draw one panel; returns the legend's handles of what all panels have."""
    handles: dict[str, Any] = {}
    looks = _looks(list(dict.fromkeys(points["series"])), theme)
    for name, look in looks.items():
        line = points[points["series"] == name].sort_values("x")
        if not line.empty:
            (handles[name],) = axes.plot(line["x"], line["y"], label=plain(name), **look)
    axes.set_title(plain(panel), fontsize=7.5, pad=13)
    dress(axes, theme)
    fitted = [handle for name, handle in handles.items() if name not in (OBSERVED, TRUTH)]
    above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.97), "ncols": len(fitted)}
    narrow: dict[str, Any] = {"handlelength": 1.6, "handletextpad": 0.4, "columnspacing": 0.9}
    axes.legend(
        handles=fitted, fontsize=6.5, frameon=False, labelcolor=theme.ink, borderpad=0, **above, **narrow
    )
    return {name: handle for name, handle in handles.items() if name in (OBSERVED, TRUTH)}


def _looks(series: list[str], theme: Theme) -> dict[str, dict[str, Any]]:
    """How each series of a panel is drawn."""
    dots = {"color": theme.ink, "marker": ".", "linestyle": "", "markersize": 2, "alpha": 0.25, "zorder": 1}
    truth = {"color": theme.faint, "linewidth": 2.6, "zorder": 2}
    fitted = [name for name in series if name not in (OBSERVED, TRUTH)]
    lines = {
        name: {
            "color": theme.arms[at % len(theme.arms)],
            "linestyle": DASHES[at % len(DASHES)],
            "linewidth": 1.1,
            "zorder": 3,
        }
        for at, name in enumerate(fitted)
    }
    return {OBSERVED: dots, TRUTH: truth, **lines}


def draw_intervals(
    points: pd.DataFrame,
    bands: pd.DataFrame,
    coverage: pd.DataFrame,
    theme: Theme,
    *,
    replicates: int,
    level: float = 0.9,
) -> Drawing:
    """Prediction intervals and how they cover, a column a kind of noise.

    ``points``: ``panel, x, y``; ``bands``: ``panel, series, x, low, high``; ``coverage``: ``panel, series,
    decile`` (1 to 10), ``share``, and ``low`` and ``high``, the ends of its 95 % interval over
    ``replicates``.
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
        f"prediction intervals, of one training each. Below: the share of fresh observations inside, by "
        f"decile of x; mean and 95 % t interval of n = {replicates} replicates, line: {level:g}."
    )
    return Drawing(figure, "Prediction intervals", caption)
