"""Arms that tuning left where they began: their replicates say nothing of what they can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from study.analysis.outcomes import Results, chance, ended, finite
from study.analysis.selection import NEXT_BEST, best_trial, to_confirm
from study.analysis.wording import counted, listed, metric_name, setting
from study.spec import StudySpec
from study.trial import TrialResult

# The least share of the way from chance to the study's best tuning value that a tuned arm has come.
LEAST_SHARE = 0.1
# More of them are counted, not named.
MOST_NAMES = 5


def untuned(spec: StudySpec, results: Results) -> dict[str, str]:
    """The arms that were not tuned and why, in words.

    Those of which no tuning trial ended ok; and those that tune something and whose best tuning value is less
    than LEAST_SHARE of the way from chance (what a model scores that learned nothing) to the best one of any
    arm. A share, as it holds for accuracies and losses alike, on any scale, and without the validation
    split's size, which a binomial bound would ask for; of the best arm's way, as this is what data and budget
    allow. Where no arm beats chance, none was tuned. A network without batch norm on CIFAR-100, and one that
    trains on 250 pictures, which learn little and are tuned, came 18 and 31 % of the way.
    """
    # Of each arm apart, as looking through all results for each of a thousand arms takes seconds.
    own: dict[str, dict[str, TrialResult]] = {arm.name: {} for arm in spec.arms()}
    for name, result in results.items():
        own.get(result.config.arm, {})[name] = result
    best = {arm: best_trial(spec, mine, arm) for arm, mine in own.items()}
    shares = _shares(spec, results, {arm: trial for arm, trial in best.items() if trial})
    found = {}
    for arm in spec.arms():
        mine, chosen = ended(own[arm.name], arm.name, "tune"), best[arm.name]
        if mine and chosen is None:
            found[arm.name] = _none_ok(spec, own[arm.name], arm.name, len(mine))
        elif chosen and arm.space.entries and shares.get(arm.name, 1) < LEAST_SHARE:
            found[arm.name] = _at_chance(spec, results, chosen, mine)
    return found


def were_not_tuned(arms: Iterable[str], reasons: Mapping[str, str]) -> str:
    """``relu and elu were not tuned``, of those of the arms that have a reason; empty where none has."""
    names = [arm for arm in arms if arm in reasons]
    if not names:
        return ""
    who = listed(names) if len(names) <= MOST_NAMES else counted(len(names), "arm")
    return f"{who} {'was' if len(names) == 1 else 'were'} not tuned"


def _shares(spec: StudySpec, results: Results, best: Mapping[str, TrialResult]) -> dict[str, float]:
    """How far the arms came from chance (0) to the best value of any arm (1); 0 for all where none came
    further than chance. An arm whose chance is not known is left out."""
    metric, sign = spec.objective.metric, 1 if spec.objective.direction == "maximize" else -1
    gains = {
        name: sign * (trial.metrics[metric] - worst)
        for name, trial in best.items()
        if (worst := finite(chance(trial, results, metric))) is not None
    }
    most = max(gains.values(), default=0.0)
    return {name: gain / most if most > 0 else 0.0 for name, gain in gains.items()}


def _none_ok(spec: StudySpec, results: Results, arm: str, trials: int) -> str:
    furthest = to_confirm(spec, results, arm) if spec.search.replicates else None
    instead = f"; its replicates retrain {furthest.config.id}, which got furthest" if furthest else ""
    return f"not tuned: none of {counted(trials, 'tuning trial')} ended ok{instead}"


def _at_chance(spec: StudySpec, results: Results, best: TrialResult, mine: tuple[TrialResult, ...]) -> str:
    metric, worst = spec.objective.metric, chance(best, results, spec.objective.metric)
    assert worst is not None, "its share is known"
    score = f"{metric_name(metric)} {setting(float(best.metrics[metric]))}"
    ends = Counter(each.verdict.status for each in mine)
    others = ", ".join(f"{ends[status]} {status}" for status in NEXT_BEST if ends[status])
    return (
        f"not tuned: the best of {counted(len(mine), 'tuning trial')} has {score}, and chance is "
        f"{setting(worst)}{others and f'; {others}'}: other ranges, or more trials"
    )
