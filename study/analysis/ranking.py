"""Which arm is better, by how much, and how sure that is: from the confirm phase alone."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from study.analysis.equivalence import rope_for, signed_rank
from study.analysis.flags import Flag, flags, tuned_values
from study.analysis.intervals import Interval, PairedTest, mean_interval, paired_test
from study.analysis.outcomes import Direction, Replicate, Results, direction, replicates, test_metric, values
from study.analysis.pairs import joined_ranks, pair_tests, scores
from study.analysis.resampling import BCA_LEADS_FROM, Chance, bca, beside, leading, share, sign_flips, wins
from study.analysis.untuned import untuned
from study.space import Scalar
from study.spec import Arm, StudySpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Lead:
    """How far an arm is ahead of the next one: the mean paired difference, above 0 where it is
    better, whichever way the metric points.

    ``test`` is the paired t test; ``p_holm`` its p after Holm's correction over all pairs of arms;
    ``rope`` the difference that does not matter (None where the metric has no such scale).
    """

    over: str
    test: PairedTest
    p_holm: float | None = None
    rope: float | None = None

    @property
    def ahead(self) -> Chance:
        """P(A > B)."""
        return wins(self.test.differences)

    def to_json(self) -> dict[str, Any]:
        interval, differences = self.test.interval, self.test.differences
        beliefs = signed_rank(differences, self.rope) if self.rope is not None else None
        return {
            "over": self.over,
            "difference": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "interval": interval.kind,
            "beside": interval_json(beside(differences)),
            "n": interval.n,
            "p": self.test.p,
            "p_holm": self.p_holm,
            "p_sign_flips": sign_flips(self.test).p,
            "p_better": asdict(self.ahead),
            "rope": self.rope,
            "beliefs": asdict(beliefs) if beliefs else None,
        }


@dataclass(frozen=True)
class RankedArm:
    """One arm's line. ``interval`` covers all its replicates, a diverged or stalled one counted as chance;
    ``finished_mean`` those with a number of their own. ``rank`` is None where there is no mean, and shared
    by arms that cannot be told apart (study.analysis.pairs.joined_ranks). ``untuned`` says why it was not
    tuned; empty where it was."""

    arm: str
    rank: int | None
    interval: Interval
    finished_mean: float | None
    diverged: int
    stalled: int
    best: dict[str, Scalar] | None
    replicates: tuple[Replicate, ...]
    lead: Lead | None
    flags: tuple[Flag, ...]
    untuned: str = ""

    @property
    def n(self) -> int:
        return len(self.replicates)

    @property
    def lost(self) -> Chance:
        """What share of its replicates diverged or stalled."""
        return share(sum(each.status in ("diverged", "stalled") for each in self.replicates), self.n)

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "rank": self.rank,
            "n": self.n,
            "mean": self.interval.mean,
            "low": self.interval.low,
            "high": self.interval.high,
            "interval": self.interval.kind,
            "beside": interval_json(beside(tuple(values(self.replicates).values())))
            if self.interval.mean is not None
            else None,
            "finished_mean": self.finished_mean,
            "diverged": self.diverged,
            "stalled": self.stalled,
            "lost": asdict(self.lost),
            "best": self.best,
            "lead": self.lead.to_json() if self.lead else None,
            "flags": [{"kind": flag.kind, "text": flag.text} for flag in self.flags],
        }


@dataclass(frozen=True)
class Ranking:
    """The arms, best mean first; those without a number last. Arms that cannot be told apart share a rank."""

    metric: str
    direction: Direction
    arms: tuple[RankedArm, ...]

    def __getitem__(self, arm: str) -> RankedArm:
        return next(each for each in self.arms if each.arm == arm)

    @functools.cached_property
    def scores(self) -> pd.DataFrame:
        """The replicates of the arms that have a mean: one row a seed block, one column an arm."""
        return scores({each.arm: each.replicates for each in self.arms if each.rank is not None})

    def to_json(self) -> list[dict[str, Any]]:
        return [each.to_json() for each in self.arms]


def ranking(spec: StudySpec, results: Results, metric: str | None = None) -> Ranking:
    """Rank the study's arms by ``metric`` (by default the test metric that belongs to the objective).

    Speaks of the configurations that one tuning run found, not of all that an arm could be. A mean
    is given only where every replicate has a number. Arms are compared in pairs over the replicates
    that both have. Intervals are at 95 %: t's below 20 replicates, BCa's from there on.
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
    tests = pair_tests(scores({name: found[name] for name in ranked}), better)
    ranks = joined_ranks(ranked, tests)
    corrected = dict(zip(zip(tests["first"], tests["second"], strict=True), tests["p_holm"], strict=True))
    following = dict(itertools.pairwise(ranked))
    rope = rope_for(metric, spec.claims)
    reasons = untuned(spec, results)

    def lead(name: str, after: str) -> Lead:
        p_holm = float(corrected[name, after])
        test = compare(found[name], found[after], better)
        return Lead(after, test, None if math.isnan(p_holm) else p_holm, rope)

    def line(arm: Arm) -> RankedArm:
        name, mine = arm.name, found[arm.name]
        own = [each.value for each in mine if not each.penalised and each.value is not None]
        return RankedArm(
            arm=name,
            rank=ranks.get(name),
            interval=means[name],
            finished_mean=mean_interval(own).mean,
            diverged=sum(each.status == "diverged" for each in mine),
            stalled=sum(each.status == "stalled" for each in mine),
            best=tuned_values(spec, results, arm),
            replicates=mine,
            lead=lead(name, following[name]) if name in following else None,
            flags=flags(spec, results, arm, mine, reasons.get(name, "")),
            untuned=reasons.get(name, ""),
        )

    return Ranking(metric, better, tuple(line(arm) for arm in order))


def compare(
    first: tuple[Replicate, ...],
    second: tuple[Replicate, ...],
    better: Direction,
    margin: float = 0.0,
) -> PairedTest:
    """By how much the first arm is better than the second, paired by replicate: the paired t test, with
    the interval that leads at that many pairs."""
    ahead, behind = (first, second) if better == "maximize" else (second, first)
    test = paired_test(values(ahead), values(behind), margin)
    enough = test.interval.n >= BCA_LEADS_FROM
    return replace(test, interval=bca(test.differences)) if enough else test


def interval_json(interval: Interval) -> dict[str, Any]:
    """A second interval of the same mean, for programs."""
    return {"interval": interval.kind, "low": interval.low, "high": interval.high}


def _interval(found: tuple[Replicate, ...]) -> Interval:
    numbers = values(found)
    return leading(list(numbers.values())) if len(numbers) == len(found) else Interval(len(numbers))
