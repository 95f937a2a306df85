"""Figure: the VC bound where it is true: penalty and measured gap, and how far they are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from study.analysis import vc
from study.analysis.figures.drawing import (
    MARKERS,
    Drawing,
    Theme,
    dress,
    legend_below,
    new_figure,
    plain,
    plain_ticks,
)
from study.analysis.vc_validity import BAYES_ERROR, CLEAR, Validity

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def draw_validity(found: Validity, theme: Theme) -> Drawing:
    """Above the penalty (lines), the bound by relative deviations (dashed) and the mean gap (points) by
    class, below the ratio of penalty and gap, over N."""
    figure, (above, below) = new_figure(
        4.2, theme, nrows=2, sharex=True, gridspec_kw={"height_ratios": [1.6, 1]}
    )
    handles, ratios = [], []
    for at, (name, cells) in enumerate(found.cells.groupby("model", sort=False)):
        style = {"color": theme.arms[at % len(theme.arms)], "marker": MARKERS[at % len(MARKERS)]}
        handles.append(_class(above, str(name), cells, style))
        ratios += _ratio(below, cells, style)
    for axes in (above, below):
        axes.set_xscale("log")
        axes.set_yscale("log")
    above.set_ylim(1e-4, 2)
    above.set_ylabel("penalty (line), gap (point)")
    below.set_ylabel("penalty / gap")
    below.set_xlabel("training examples N")
    plain_ticks(below.xaxis)
    plain_ticks(below.yaxis)
    for axes in (above, below):
        dress(axes, theme)
    legend_below(figure, theme, handles, most_columns=1)
    redraws = sorted(set(found.cells["redraws"]))
    span = f"{redraws[0]} to {redraws[-1]}" if len(redraws) > 1 else f"{redraws[0]}"
    loose = f" The penalty is {min(ratios):.0f} to {max(ratios):.0f} times the gap." if ratios else ""
    caption = (
        f"Two classes of generated data, Bayes error {BAYES_ERROR:g}; {span} training sets a point, bars: "
        f"\N{PLUS-MINUS SIGN}2 standard errors. Lines: penalty at \N{GREEK SMALL LETTER ETA} = {found.eta:g} "
        "where h < N; dashed: what the bound by relative deviations adds to the measured training error; "
        "points: mean test - training error where it is clearly above 0. "
        f"{found.reason[0].upper()}{found.reason[1:]}.{loose}"
    )
    return Drawing(figure, "The VC bound where it holds", caption)


def _class(axes: Axes, name: str, cells: pd.DataFrame, style: dict[str, Any]) -> Any:
    """The class's penalty and gaps; returns the legend's handle."""
    h, ends = float(cells["h"].iloc[0]), (float(cells["n"].min()), float(cells["n"].max()))
    grid = [n for n in np.geomspace(*ends, 200) if n > h]
    axes.plot(grid, [vc.penalty(h, n) for n in grid], color=style["color"], linewidth=1)
    known = cells[np.isfinite(cells["relative"])]
    axes.plot(known["n"], known["relative"], color=style["color"], linewidth=0.8, linestyle="--")
    clear = cells[cells["gap"] > CLEAR * cells["gap_error"]]
    points = axes.errorbar(
        clear["n"],
        clear["gap"],
        CLEAR * clear["gap_error"],
        markersize=3,
        elinewidth=0.7,
        linestyle="",
        **style,
    )
    points.set_label(plain(name.replace("<=", "\N{LESS-THAN OR EQUAL TO}")))
    return points


def _ratio(axes: Axes, cells: pd.DataFrame, style: dict[str, Any]) -> list[float]:
    known = cells[(cells["gap"] > CLEAR * cells["gap_error"]) & np.isfinite(cells["penalty"])]
    ratios = known["penalty"] / known["gap"]
    axes.plot(known["n"], ratios, linewidth=0.8, markersize=3, **style)
    return [float(each) for each in ratios]
