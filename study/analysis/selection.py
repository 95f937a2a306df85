"""Which of an arm's tuned configurations is its best: the one that the confirm phase retrains."""

from __future__ import annotations

from study.analysis.outcomes import Results, ended, finite
from study.spec import StudySpec
from study.trial import TrialResult


def best_trial(spec: StudySpec, results: Results, arm: str) -> TrialResult | None:
    """The arm's tuning trial with the best final value of the objective, among those that ended ok.

    Of equal ones the first. None where no tuning trial of the arm ended ok.
    """
    sign = 1 if spec.objective.direction == "minimize" else -1
    best: tuple[float, TrialResult] | None = None
    for result in ended(results, arm, "tune"):
        value = finite(result.metrics.get(spec.objective.metric))
        if result.verdict.status != "ok" or value is None:
            continue
        if best is None or sign * value < best[0]:
            best = (sign * value, result)
    return best[1] if best else None


def replicates_expected(spec: StudySpec, results: Results, arm: str) -> int:
    """How many replicates the arm will have: none where its tuning has ended and nothing finished."""
    tuned = len(ended(results, arm, "tune")) >= spec.search.trials_per_arm
    nothing = tuned and best_trial(spec, results, arm) is None and not ended(results, arm, "confirm")
    return 0 if nothing else spec.search.replicates
