"""What a study's replicates will be able to tell, before any of them is paid for."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from study.analysis.equivalence import FRACTIONS
from study.analysis.intervals import paired_test, spread
from study.analysis.outcomes import Results, quantity, replicates, test_metric, values
from study.analysis.power import (
    ALPHA,
    PILOTS,
    POWER,
    detectable,
    fewest_for_sign_flips,
    replicates_needed,
    smallest_p,
)
from study.analysis.wording import counted, metric_name
from study.claims import MINUS, SHARE, STABLE_LR, Claim
from study.spec import StudySpec

# An earlier record's spread is taken from at least so many pairs of replicates.
FEWEST_PAIRS = 3


@dataclass(frozen=True)
class Spread:
    """How far paired differences of a metric spread (their standard deviation), and where that is known
    from. ``detectable`` is the smallest true difference that the planned replicates tell from 0 four times
    in five; None for fewer than two replicates."""

    metric: str
    spread: float
    source: str
    detectable: float | None


@dataclass(frozen=True)
class Tuning:
    """Of an arm's ``trials`` the first ``random`` are drawn at random. The best of so many random ones is,
    19 times in 20, among the best ``best_share`` of what the arm's ranges hold: 1 - 0.05^(1/trials), as each
    misses the best q with chance 1 - q (Bergstra & Bengio 2012, JMLR 13:281)."""

    trials: int
    random: int
    best_share: float


@dataclass(frozen=True)
class Foresight:
    """``smallest_p`` is the least two-sided p that sign flips and Wilcoxon's signed ranks can give so many
    replicates; ``warnings`` say what the plan cannot do; ``tuning`` says how thorough the search is."""

    replicates: int
    spreads: tuple[Spread, ...]
    smallest_p: float
    warnings: tuple[str, ...]
    tuning: Tuning | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "replicates": self.replicates,
            "power": POWER,
            "level": ALPHA,
            "spreads": [asdict(each) for each in self.spreads],
            "smallest_p_of_signed_ranks": self.smallest_p,
            "warnings": list(self.warnings),
            "tuning": asdict(self.tuning) if self.tuning else None,
        }


def foresight(spec: StudySpec, earlier: tuple[str, Results] | None = None) -> Foresight:
    """What the planned replicates can tell of each metric that the study is judged by. ``earlier`` is a
    record of the same study on the same data set, by name: the spread is its arms'. Without one, that of
    pilots, for accuracies and errors alone."""
    n = spec.search.replicates
    metrics = list(dict.fromkeys([test_metric(spec), *(claim.metric for claim in _judged(spec))]))
    pilots = _pilots(spec)
    spreads = [each for metric in metrics for each in _spreads(metric, n, earlier, pilots)]
    return Foresight(n, tuple(spreads), smallest_p(n), tuple(_warnings(spec, spreads)), tuning(spec))


def tuning(spec: StudySpec) -> Tuning | None:
    """None where nothing is tuned, or not by drawing: a grid, the search for an edge."""
    search = spec.search
    if search.sampler in ("grid", "bisect") or not any(arm.space.entries for arm in spec.arms()):
        return None
    n = search.trials_per_arm
    return Tuning(n, n if search.sampler in ("random", "qmc") else search.startup, 1 - ALPHA ** (1 / n))


def paired_spread(results: Results, metric: str) -> tuple[float, int] | None:
    """The median spread of the paired differences over all pairs of arms, and how many pairs of replicates
    each has at least; None where no two arms have FEWEST_PAIRS in common. The median, as one arm that
    diverged now and then would hide how alike the others are."""
    arms = dict.fromkeys(result.config.arm for result in results.values())
    numbers = [values(replicates(results, arm, metric)) for arm in arms]
    tests = [paired_test(a, b) for a, b in itertools.combinations(numbers, 2)]
    enough = [test for test in tests if test.interval.n >= FEWEST_PAIRS]
    if not enough:
        return None
    return (
        statistics.median(spread(test.differences) for test in enough),
        min(test.interval.n for test in enough),
    )


def foresight_lines(found: Foresight) -> tuple[str, ...]:
    """For people, a line each."""
    n = counted(found.replicates, "replicate")
    told = (
        f"{n} detect a difference of {each.detectable:.2g} in {metric_name(each.metric)} (power 0.8, "
        f"two-sided 5 %) where differences spread by {each.spread:.2g}: {each.source}"
        for each in found.spreads
        if each.detectable is not None
    )
    return (*_tuning_told(found.tuning), *told, *found.warnings)


def _tuning_told(tuning: Tuning | None) -> list[str]:
    if tuning is None:
        return []
    line = (
        f"the best of {counted(tuning.trials, 'random trial')} is, 19 times in 20, among the best "
        f"{tuning.best_share * 100:.0f} % of what an arm's ranges hold"
    )
    if tuning.random == tuning.trials:
        return [line]
    return [f"{line}; here a model proposes after the first {counted(tuning.random, 'trial')} of an arm"]


def _judged(spec: StudySpec) -> list[Claim]:
    """The claims that rest on replicates."""
    return [claim for claim in spec.claims if claim.metric not in (STABLE_LR, SHARE)]


def _pilots(spec: StudySpec) -> list[tuple[float, str]]:
    """The pilots' spreads, and where they are from; that this is elsewhere is said where it is."""
    alike = str(spec.arms()[0].held["dataset.name"]).startswith("cifar")
    note = "" if alike else "; these are other data, so take it as a guide alone"
    return [(each.spread, f"a pilot, {each.where}{note}") for each in PILOTS]


def _spreads(
    metric: str, n: int, earlier: tuple[str, Results] | None, pilots: list[tuple[float, str]]
) -> list[Spread]:
    known = paired_spread(earlier[1], metric) if earlier else None
    if earlier and known and known[0] > 0:
        source = f"the median pair of arms in {earlier[0]}, {counted(known[1], 'replicate')} each"
        return [Spread(metric, known[0], source, detectable(known[0], n))]
    if quantity(metric) not in FRACTIONS or MINUS in metric:
        return []
    return [Spread(metric, of_pilot, source, detectable(of_pilot, n)) for of_pilot, source in pilots]


def _warnings(spec: StudySpec, spreads: list[Spread]) -> list[str]:
    """What so few replicates cannot do, whatever comes out."""
    n, claims = spec.search.replicates, _judged(spec)
    if n < 2:
        what = "no difference can be told from chance, and no claim that rests on replicates decided"
        return [f"fewer than 2 replicates: {what}"] if n or claims else []
    told = []
    if smallest_p(n) >= ALPHA:
        told.append(
            f"{n} replicates can never reach p < {ALPHA:.2f} by sign flips or Wilcoxon's signed ranks: the "
            f"smallest p is {smallest_p(n):.3g}; 6 replicates can"
        )
    for claim in claims:
        told += _claim_warnings(claim, n, [each.spread for each in spreads if each.metric == claim.metric])
    return told


def _claim_warnings(claim: Claim, n: int, spreads: list[float]) -> list[str]:
    """Where a claim cannot be decided either way, or hardly even where the truth is clear of its margin."""
    told = []
    links = max(1, len(claim.ranking or ()) - 1)
    least = fewest_for_sign_flips(links) if claim.test == "sign_flips" else 0
    if n < least:
        told.append(f"claim {claim.source}: sign flips need {least} replicates for {counted(links, 'link')}")
    needed = [replicates_needed(claim.margin, spread) for spread in spreads] if claim.margin else []
    worst = max((each for each in needed if each is not None), default=0)
    if worst > n:
        told.append(
            f"claim {claim.source}: to tell a difference of twice its margin {claim.margin:g} from the "
            f"margin takes about {worst:,} replicates at the widest of these spreads"
        )
    return told
