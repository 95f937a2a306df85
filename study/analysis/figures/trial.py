"""Figure: one trial's end: loss, gradient norm and each layer's maxima over its last steps, or its curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.analysis.figures.drawing import (
    Drawing,
    Theme,
    dress,
    names_on_y,
    new_figure,
    plain,
    plain_ticks,
    spans_decades,
)
from study.analysis.why import column, number
from study.trial import TrialResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches; a map of few layers is as high as its colour bar's label is long.
LAYER_HEIGHT = 0.13
LEAST_HEIGHT = 1.1


def draw_trial(result: TrialResult, theme: Theme) -> Drawing | None:
    """The last steps where an autopsy has them, else the epochs; None where neither is there."""
    autopsy = result.autopsy or {}
    title = f"{result.config.id}: {result.verdict}"
    if autopsy.get("steps"):
        return Drawing(_last_steps(autopsy, theme), title, "Loss, gradient norm and each layer's maximum.")
    if result.curve:
        return Drawing(_epochs(result, theme), title, "Loss and gradient norm by epoch.")
    return None


def _last_steps(autopsy: Mapping[str, Any], theme: Theme) -> Figure:
    layers = autopsy.get("layers", [])
    ratios = [1.0, 1.0, max(LEAST_HEIGHT, LAYER_HEIGHT * len(layers))] if layers else [1.0, 1.0]
    figure, axes = new_figure(0.5 + sum(ratios), theme, nrows=len(ratios), sharex=True, height_ratios=ratios)
    steps = autopsy["steps"]
    _line(axes[0], steps, [number(value) for value in autopsy["loss"]], "loss", theme)
    _line(axes[1], steps, [number(value) for value in autopsy["gradient_norm"]], "gradient norm", theme)
    if layers:
        _maxima(figure, axes[2], autopsy, theme)
    axes[-1].set_xlabel("step")
    return figure


def _epochs(result: TrialResult, theme: Theme) -> Figure:
    figure, axes = new_figure(2.4, theme, nrows=2, sharex=True)
    epochs = [int(row["epoch"] or 0) for row in result.curve]
    _line(axes[0], epochs, column(result.curve, "train_loss"), "training loss", theme)
    _line(axes[1], epochs, column(result.curve, "gradient_norm"), "gradient norm", theme)
    axes[1].set_xlabel("epoch")
    return figure


def _line(axes: Axes, steps: Sequence[int], values: Sequence[float | None], name: str, theme: Theme) -> None:
    """A line where the numbers are finite, and a cross at the top where they are not."""
    from matplotlib.ticker import MaxNLocator

    finite = [(step, v) for step, v in zip(steps, values, strict=True) if v is not None and math.isfinite(v)]
    broken = [step for step in steps if step not in {step for step, _ in finite}]
    known = [value for _, value in finite]
    axes.plot([s for s, _ in finite], known, color=theme.arms[0], marker="o", markersize=2.2, linewidth=1)
    axes.plot(
        broken,
        [0.97] * len(broken),
        color=theme.verdicts["diverged"],
        marker="x",
        markersize=4.5,
        linestyle="",
        transform=axes.get_xaxis_transform(),
    )
    if spans_decades(known):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
    axes.set_ylabel(name)
    axes.set_xlim(min(steps) - 0.5, max(steps) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    dress(axes, theme)


def _maxima(figure: Figure, axes: Axes, autopsy: Mapping[str, Any], theme: Theme) -> None:
    """A map: each layer's max|activation| as a power of ten of what it was at the first step."""
    steps, layers = autopsy["steps"], autopsy["layers"]
    grown = [
        [_power(number(value), number(start)) for value in row]
        for row, start in zip(autopsy["maxima"], autopsy["initial"], strict=True)
    ]
    most = max([2.0, *(value for row in grown for value in row if math.isfinite(value))])
    # Beyond the scale's end: what is not finite.
    clipped = [[value if math.isfinite(value) else 2 * most for value in row] for row in grown]
    from matplotlib import colormaps

    colours = colormaps["cividis"].with_extremes(over=theme.verdicts["diverged"])
    image = axes.imshow(
        clipped,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=0,
        vmax=most,
        extent=(min(steps) - 0.5, max(steps) + 0.5, len(layers) - 0.5, -0.5),
    )
    names_on_y(axes, [plain(name) for name in layers])
    dress(axes, theme, grid="")
    axes.tick_params(labelsize=5.5)
    bar = figure.colorbar(image, ax=axes, extend="max", pad=0.02, fraction=0.05)
    bar.set_label("max|activation| over its\nfirst, powers of ten", color=theme.ink, fontsize=6)
    bar.ax.tick_params(colors=theme.ink, labelsize=6, width=0.6, length=2)


def _power(value: float | None, start: float | None) -> float:
    """log10(value / start), at least 0; Inf where the value is not finite, 0 where nothing is known."""
    if value is not None and not math.isfinite(value):
        return math.inf
    return max(0.0, math.log10(value / start)) if value and start and math.isfinite(start) else 0.0
