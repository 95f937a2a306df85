"""What stands behind a ranking, for who wants to check it: pairs, mean ranks, tuning, costs."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.analysis.equivalence import rope_for
from study.analysis.findings import Findings
from study.analysis.friedman import MeanRanks, mean_ranks
from study.analysis.outcomes import ended
from study.analysis.pairs import pair_table
from study.analysis.sensitivity import Importance, Sensitivity, importance, sensitivity
from study.analysis.tuning_curves import TuningCurve, ahead, tuning_curves
from study.trial import PHASES

if TYPE_CHECKING:
    import pandas as pd

# Pairs grow with the square of the arms, and each is resampled thousands of times; the rest is for
# `study export`.
MOST_ARMS = 12


@dataclass(frozen=True)
class Cost:
    """What an arm cost, in the attempts that counted: seconds and gradient evaluations (of one batch each:
    one a step, and what an optimizer asks for beyond it), summed over trials; a replicate's are means."""

    arm: str
    trials: int
    tuning_s: float
    confirmation_s: float
    replicate_s: float | None
    gradient_evaluations: int
    replicate_evaluations: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "trials": self.trials,
            "tuning_s": self.tuning_s,
            "confirmation_s": self.confirmation_s,
            "replicate_s": self.replicate_s,
            "gradient_evaluations": self.gradient_evaluations,
            "gradient_evaluations_per_replicate": self.replicate_evaluations,
        }


@dataclass(frozen=True, eq=False)
class Details:
    """Of the first MOST_ARMS arms in the ranking's order. ``pairs`` is study.analysis.pairs.pair_table's;
    ``overtakings`` are the budgets at which one arm's tuning is ahead of another's for sure."""

    pairs: pd.DataFrame
    rope: float | None
    mean_ranks: MeanRanks | None
    curves: tuple[TuningCurve, ...]
    overtakings: tuple[tuple[str, str, int, int], ...]
    sensitivities: tuple[Sensitivity, ...]
    importances: tuple[Importance, ...]
    costs: tuple[Cost, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "pairs": [_plain(row) for row in self.pairs.to_dict("records")],
            "mean_ranks": self.mean_ranks and self.mean_ranks.to_json(),
            "tuning": {
                "curves": [each.to_json() for each in self.curves],
                "ahead": [
                    {"arm": a, "of": b, "from_trials": start, "to_trials": end}
                    for a, b, start, end in self.overtakings
                ],
                "learning_rate": [each.to_json() for each in self.sensitivities],
                "importance": [each.to_json() for each in self.importances],
            },
            "costs": [each.to_json() for each in self.costs],
        }


def details(findings: Findings) -> Details:
    """All of it, from one reading of the record."""
    spec, results, found = findings.spec, findings.results, findings.ranking
    ranked = [arm for arm in found.arms if arm.rank is not None][:MOST_ARMS]
    rope = rope_for(found.metric, spec.claims)
    names = [arm.arm for arm in found.arms][:MOST_ARMS]
    arms = {arm.name: arm for arm in spec.arms()}
    tuned = [arms[name] for name in names if spec.search.sampler != "bisect" and arms[name].space.entries]
    every = {each.arm: each for each in tuning_curves(spec, results)}
    curves = [every[name] for name in names if name in every]
    fallen = [sensitivity(spec, results, arm) for arm in tuned]
    return Details(
        pairs=pair_table({arm.arm: arm.replicates for arm in ranked}, found.direction, rope),
        rope=rope,
        mean_ranks=mean_ranks(found.scores.iloc[:, :MOST_ARMS], found.direction),
        curves=tuple(curves),
        overtakings=tuple(_overtakings(curves, findings)),
        sensitivities=tuple(each for each in fallen if each is not None),
        importances=tuple(
            importance(spec, results, arm) for arm in tuned if ended(results, arm.name, "tune")
        ),
        costs=tuple(cost(findings, arm.arm) for arm in found.arms),
    )


def cost(findings: Findings, arm: str) -> Cost:
    """What one arm cost."""
    found = {phase: ended(findings.results, arm, phase) for phase in PHASES}
    seconds = {phase: sum(each.seconds for each in mine) for phase, mine in found.items()}
    steps = {phase: sum(each.gradient_evaluations for each in mine) for phase, mine in found.items()}
    n = len(found["confirm"])
    return Cost(
        arm=arm,
        trials=sum(map(len, found.values())),
        tuning_s=seconds["tune"],
        confirmation_s=seconds["confirm"],
        replicate_s=seconds["confirm"] / n if n else None,
        gradient_evaluations=sum(steps.values()),
        replicate_evaluations=steps["confirm"] / n if n else None,
    )


def _overtakings(curves: list[TuningCurve], findings: Findings) -> list[tuple[str, str, int, int]]:
    better = findings.spec.objective.direction
    found = []
    for first, second in itertools.permutations(curves, 2):
        budgets = ahead(first, second, better)
        if budgets is not None:
            found.append((first.arm, second.arm, *budgets))
    return found


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """A table's row for programs: null for what has no number."""
    return {str(key): None if _missing(value) else value for key, value in row.items()}


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
