"""What stands behind a ranking, for who wants to check it: pairs, mean ranks, tuning, costs."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.analysis.costs import Cost, costs
from study.analysis.equivalence import rope_for
from study.analysis.findings import Findings
from study.analysis.friedman import MeanRanks, mean_ranks
from study.analysis.outcomes import ended
from study.analysis.pairs import pair_table
from study.analysis.sensitivity import Importance, Sensitivity, importance, sensitivity
from study.analysis.tuning_curves import TuningCurve, ahead, tuning_curves

if TYPE_CHECKING:
    import pandas as pd

# Pairs grow with the square of the arms, and each is resampled thousands of times; the rest is for
# `study export`.
MOST_ARMS = 12


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
        costs=costs(findings),
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
