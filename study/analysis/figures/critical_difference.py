"""Figure: mean ranks over the seed blocks, and which arms the critical difference joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from study.analysis.figures.drawing import Drawing, Theme, arm_style, dress, left_out, new_figure, plain
from study.analysis.friedman import MeanRanks, mean_ranks, nemenyi
from study.analysis.outcomes import Results
from study.analysis.ranking import Ranking
from study.analysis.wording import counted, metric_name, p_value
from study.spec import StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

# More arms than this no diagram shows.
MOST_ARMS = 20
# Names on both sides leave no room between them where one is longer: then all stand on the left.
LONG_NAME = 12


def draw_critical_difference(
    spec: StudySpec, results: Results, found: Ranking, theme: Theme
) -> Drawing | None:
    """Demsar's diagram (2006, JMLR 7:1-30, figure 1), drawn by scikit-posthocs: bars join arms whose mean
    ranks cannot be told apart at 5 % by Nemenyi's test."""
    scores = found.scores.iloc[:, :MOST_ARMS].dropna()
    ranks = mean_ranks(scores, found.direction)
    if ranks is None:
        return None
    import pandas as pd
    from scikit_posthocs import critical_difference_diagram

    # By number: names may be cut to the same beginning, or hold braces.
    places = {arm: place for place, arm in enumerate(ranks.ranks)}
    p_values = nemenyi(scores[list(ranks.ranks)])
    p_values.index = p_values.columns = pd.Index(range(len(places)))
    alone = max(map(len, places)) > LONG_NAME
    rows = len(places) if alone else (len(places) + 1) // 2
    figure, axes = new_figure(0.75 + 0.14 * len(ranks.groups) + 0.19 * rows, theme)
    thin = {"linewidth": 0.9}
    parts = critical_difference_diagram(
        pd.Series(list(ranks.ranks.values()), index=range(len(places))),
        p_values,
        ax=axes,
        label_props={"fontsize": 7},
        marker_props={"s": 9},
        elbow_props=thin,
        crossbar_props={"color": theme.ink, "linewidth": 2, "solid_capstyle": "butt"},
        color_palette={place: arm_style(spec, arm, theme)["color"] for arm, place in places.items()},
        text_h_margin=0.03 * len(places),
        left_only=alone,
    )
    _label(parts["labels"], ranks, alone, theme)
    _dress(axes, len(places), theme)
    _scale_bar(axes, ranks.critical_difference, theme)
    return Drawing(figure, "Critical difference", _caption(ranks, found, scores.shape[1]))


def _label(labels: list[Text], ranks: MeanRanks, alone: bool, theme: Theme) -> None:
    """Names beside their elbows, on the left ``alone`` or on both sides, in the ink of all text: the colour
    is the elbow's."""
    names = list(ranks.ranks)
    left = len(names) if alone else (len(names) + 1) // 2
    ordered = [*names[:left], *reversed(names[left:])]
    for at, (label, name) in enumerate(zip(labels, ordered, strict=True)):
        text, rank = plain(name), f"{ranks.ranks[name]:.2f}"
        label.set_text(f"{text}  {rank} " if at < left else f" {rank}  {text}")
        label.set_color(theme.ink)


def _dress(axes: Axes, arms: int, theme: Theme) -> None:
    dress(axes, theme, grid="none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "top")
    axes.spines["top"].set_color(theme.ink)
    axes.spines["top"].set_linewidth(0.6)
    axes.set_xlim(1 - 0.03 * arms, arms + 0.03 * arms)
    axes.set_xticks(range(1, arms + 1))
    axes.set_xlabel("mean rank (1 is best)")
    axes.xaxis.set_label_position("top")


def _scale_bar(axes: Axes, length: float, theme: Theme) -> None:
    """The critical difference as a length, under the diagram."""
    bottom = axes.get_ylim()[0] - 0.6
    axes.plot([1, 1 + length], [bottom, bottom], color=theme.ink, linewidth=0.9, marker="|", markersize=4)
    below = {"ha": "center", "va": "top", "fontsize": 7}
    axes.text(1 + length / 2, bottom - 0.25, f"CD = {length:.2f}", color=theme.ink, **below)  # type: ignore[arg-type]
    axes.set_ylim(bottom=bottom - 1.2)


def _caption(ranks: MeanRanks, found: Ranking, shown: int) -> str:
    test = f"Friedman's p {_equals(ranks.p)}" if ranks.p is not None else "All replicates tie"
    return (
        f"Mean ranks by {metric_name(found.metric)} over {counted(ranks.n, 'replicate')} that every arm has. "
        f"Bars join arms whose mean ranks differ by less than the critical difference (CD = "
        f"{ranks.critical_difference:.2f}, Nemenyi, 5 %). {test}. Seeds are not data sets: this holds for "
        "this data and recipe." + left_out(sum(arm.rank is not None for arm in found.arms), shown)
    )


def _equals(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
