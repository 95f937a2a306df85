"""The figures of a report. Each is a function of the study, its results and its ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from study.analysis.figures.budget import draw_budget
from study.analysis.figures.coverage import draw_coverage
from study.analysis.figures.critical_difference import draw_critical_difference
from study.analysis.figures.curves import draw_curves
from study.analysis.figures.depth import draw_depth
from study.analysis.figures.divergence import draw_divergence
from study.analysis.figures.drawing import Drawing, Theme
from study.analysis.figures.learning import draw_learning_curves
from study.analysis.figures.measures import draw_measures
from study.analysis.figures.ranking import draw_ranking
from study.analysis.figures.size_map import draw_size_map
from study.analysis.figures.spikes import draw_spikes
from study.analysis.figures.splits import draw_splits
from study.analysis.figures.tradeoff import draw_tradeoff
from study.analysis.figures.tuning import draw_tuning
from study.analysis.figures.verdicts import draw_verdicts
from study.analysis.outcomes import Results
from study.analysis.ranking import Ranking
from study.spec import StudySpec

# None where there is nothing to draw.
Draw = Callable[[StudySpec, Results, Ranking, Theme], Drawing | None]

# By the names of their files, in the order of the report.
FIGURES: Mapping[str, Draw] = {
    "divergence": draw_divergence,
    "ranking": draw_ranking,
    "critical_difference": draw_critical_difference,
    "curves": draw_curves,
    "learning_curves": draw_learning_curves,
    "tradeoff": draw_tradeoff,
    "size_map": draw_size_map,
    "measures": draw_measures,
    "depth": draw_depth,
    "splits": draw_splits,
    "coverage": draw_coverage,
    "spikes": draw_spikes,
    "tuning": draw_tuning,
    "budget": draw_budget,
    "verdicts": draw_verdicts,
}
