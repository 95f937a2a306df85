"""Figure: the divergence map, where along the learning rate each arm's trainings blow up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from study.analysis.edge import ArmEdge, Estimate, Probe, edges
from study.analysis.edge_tables import divergence_map
from study.analysis.figures.drawing import (
    Drawing,
    Theme,
    dress,
    legend_below,
    new_figure,
    plain,
    plain_ticks,
)
from study.analysis.outcomes import Results
from study.analysis.ranking import Ranking
from study.analysis.wording import counted, key_name
from study.bisection import KEY
from study.spec import StudySpec
from study.trial import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A panel an arm; more of them are for the CSV file.
MOST_PANELS = 18
PROBE_MARKERS: dict[Status, str] = {"ok": "|", "diverged": "x", "stalled": "d"}
PROBE_NAMES: dict[Status, str] = {"ok": "stable", "diverged": "diverged", "stalled": "stalled"}


def draw_divergence(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """P(diverge) over the learning rate, a panel an arm: shares, the fitted curve, lr50 and lr05 with
    their intervals, and the curvature's prediction. None for a study that does not bisect."""
    arms = [each for each in edges(spec, results) if each.probes]
    shown = arms[:MOST_PANELS]
    if not shown:
        return None
    figure, grid = new_figure(0.95 + 0.62 * len(shown), theme, nrows=len(shown), sharex=True, squeeze=False)
    low, high = _span(shown)
    for axes, each in zip(grid[:, 0], shown, strict=True):
        _panel(axes, each, (low, high), theme)
        axes.tick_params(axis="x", which="both", length=0, width=0)
    bottom = grid[-1, 0]
    bottom.tick_params(axis="x", which="major", length=2.5, width=0.6)
    bottom.set_xscale("log")
    bottom.set_xlim(low, high)
    plain_ticks(bottom.xaxis)
    bottom.set_xlabel(key_name(KEY))
    figure.supylabel("P(diverge)", fontsize=7.5, color=theme.ink)
    legend_below(figure, theme, _handles(shown, theme))
    total = sum(each.n for each in arms)
    caption = (
        f"Share of trainings that diverged or stalled by learning rate, {counted(total, 'probe')}. "
        "Dots and thin bars: shares in quarter decades with 95 % Wilson intervals; line: logistic fit to all "
        "probes; thick bars: 95 % intervals of lr50 (at 0.5) and lr05 (at 0.05); marks above and below: the "
        "probes."
    )
    if any(each.predicted for each in shown):
        caption += " Dotted: what the curvature at the start predicts for gradient descent on a quadratic."
    if len(arms) > len(shown):
        caption += f" The first {len(shown)} of {len(arms)} arms."
    return Drawing(figure, "Divergence map", caption)


def _span(arms: Sequence[ArmEdge]) -> tuple[float, float]:
    """The x axis: a little more than what was probed and predicted."""
    rates = [probe.lr for each in arms for probe in each.probes]
    rates += [each.predicted.value for each in arms if each.predicted and each.predicted.value]
    return min(rates) / 1.5, max(rates) * 1.5


def _panel(axes: Axes, each: ArmEdge, span: tuple[float, float], theme: Theme) -> None:
    colour = theme.arms[0]
    for share in divergence_map([each]):
        x = math.sqrt(share.lr_low * share.lr_high)
        look: dict[str, Any] = {"color": theme.ink, "alpha": 0.55, "zorder": 2}
        axes.plot([x, x], [share.share_low, share.share_high], linewidth=0.5, **look)
        axes.plot(x, share.share, "o", markersize=2, markeredgewidth=0, **look)
    _curve(axes, each, span, colour)
    _interval(axes, each.lr50, 0.5, span, theme)
    if each.found:
        _interval(axes, each.lr05, 0.05, span, theme)
    if each.predicted and each.predicted.value:
        axes.axvline(each.predicted.value, color=theme.ink, linestyle=":", linewidth=0.9)
    for probe in each.probes:
        _mark(axes, probe, theme)
    axes.set_ylim(-0.25, 1.25)
    axes.set_yticks([0, 0.5, 1], ["0", "", "1"])
    dress(axes, theme, grid="x")
    name = {"fontsize": 7.5, "color": theme.ink, "fontweight": "bold", "pad": 2}
    axes.set_title(plain(each.arm), loc="left", **name)  # type: ignore[arg-type]


def _curve(axes: Axes, each: ArmEdge, span: tuple[float, float], colour: str) -> None:
    steps = 200
    rates = [span[0] * (span[1] / span[0]) ** (step / steps) for step in range(steps + 1)]
    known = [(lr, p) for lr in rates if (p := each.chance(lr)) is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=colour, linewidth=1.1, zorder=3)


def _interval(axes: Axes, estimate: Estimate, level: float, span: tuple[float, float], theme: Theme) -> None:
    """A thick bar over the interval; it runs out of the panel where the interval has no end."""
    if estimate.low is None and estimate.high is None:
        return
    ends = (estimate.low or span[0], estimate.high or span[1])
    colour = theme.arms[1]
    axes.plot(ends, (level, level), color=colour, linewidth=2.2, solid_capstyle="butt", zorder=4)
    if estimate.value is not None:
        look: dict[str, Any] = {"markerfacecolor": theme.paper, "markeredgewidth": 1, "markersize": 3.4}
        axes.plot(estimate.value, level, "D", color=colour, zorder=5, **look)


def _mark(axes: Axes, probe: Probe, theme: Theme) -> None:
    height = 1.13 if probe.unstable else -0.13
    marker = PROBE_MARKERS[probe.status]
    look: dict[str, Any] = {"markersize": 3.2, "markeredgewidth": 0.7, "linestyle": ""}
    axes.plot(probe.lr, height, marker, color=theme.verdicts[probe.status], **look)


def _handles(arms: Sequence[ArmEdge], theme: Theme) -> list[Any]:
    from matplotlib.lines import Line2D

    def line(label: str, **look: Any) -> Any:
        return Line2D([], [], label=label, **look)

    statuses = {probe.status for each in arms for probe in each.probes}
    marks = [
        line(
            PROBE_NAMES[status],
            marker=marker,
            color=theme.verdicts[status],
            linestyle="",
            markersize=4,
        )
        for status, marker in PROBE_MARKERS.items()
        if status in statuses
    ]
    bar = line("lr50, lr05", color=theme.arms[1], linewidth=2.2)
    fit = line("fit", color=theme.arms[0], linewidth=1.1)
    curvature = line("by curvature", color=theme.ink, linestyle=":", linewidth=0.9)
    return [*marks, fit, bar, *([curvature] if any(each.predicted for each in arms) else [])]
