"""Figure: data size against complexity; measured errors and gaps, and what bounds say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from study.analysis import vc
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
from study.analysis.intervals import Interval
from study.analysis.outcomes import Results
from study.analysis.ranking import Ranking
from study.analysis.tradeoff import TARGET_GAP, Tradeoff, WidthLine, tradeoff
from study.analysis.wording import counted, setting
from study.spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Models for which the bound says something at these sizes: half-spaces on 50 principal components and on
# all of CIFAR's 3,072 numbers.
LINEAR = (vc.linear_dimension(50), vc.linear_dimension(3072))
GAP_AXIS = (3e-3, 12.0)
# The penalty is 1 where N / h is this.
PENALTY_ONE = 2.678
SMALL: dict[str, Any] = {"fontsize": 6}


def draw_tradeoff(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Four panels over the number of training examples: errors; the measured gap and every bound; capacity
    over N; the examples needed for a gap of TARGET_GAP. None for a study without sizes and widths."""
    trade = tradeoff(spec, results)
    if trade is None:
        return None
    ratios = {"height_ratios": [1.5, 1.8, 1.4, 0.5 + 0.16 * len(trade.lines)]}
    figure, axes = new_figure(6.6, theme, nrows=4, gridspec_kw=ratios)
    styles = width_styles([line.width for line in trade.lines], theme)
    _errors(axes[0], trade, styles, theme)
    _gaps(axes[1], trade, styles, theme)
    _capacities(axes[2], trade, styles, theme)
    _needed(axes[3], trade, styles, theme)
    low, high = min(trade.sizes) / 1.25, max(trade.sizes) * 1.25
    for each in axes[:3]:
        each.set_xscale("log")
        each.set_xlim(low, high)
        each.set_xticks(trade.sizes, [f"{size:,}" for size in trade.sizes])
        each.minorticks_off()
    axes[2].set_xlabel("training examples N")
    for each, letter in zip(axes, "abcd", strict=True):
        each.set_title(letter, loc="left", fontsize=8, fontweight="bold", color=theme.ink, pad=3)
        dress(each, theme)
    legend_below(figure, theme, _handles(trade, styles, theme))
    return Drawing(figure, "Data size and complexity", _caption(trade))


def _errors(axes: Axes, trade: Tradeoff, styles: dict[float, dict[str, Any]], theme: Theme) -> None:
    for line in trade.lines:
        style = styles[line.width]
        _points(axes, line, [cell.test for cell in line.cells], linestyle="-", **style)
        _points(axes, line, [cell.train for cell in line.cells], linestyle="--", mfc=theme.paper, **style)
    low, high = trade.certificate.low or 0.0, trade.certificate.high or 0.0
    axes.axhspan(low, high, color=theme.ink, alpha=0.25, linewidth=0)
    axes.axhline(trade.chance, color=theme.ink, linewidth=0.7, linestyle=":")
    axes.set_ylabel("error (fraction)")
    axes.set_ylim(-0.03, max(1.0, trade.chance + 0.08))


def _gaps(axes: Axes, trade: Tradeoff, styles: dict[float, dict[str, Any]], theme: Theme) -> None:
    axes.set_yscale("log")
    axes.set_ylim(*GAP_AXIS)
    axes.axhspan(
        trade.chance, GAP_AXIS[1], facecolor="none", edgecolor=theme.faint, hatch="////", linewidth=0
    )
    axes.axhline(trade.chance, color=theme.ink, linewidth=0.7)
    grid = np.geomspace(min(trade.sizes) / 1.25, max(trade.sizes) * 1.25, 300)
    for h, dash in zip(LINEAR, ((4, 1), (1, 1)), strict=True):
        _bound(axes, grid, h, color=theme.ink, linestyle=(0, dash), linewidth=0.9)
    for line in trade.lines:
        style = styles[line.width]
        _points(axes, line, [cell.gap for cell in line.cells], linestyle="-", **style)
        if line.network:
            _bound(axes, grid, line.network.parameters, color=style["color"], linestyle="-.", linewidth=0.8)
            if line.network.upper is not None:
                _bound(axes, grid, line.network.upper, color=style["color"], linewidth=1.0)
    undefined = [size for size in trade.sizes if _undefined(trade, size)]
    look: dict[str, Any] = {"color": theme.ink, "markersize": 3.5, "linestyle": ""}
    axes.plot(undefined, [2.6] * len(undefined), marker=r"$\uparrow$", **look)
    half = ((trade.certificate.high or 0.0) - (trade.certificate.low or 0.0)) / 2
    axes.axhline(half, color=theme.ink, linewidth=0.7, linestyle=":")
    axes.set_ylabel("test \N{MINUS SIGN} training error")
    plain_ticks(axes.yaxis)
    box: dict[str, Any] = {"facecolor": theme.paper, "edgecolor": "none", "pad": 0.8}
    right: dict[str, Any] = {"ha": "right", "color": theme.ink, "bbox": box, **SMALL}
    x = max(trade.sizes) * 1.2
    left = {**right, "ha": "left"}
    axes.text(min(trade.sizes) / 1.2, trade.chance * 1.12, "vacuous: a coin does this", va="bottom", **left)
    if undefined:
        axes.text(
            x, 7.2, "networks: formula undefined (h \N{GREATER-THAN OR EQUAL TO} N)", va="center", **right
        )
    axes.text(min(trade.sizes) / 1.2, half * 0.9, "the test set's own interval", va="top", **left)


def _capacities(axes: Axes, trade: Tradeoff, styles: dict[float, dict[str, Any]], theme: Theme) -> None:
    grid = np.array([min(trade.sizes) / 1.25, max(trade.sizes) * 1.25])
    for line in trade.lines:
        colour = styles[line.width]["color"]
        if line.network:
            dimensions = (
                (line.network.upper, "-"),
                (line.network.parameters, "-."),
                (line.network.lower, ":"),
            )
            for value, dash in dimensions:
                if value is not None:
                    axes.plot(grid, value / grid, color=colour, linestyle=dash, linewidth=1.0)
    axes.axhline(1 / PENALTY_ONE, color=theme.ink, linewidth=0.7)
    axes.set_yscale("log")
    axes.set_ylabel("capacity / N")
    box: dict[str, Any] = {"facecolor": theme.paper, "edgecolor": "none", "pad": 0.8}
    left: dict[str, Any] = {"color": theme.ink, "va": "center", "bbox": box, **SMALL}
    axes.text(grid[0] * 1.05, 1 / PENALTY_ONE, "h = N / 2.68: penalty 1", **left)


def _needed(axes: Axes, trade: Tradeoff, styles: dict[float, dict[str, Any]], theme: Theme) -> None:
    axes.set_xscale("log")
    for row, line in enumerate(trade.lines):
        colour, data = styles[line.width]["color"], line.needed_by_data
        if data.value is not None:
            axes.plot(data.value, row, styles[line.width]["marker"], color=colour, markersize=4)
            if data.low is not None:
                end = data.high if data.high is not None else 1e12
                axes.plot([data.low, end], [row, row], color=colour, linewidth=1.2)
        if line.needed_by_bound is not None:
            axes.plot(line.needed_by_bound, row, "|", color=colour, markersize=9, markeredgewidth=1.5)
        if data.value is not None and line.needed_by_bound is not None:
            orders = math.log10(line.needed_by_bound / data.value)
            middle = math.sqrt(line.needed_by_bound * data.value)
            axes.text(middle, row, f"{orders:.1f} orders", ha="center", va="center", color=theme.ink, **SMALL)
    axes.set_yticks(range(len(trade.lines)), [setting(line.width) for line in trade.lines])
    axes.set_ylim(len(trade.lines) - 0.4, -0.6)
    axes.set_ylabel("width")
    axes.set_xlim(min(trade.sizes) / 1.25, 1e12)
    axes.set_xlabel(f"N for a gap of {TARGET_GAP:g}: by the data, by the bound")


def _points(axes: Axes, line: WidthLine, intervals: Sequence[Interval], **style: Any) -> None:
    means = [
        (c.size, each.mean) for c, each in zip(line.cells, intervals, strict=True) if each.mean is not None
    ]
    if means:
        axes.plot(*zip(*means, strict=True), markersize=3, linewidth=1, **style)
    for x, each in zip([cell.size for cell in line.cells], intervals, strict=True):
        if each.low is not None and each.high is not None:
            axes.plot([x, x], [each.low, each.high], color=style["color"], linewidth=0.7)


def _bound(axes: Axes, grid: NDArray[np.float64], h: float, **style: Any) -> None:
    """The penalty where it is defined; the line starts at N = h and is joined to nothing."""
    known = [(n, value) for n in grid if (value := vc.penalty(h, float(n))) < math.inf]
    if known:
        axes.plot(*zip(*known, strict=True), **style)


def _undefined(trade: Tradeoff, size: int) -> bool:
    """Whether some network's dimension is only bounded by more than the examples there are."""
    bounds = [line.network.upper for line in trade.lines if line.network and line.network.upper is not None]
    return any(upper >= size for upper in bounds)


def _handles(trade: Tradeoff, styles: dict[float, dict[str, Any]], theme: Theme) -> list[Any]:
    from matplotlib.lines import Line2D

    def line(label: str, **look: Any) -> Any:
        return Line2D([], [], label=label, linewidth=1, markersize=3.5, **{"color": theme.ink, **look})

    widths = [line(f"width {setting(width)}", **style) for width, style in styles.items()]
    known = any(each.network for each in trade.lines)
    bounds = [
        line("(c) upper bound on h", linestyle="-"),
        line("W, a proxy for h", linestyle="-."),
        line("(c) some net's h", linestyle=":"),
    ]
    return [
        *widths,
        line("(a) training", linestyle="--", marker="o", mfc=theme.paper),
        *(bounds if known else []),
        line(f"(b) linear, h = {LINEAR[0]}", linestyle=(0, (4, 1))),
        line(f"(b) linear, h = {LINEAR[1]:,}", linestyle=(0, (1, 1))),
    ]


def _caption(trade: Tradeoff) -> str:
    group = f" Held: {plain(trade.group)}." if trade.group else ""
    bounded = any(line.network and line.network.upper is not None for line in trade.lines)
    reason = "" if bounded else f" No upper bound on the networks' h: {vc.NO_BOUND}."
    eta, n = f"\N{GREEK SMALL LETTER ETA} = {vc.ETA:g}", counted(trade.blocks, "replicate")
    return (
        f"(a) Test (solid) and training error, n = {n} a point, bars: 95 % t intervals, grey: Clopper-"
        f"Pearson interval of the best cell on {trade.test_examples:,} test examples, dotted: guessing. "
        f"(b) Measured gap, and the VC penalty ({eta}) of the networks and of linear models where it is "
        "defined; hatched: no better than guessing. The weights W in place of h are a proxy that no theorem "
        "covers. (c) Bounds on the VC dimension h, and W, over N. (d) N at which the fitted gap is "
        f"{TARGET_GAP:g} (dots, 95 % bootstrap over replicates) and N at which the penalty is (bars)."
        f"{reason}{group}"
    )
