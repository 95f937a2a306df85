"""Which of an arm's tuned configurations is its best: the one that the confirm phase retrains; and which
of its replicates are still to come."""

from __future__ import annotations

from collections.abc import Sequence

from study.analysis.outcomes import Results, ended, finite
from study.analysis.wording import counted, listed, metric_name
from study.spec import StudySpec
from study.trial import Status, TrialResult

# An arm of which no tuning trial ended ok is confirmed all the same, with the trial that came closest: its
# outcome is counted like any other's, instead of the arm having none. Failed trials say nothing of their arm.
NEXT_BEST: tuple[Status, ...] = ("pruned", "stalled", "diverged")


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


def to_confirm(spec: StudySpec, results: Results, arm: str) -> TrialResult | None:
    """The trial whose hyperparameters the replicates run with: the arm's best or, where none ended ok, the
    one that was trained for longest, of those that were stopped before those that stalled and diverged.

    None where all failed, or none ended yet.
    """
    best = best_trial(spec, results, arm)
    others = [each for each in ended(results, arm, "tune") if each.verdict.status in NEXT_BEST]
    return best or min(others, key=_distance, default=None)


def _distance(result: TrialResult) -> tuple[int, int]:
    return NEXT_BEST.index(result.verdict.status), -result.gradient_evaluations


def replicates_expected(spec: StudySpec, results: Results, arm: str) -> int:
    """How many replicates the arm will have: none where its tuning has ended and all of it failed."""
    tuned = len(ended(results, arm, "tune")) >= spec.search.trials_per_arm
    nothing = tuned and to_confirm(spec, results, arm) is None and not ended(results, arm, "confirm")
    return 0 if nothing else spec.search.replicates


def still_open(spec: StudySpec, results: Results, arms: Sequence[str]) -> str:
    """What is to come of the replicates of these arms, in words; empty where all have ended. A claim is
    judged once, then: looking earlier and stopping at will would inflate its errors."""
    inside = [arm.name for arm in spec.arms() if arm.name in arms]
    asked = sum(replicates_expected(spec, results, arm) for arm in inside)
    done = sum(len(ended(results, arm, "confirm")) for arm in inside)
    if done >= asked:
        return ""
    return f"The study is unfinished: {done} of {counted(asked, 'replicate')} of these arms ended"


def without_mean(spec: StudySpec, arms: Sequence[str], ran: Sequence[str], metric: str) -> str:
    """Which of the claimed arms have no mean, and why, in words; empty where all have one."""
    inside = {each.name for each in spec.arms()}
    outside = [arm for arm in arms if arm not in inside]
    numberless = [arm for arm in arms if arm in inside and arm not in ran]
    gaps = []
    if outside:
        gaps.append(f"Not in this study: {listed(outside)}")
    if numberless:
        gaps.append(f"No mean {metric_name(metric)} for {listed(numberless)}")
    return ". ".join(gaps)
