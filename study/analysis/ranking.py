"""Which arm is better, by how much, and how sure that is: from the confirm phase alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from study.analysis.flags import Flag, flags, tuned_values
from study.analysis.intervals import Interval, PairedTest, mean_interval, paired_test
from study.analysis.outcomes import Direction, Replicate, Results, direction, replicates, test_metric, values
from study.space import Scalar
from study.spec import Arm, StudySpec


@dataclass(frozen=True)
class Lead:
    """How far an arm is ahead of the next one: the mean paired difference, above 0 where it is
    better, whichever way the metric points."""

    over: str
    test: PairedTest

    def to_json(self) -> dict[str, Any]:
        interval = self.test.interval
        return {
            "over": self.over,
            "difference": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "n": interval.n,
            "p": self.test.p,
        }


@dataclass(frozen=True)
class RankedArm:
    """One arm's line. ``interval`` covers all its replicates, a diverged one counted as chance;
    ``finished_mean`` those with a number of their own. ``rank`` is None where there is no mean."""

    arm: str
    rank: int | None
    interval: Interval
    finished_mean: float | None
    diverged: int
    best: dict[str, Scalar] | None
    replicates: tuple[Replicate, ...]
    lead: Lead | None
    flags: tuple[Flag, ...]

    @property
    def n(self) -> int:
        return len(self.replicates)

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "rank": self.rank,
            "n": self.n,
            "mean": self.interval.mean,
            "low": self.interval.low,
            "high": self.interval.high,
            "finished_mean": self.finished_mean,
            "diverged": self.diverged,
            "best": self.best,
            "lead": self.lead.to_json() if self.lead else None,
            "flags": [{"kind": flag.kind, "text": flag.text} for flag in self.flags],
        }


@dataclass(frozen=True)
class Ranking:
    """The arms, best first; those without a number last. Equal means share a rank."""

    metric: str
    direction: Direction
    arms: tuple[RankedArm, ...]

    def __getitem__(self, arm: str) -> RankedArm:
        return next(each for each in self.arms if each.arm == arm)

    def to_json(self) -> list[dict[str, Any]]:
        return [each.to_json() for each in self.arms]


def ranking(spec: StudySpec, results: Results, metric: str | None = None) -> Ranking:
    """Rank the study's arms by ``metric`` (by default the test metric that belongs to the objective).

    Speaks of the configurations that one tuning run found, not of all that an arm could be. A mean
    is given only where every replicate has a number. Arms are compared in pairs over the replicates
    that both have; intervals are 95 % t intervals.
    """
    metric = metric or test_metric(spec)
    better = direction(spec, metric)
    found = {arm.name: replicates(results, arm.name, metric) for arm in spec.arms()}
    means = {name: _interval(mine) for name, mine in found.items()}
    sign = -1 if better == "maximize" else 1
    numbers = {name: sign * each.mean for name, each in means.items() if each.mean is not None}
    # sorted() is stable: equal means keep the study file's order.
    order = sorted(spec.arms(), key=lambda arm: numbers.get(arm.name, float("inf")))
    ranked = [arm.name for arm in order if arm.name in numbers]
    following = dict(itertools.pairwise(ranked))

    def line(arm: Arm) -> RankedArm:
        name, mine = arm.name, found[arm.name]
        own = [each.value for each in mine if not each.penalised and each.value is not None]
        after = following.get(name)
        return RankedArm(
            arm=name,
            rank=1 + sum(other < numbers[name] for other in numbers.values()) if name in numbers else None,
            interval=means[name],
            finished_mean=mean_interval(own).mean,
            diverged=sum(each.status == "diverged" for each in mine),
            best=tuned_values(spec, results, arm),
            replicates=mine,
            lead=Lead(after, compare(mine, found[after], better)) if after else None,
            flags=flags(spec, results, arm, mine),
        )

    return Ranking(metric, better, tuple(line(arm) for arm in order))


def compare(
    first: tuple[Replicate, ...],
    second: tuple[Replicate, ...],
    better: Direction,
    margin: float = 0.0,
) -> PairedTest:
    """By how much the first arm is better than the second, paired by replicate."""
    ahead, behind = (first, second) if better == "maximize" else (second, first)
    return paired_test(values(ahead), values(behind), margin)


def _interval(found: tuple[Replicate, ...]) -> Interval:
    numbers = values(found)
    return mean_interval(list(numbers.values())) if len(numbers) == len(found) else Interval(len(numbers))
