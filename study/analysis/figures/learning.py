"""Figure: learning curves: test error over training-set size by width, with fits, bands and a forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from study.analysis import sizes
from study.analysis.figures.drawing import (
    Drawing,
    Theme,
    dress,
    legend_below,
    new_figure,
    plain,
    plain_ticks,
    width_styles,
)
from study.analysis.learning_curves import Curve, extrapolation, resamples
from study.analysis.outcomes import Results
from study.analysis.ranking import Ranking
from study.analysis.tradeoff import learning_curve
from study.analysis.wording import setting
from study.seeding import derive_seed
from study.spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How far beyond the largest size the fits are drawn.
AHEAD = 3.0


def draw_learning_curves(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """The first group's curves. None for a study without sizes and widths, or with too few sizes."""
    cells = sizes.grid(spec, results)
    if cells.empty:
        return None
    group = sizes.groups(cells)[0]
    mine = cells[cells["group"] == group]
    widths = np.unique(mine["width"]).tolist()
    fitted = {width: learning_curve(mine[mine["width"] == width]) for width in widths}
    curves = {width: curve for width, curve in fitted.items() if curve is not None}
    if not curves:
        return None
    figure, axes = new_figure(2.5, theme)
    styles = width_styles(widths, theme)
    handles = [_curve(axes, curve, setting(width), styles[width]) for width, curve in curves.items()]
    for width in curves:
        table = sizes.table(mine[mine["width"] == width])
        held_out = extrapolation(table, resamples(table.shape[1], derive_seed("held out", table.shape[1])))
        if held_out is not None:
            look: dict[str, Any] = {"markersize": 5, "markeredgewidth": 1.1, "linestyle": ""}
            axes.plot(held_out.size, held_out.predicted, "x", color=styles[width]["color"], **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set_xlabel("training examples N")
    axes.set_ylabel("test error (fraction)")
    dress(axes, theme)
    legend_below(figure, theme, handles)
    blocks = sorted({curve.blocks for curve in curves.values()})
    held = f" Held: {plain(group)}." if group else ""
    caption = (
        f"Test error over training-set size, n = {' or '.join(map(str, blocks))} whole replicates, and "
        "e(N) = floor + a N^-b by weighted least squares; bands: 95 % bootstrap over replicates; dashed: "
        f"beyond the data. Crosses: what the curve of the smaller sizes says of the largest one.{held}"
    )
    return Drawing(figure, "Learning curves", caption)


def _curve(axes: Axes, curve: Curve, name: str, style: dict[str, Any]) -> Any:
    inside = np.geomspace(curve.sizes.min(), curve.sizes.max(), 60)
    beyond = np.geomspace(curve.sizes.max(), AHEAD * curve.sizes.max(), 30)
    for grid, dash in ((inside, "-"), (beyond, "--")):
        axes.plot(grid, curve.law.at(grid), color=style["color"], linestyle=dash, linewidth=1)
        band = curve.band(grid)
        if band is not None:
            axes.fill_between(grid, *band, color=style["color"], alpha=0.15, linewidth=0)
    look: dict[str, Any] = {"label": f"width {name}", "linestyle": "", "markersize": 3.4, **style}
    return axes.plot(curve.sizes, curve.means, **look)[0]
