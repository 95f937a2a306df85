"""What an arm's tuning depends on: how sensitive it is to the learning rate, what matters to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from study.analysis.outcomes import Results, ended
from study.analysis.tuning_curves import tuning_value
from study.bisection import KEY
from study.space import Float
from study.spec import Arm, StudySpec

# Bins of the learning rate, a decade.
BINS = 2
# Good enough: within 2 % of the best value.
NEAR = 0.02
# Below so many trials, importances are noise: two evaluators disagree on most of them.
FEWEST = 10
# fANOVA takes a minute for 2,000 trials of three hyperparameters, 2 s for so many, and its shares are the
# same within 0.05.
FANOVA_TRIALS = 200


@dataclass(frozen=True)
class Sensitivity:
    """How an arm's validation value falls off away from its best learning rate.

    ``shortfall`` is how far the best value of a half-decade of learning rates lies from the arm's best, on
    average over the ``bins`` half-decades that were tried. ``good_decades`` is how wide the range around the
    best is whose half-decades all stay within ``tolerance`` of it.
    """

    arm: str
    n: int
    bins: int
    shortfall: float
    good_decades: float
    tolerance: float

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "n": self.n,
            "bins": self.bins,
            "shortfall": self.shortfall,
            "good_decades": self.good_decades,
            "tolerance": self.tolerance,
        }


@dataclass(frozen=True)
class Importance:
    """The share of each tuned hyperparameter in what an arm's ``n`` trials differ by, according to each of
    two evaluators; empty, with the reason, where there are too few trials."""

    arm: str
    n: int
    shares: Mapping[str, Mapping[str, float]]
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "n": self.n,
            "by": {k: dict(v) for k, v in self.shares.items()},
            "why": self.why,
        }


def sensitivity(spec: StudySpec, results: Results, arm: Arm) -> Sensitivity | None:
    """How sensitive the arm is to its learning rate (after Wortsman et al. 2023, 2309.14322, section 2.1:
    the mean shortfall over a range of rates, a diverged trial counted as chance). Each half-decade's best
    trial stands for it, as the others may be lost to a second hyperparameter. None where the learning rate
    is not tuned on a log scale, or fewer than two half-decades were tried."""
    ranges = [entry.distribution for entry in arm.space.entries if entry.key == KEY]
    if not any(isinstance(each, Float) and each.log for each in ranges):
        return None
    sign = 1.0 if spec.objective.direction == "maximize" else -1.0
    best: dict[int, float] = {}
    count = 0
    for trial in ended(results, arm.name, "tune"):
        value = tuning_value(spec, results, trial) if trial.verdict.status != "failed" else None
        lr = trial.config.hyperparameters.get(KEY)
        if value is None or not isinstance(lr, int | float):
            continue
        count += 1
        # Rounded first: log10 of a bin's own end must not fall below it.
        place = math.floor(round(BINS * math.log10(lr), 9))
        best[place] = max(best.get(place, -math.inf), sign * value)
    if len(best) < 2:
        return None
    top = max(best.values())
    shortfall = math.fsum(top - each for each in best.values()) / len(best)
    tolerance = NEAR * abs(top)
    good = _good_run(best, top - tolerance)
    return Sensitivity(arm.name, count, len(best), shortfall, good / BINS, tolerance)


def _good_run(best: Mapping[int, float], enough: float) -> int:
    """How many neighbouring bins around the best one are good enough."""
    top = max(best, key=lambda place: best[place])
    low = high = top
    while best.get(low - 1, -math.inf) >= enough:
        low -= 1
    while best.get(high + 1, -math.inf) >= enough:
        high += 1
    return high - low + 1


def importance(spec: StudySpec, results: Results, arm: Arm) -> Importance:
    """What matters to the arm, by two of Optuna's evaluators: they may well disagree, so neither is shown
    alone. Diverged trials count as chance."""
    trials = [
        (arm.space.tuned_part(trial.config.hyperparameters), value)
        for trial in ended(results, arm.name, "tune")
        if trial.verdict.status != "failed" and (value := tuning_value(spec, results, trial)) is not None
    ]
    if len(trials) < FEWEST:
        return Importance(arm.name, len(trials), {}, f"too few trials: {len(trials)} of at least {FEWEST}")
    if len({value for _, value in trials}) < 2:
        return Importance(arm.name, len(trials), {}, "all trials came to the same value")
    from study.samplers.importance import importances

    return Importance(arm.name, len(trials), importances(spec, arm, trials, FANOVA_TRIALS))
