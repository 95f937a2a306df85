"""Figure: how well complexity measures order networks as their generalization gaps do."""

from __future__ import annotations

from typing import Any

from study.analysis import generalization, sizes
from study.analysis.figures.drawing import Drawing, Theme, dress, legend_below, names_on_y, new_figure
from study.analysis.learning_curves import resamples
from study.analysis.outcomes import Results
from study.analysis.ranking import Ranking
from study.seeding import derive_seed
from study.spec import StudySpec

RESAMPLES = 200


def draw_measures(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """Kendall's tau of each measure with the gap, over all cells and with one axis held at a time. None for
    a study without sizes and widths."""
    cells, task = sizes.grid(spec, results), sizes.task_of(spec, results)
    if cells.empty or task is None:
        return None
    mine = cells[cells["group"] == sizes.groups(cells)[0]]
    networks = sizes.networks(spec, mine["width"].tolist(), task)
    blocks = int(mine["block"].nunique())
    draws = resamples(blocks, derive_seed("measures", blocks), RESAMPLES)
    scores = generalization.scores(generalization.measured(mine, results, networks), draws)
    if not scores:
        return None
    figure, axes = new_figure(0.7 + 0.24 * len(scores), theme)
    whole: dict[str, Any] = {"color": theme.arms[0], "marker": "o", "markersize": 3.4, "linestyle": ""}
    apart: dict[str, Any] = {"color": theme.arms[1], "marker": "D", "markersize": 3.4, "linestyle": ""}
    for row, each in enumerate(scores):
        tau = each.tau
        if tau.low is not None and tau.high is not None:
            axes.plot([tau.low, tau.high], [row - 0.15] * 2, color=theme.arms[0], linewidth=1)
        if tau.value is not None:
            axes.plot(tau.value, row - 0.15, **whole)
        if each.granulated is not None:
            axes.plot(each.granulated, row + 0.15, **apart)
    handles = [
        axes.plot([], [], label="over all cells", **whole)[0],
        axes.plot([], [], label="one axis at a time", **apart)[0],
    ]
    axes.axvline(0, color=theme.ink, linewidth=0.6)
    names_on_y(axes, [each.measure for each in scores])
    axes.set_xlim(-1.08, 1.08)
    axes.set_xlabel("Kendall's \N{GREEK SMALL LETTER TAU} with the measured gap")
    dress(axes, theme, grid="x")
    legend_below(figure, theme, handles)
    n = sorted({each.n for each in scores})
    span = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    caption = (
        f"How complexity measures order n = {span} cells of size and width, {blocks} replicates each; bars: "
        "95 % bootstrap over replicates. Diamonds: the mean of the \N{GREEK SMALL LETTER TAU} along each "
        "axis with the other held (Jiang et al. 2020); 1: a larger measure always goes with a larger gap."
    )
    return Drawing(figure, "Complexity measures and the gap", caption)
