"""What tuning found against what it was given: the best validation value by budget, with bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from study.analysis.outcomes import Direction, Results, chance, ended, finite
from study.spec import StudySpec
from study.trial import TrialResult

if TYPE_CHECKING:
    import pandas as pd

# Of the bands: four tuning runs in five stay inside, over all budgets at once.
BAND = 0.8
# Only independent draws have an expected best: what the other samplers try depends on what they saw.
INDEPENDENT = ("random",)


@dataclass(frozen=True)
class TuningCurve:
    """An arm's best validation value after 1, 2, ... tuning trials.

    ``kind`` *expected*, for independent random trials: ``best`` is the median over tuning runs of that
    length, with a simultaneous 80 % band from ``low`` to ``high``, and ``mean`` the expected best.
    *Observed*: the best so far of the one search there was, with neither. ``evaluations`` are the gradient
    evaluations of a trial, on average.
    """

    arm: str
    kind: Literal["expected", "observed"]
    best: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    evaluations: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "kind": self.kind,
            "best": list(self.best),
            "low": list(self.low) or None,
            "high": list(self.high) or None,
            "mean": list(self.mean) or None,
            "gradient_evaluations_per_trial": self.evaluations,
        }


def tuning_curves(spec: StudySpec, results: Results) -> tuple[TuningCurve, ...]:
    """The curves of the arms that have tuning trials, in the study's order. A study that bisects has none:
    it looks for an edge, not for the best."""
    if spec.search.sampler == "bisect":
        return ()
    found = (tuning_curve(spec, results, arm.name) for arm in spec.arms())
    return tuple(each for each in found if each is not None)


def tuning_curve(spec: StudySpec, results: Results, arm: str) -> TuningCurve | None:
    """One arm's curve; None without a tuning trial that has a value."""
    mine = [each for each in ended(results, arm, "tune") if each.verdict.status != "failed"]
    values = [value for each in mine if (value := tuning_value(spec, results, each)) is not None]
    if not values:
        return None
    evaluations = sum(each.gradient_evaluations for each in mine) / len(mine)
    better = spec.objective.direction
    if spec.search.sampler not in INDEPENDENT:
        return TuningCurve(arm, "observed", best_so_far(values, better), evaluations=evaluations)
    mean = tuple(expected_best(values, n, better) for n in range(1, len(values) + 1))
    best, low, high = median_best(values, better)
    return TuningCurve(arm, "expected", best, low, high, mean, evaluations)


def tuning_value(spec: StudySpec, results: Results, trial: TrialResult) -> float | None:
    """What a tuning trial counts as: its final value; chance where it diverged or stalled without one; the
    last value of one that was stopped early, which is what it was stopped for."""
    metric = spec.objective.metric
    own = finite(trial.metrics.get(metric))
    if own is not None and trial.verdict.status != "diverged":
        return own
    seen = [value for row in trial.curve if (value := finite(row.get(metric))) is not None]
    if trial.verdict.status == "pruned" and seen:
        return seen[-1]
    return chance(trial, results, metric)


def best_so_far(values: Sequence[float], better: Direction) -> tuple[float, ...]:
    """The best of the first one, two, ... values."""
    pick = max if better == "maximize" else min
    return tuple(pick(values[:end]) for end in range(1, len(values) + 1))


def expected_best(values: Sequence[float], n: int, better: Direction = "maximize") -> float:
    """The expected best of ``n`` of the values drawn without replacement, 1 <= n <= len(values): of
    independent trials, the unbiased estimate of the expected best of n new ones (Tang et al. 2020,
    2004.13796, eq. 4; Dodge et al. 2019, 1909.03004 draw with replacement, which is biased low)."""
    count = len(values)
    ranked = sorted(values, reverse=better == "minimize")
    whole = math.comb(count, n)
    return math.fsum(math.comb(at - 1, n - 1) / whole * ranked[at - 1] for at in range(n, count + 1))


def median_best(
    values: Sequence[float], better: Direction
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """The median best of 1 ... len(values) independent trials, and the lower and the upper end (by number) of
    its 80 % band: of all the distributions inside the Dvoretzky-Kiefer-Wolfowitz band about the one that was
    seen (Lourie, Cho and He 2024, 2311.09480, by their opda), which holds with ties too, as where several
    trials diverged. Where no value that was seen bounds it, an end is the best number there can be: 1 for
    an accuracy, 0 for a loss.
    """
    import numpy as np
    from opda.nonparametric import EmpiricalDistribution

    numbers = np.array(values, dtype=float)
    floor = min(0.0, float(numbers.min()))
    ceiling = max(1.0 if better == "maximize" else 0.0, float(numbers.max()))
    found = EmpiricalDistribution.confidence_bands(
        numbers, BAND, a=floor, b=ceiling, method="dkw", generator=np.random.default_rng(0)
    )
    budgets = np.arange(1, len(values) + 1)
    ends = [each.quantile_tuning_curve(budgets, minimize=better == "minimize") for each in found]
    first, middle, last = (tuple(float(value) for value in each) for each in ends)
    # Of equal values the two ends begin alike, so each budget's are told apart by themselves.
    return middle, tuple(map(min, first, last)), tuple(map(max, first, last))


def ahead(first: TuningCurve, second: TuningCurve, better: Direction) -> tuple[int, int] | None:
    """The budgets, from and to, in trials, at which the first arm's band lies wholly on the better side of
    the second's; None where it never does, or one has no band. Towards the last trials every band opens:
    what lies beyond the best value that was seen, so few trials cannot tell."""
    budgets = range(min(len(first.low), len(second.low)))
    if better == "maximize":
        apart = [at + 1 for at in budgets if first.low[at] > second.high[at]]
    else:
        apart = [at + 1 for at in budgets if first.high[at] < second.low[at]]
    return (apart[0], apart[-1]) if apart else None


def curve_table(found: Sequence[TuningCurve]) -> pd.DataFrame:
    """One row an arm and budget: ``arm``, ``kind``, ``trials``, ``gradient_evaluations``, ``best``, ``mean``,
    ``low`` and ``high`` (NaN for an observed curve)."""
    import pandas as pd

    rows = [
        {
            "arm": each.arm,
            "kind": each.kind,
            "trials": trials,
            "gradient_evaluations": trials * each.evaluations,
            "best": best,
            "mean": each.mean[trials - 1] if each.mean else None,
            "low": each.low[trials - 1] if each.low else None,
            "high": each.high[trials - 1] if each.high else None,
        }
        for each in found
        for trials, best in enumerate(each.best, start=1)
    ]
    columns = ("arm", "kind", "trials", "gradient_evaluations", "best", "mean", "low", "high")
    return pd.DataFrame(rows, columns=list(columns))
