"""Figures: the shapes of activations and of losses, each with its derivative."""

from __future__ import annotations

import numpy as np

from study.analysis.figures.drawing import DASHES, Drawing, Theme, dress, legend_below, new_figure
from study.analysis.shapes import ACTIVATIONS, LOSSES, Numbers

ACROSS = 3
ACTIVATION_RANGE, LOSS_RANGE = 4.0, 3.0
# No smooth derivative moves so far between two of the points that are drawn.
JUMP = 0.1


def draw_activations(theme: Theme) -> Drawing:
    """A panel each: the function and its derivative."""
    rows = -(-len(ACTIVATIONS) // ACROSS)
    figure, grid = new_figure(1.05 * rows + 0.25, theme, nrows=rows, ncols=ACROSS, sharex=True, sharey=True)
    x = np.linspace(-ACTIVATION_RANGE, ACTIVATION_RANGE, 801)
    handles = []
    for axes, shape in zip(grid.flat, ACTIVATIONS.values(), strict=True):
        look = {"linewidth": 1.3, "label": "f(x)"}
        (function,) = axes.plot(x, shape.of(x), color=theme.arms[0], **look)
        look = {"linewidth": 1.1, "linestyle": "--", "label": "f'(x)"}
        (derivative,) = axes.plot(*parted(x, shape.slope(x)), color=theme.arms[1], **look)
        axes.set_title(shape.label, fontsize=7.5, pad=2)
        axes.set_ylim(-1.95, 3)
        axes.set_xticks([-4, 0, 4])
        handles = [function, derivative]
        dress(axes, theme)
    for axes in grid[-1]:
        axes.set_xlabel("x")
    legend_below(figure, theme, handles)
    return Drawing(figure, "Activations", "Activations (solid) and their derivatives (dashed), by formula.")


def draw_losses(theme: Theme) -> Drawing:
    """The losses over the error, and beside them their gradients."""
    figure, (left, right) = new_figure(2.1, theme, ncols=2)
    error = np.linspace(-LOSS_RANGE, LOSS_RANGE, 1201)
    handles = []
    for at, shape in enumerate(LOSSES.values()):
        look = {"color": theme.arms[at], "linestyle": DASHES[at % len(DASHES)], "linewidth": 1.2}
        handles += left.plot(error, shape.of(error), label=shape.label, **look)
        right.plot(*parted(error, shape.slope(error)), **look)
    for axes, name in ((left, "loss"), (right, "gradient")):
        axes.set_xlabel("prediction \N{MINUS SIGN} target")
        axes.set_ylabel(name)
        dress(axes, theme)
    right.set_ylim(-2, 2)
    left.set_ylim(0, 3)
    legend_below(figure, theme, handles, most_columns=2)
    return Drawing(figure, "Losses", "Losses and their gradients over the error of a prediction, by formula.")


def parted(x: Numbers, slope: Numbers) -> tuple[Numbers, Numbers]:
    """A jump is no line: nothing joins a derivative's two sides."""
    jumps = np.flatnonzero(np.abs(np.diff(slope)) > JUMP) + 1
    return np.insert(x, jumps, np.nan), np.insert(slope, jumps, np.nan)
