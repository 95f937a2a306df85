"""Figure: how the trials of each arm ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.analysis.figures.drawing import (
    MOST_ROWS,
    Drawing,
    Theme,
    dress,
    left_out,
    legend_below,
    names_on_y,
    new_figure,
    readable_on,
)
from study.analysis.outcomes import Results, ended
from study.analysis.ranking import Ranking
from study.analysis.wording import counted
from study.spec import StudySpec
from study.trial import PHASES, STATUSES, Phase, Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PHASE_NAMES: Mapping[Phase, str] = {"tune": "tuning", "confirm": "confirmation"}


def draw_verdicts(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """How many trials of each arm ended how, in both phases."""
    from matplotlib.ticker import MaxNLocator

    phases = [phase for phase in PHASES if any(each.config.phase == phase for each in results.values())]
    arms = [arm.arm for arm in found.arms]
    shown = arms[:MOST_ROWS]
    if not phases:
        return None
    figure, grid = new_figure(0.65 + 0.27 * len(shown), theme, ncols=len(phases), sharey=True, squeeze=False)
    for axes, phase in zip(grid[0], phases, strict=True):
        for row, name in enumerate(shown):
            _stacked(axes, row, [each.verdict.status for each in ended(results, name, phase)], theme)
        names_on_y(axes, shown)
        axes.set_title(PHASE_NAMES[phase])
        axes.set_xlabel("number of trials")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        dress(axes, theme, grid="none")
        axes.tick_params(axis="y", length=0)
    statuses = {each.verdict.status for each in results.values()}
    legend_below(
        figure, theme, [_patch(each, theme) for each in STATUSES if each in statuses], most_columns=5
    )
    caption = f"How {counted(len(results), 'trial')} ended, by arm and phase."
    return Drawing(figure, "Verdicts", caption + left_out(len(arms), MOST_ROWS))


def _stacked(axes: Axes, row: int, statuses: Sequence[Status], theme: Theme) -> None:
    left = 0
    for status in STATUSES:
        count = statuses.count(status)
        if count:
            axes.barh(row, count, left=left, height=0.68, color=theme.verdicts[status], edgecolor=theme.paper)
            centre = {"ha": "center", "va": "center", "fontsize": 7}
            ink = readable_on(theme.verdicts[status])
            axes.text(left + count / 2, row, str(count), color=ink, **centre)  # type: ignore[arg-type]
        left += count


def _patch(status: Status, theme: Theme) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=theme.verdicts[status], label=status)
