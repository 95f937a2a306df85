"""Figure: a training whose loss spiked and came back."""

from __future__ import annotations

from study.analysis.figures.drawing import (
    Drawing,
    Theme,
    dress,
    legend_below,
    new_figure,
    plain_ticks,
    spans_decades,
)
from study.analysis.outcomes import Results, finite
from study.analysis.ranking import Ranking
from study.analysis.wording import counted, metric_with_unit
from study.spec import StudySpec
from study.trial import TrialResult


def draw_spikes(spec: StudySpec, results: Results, found: Ranking, theme: Theme) -> Drawing | None:
    """The trial with the most recovered spikes: its training loss by epoch and each spike's height. None
    where no trial recovered from one."""
    trial = max(results.values(), key=lambda each: each.count("recovered"), default=None)
    if trial is None or not trial.count("recovered"):
        return None
    figure, axes = new_figure(2.1, theme)
    rows = [(row.get("step"), finite(row.get("train_loss"))) for row in trial.curve]
    known = [(step, loss) for step, loss in rows if step is not None and loss is not None]
    spikes = _spikes(trial)
    look = {"linewidth": 1.1, "marker": "o", "markersize": 2.2}
    handles = []
    if known:
        handles += axes.plot(*zip(*known, strict=True), color=theme.arms[0], label="epoch's mean", **look)
    for step, median, peak in spikes:
        axes.plot([step, step], [median, peak], color=theme.arms[1], linewidth=1)
    steps, peaks = [step for step, _, _ in spikes], [peak for _, _, peak in spikes]
    handles += axes.plot(steps, peaks, "^", color=theme.arms[1], markersize=4, label="recovered spike")
    if spans_decades([*peaks, *(loss for _, loss in known)]):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
    axes.set_xlabel("step")
    axes.set_ylabel(metric_with_unit("train_loss", spec))
    dress(axes, theme)
    legend_below(figure, theme, handles)
    caption = (
        f"{trial.config.id} (n = 1, {trial.verdict}): {counted(len(spikes), 'spike')} that came back. Lines: "
        "from the median of the steps before to the peak."
    )
    return Drawing(figure, "Spikes that recover", caption)


def _spikes(trial: TrialResult) -> list[tuple[int, float, float]]:
    """Step, median before and peak of each recovered spike that has all three."""
    return [
        (event["step"], event["median"], event["peak"])
        for event in trial.events
        if event["kind"] == "recovered" and finite(event.get("median")) and finite(event.get("peak"))
    ]
