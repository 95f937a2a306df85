"""Claims about a number: an arm's mean, or the difference or ratio of two arms' means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from study.analysis.edge import Estimate
from study.analysis.edge_claims import SIGNS, limits, within
from study.analysis.intervals import LEVEL, Interval, spread
from study.analysis.outcomes import Results, replicates, values
from study.analysis.power import advice
from study.analysis.resampling import leading
from study.analysis.selection import still_open, without_mean
from study.analysis.wording import counted, decimals, listed, metric_of, number
from study.claims import Bounds, Claim, Judgement
from study.spec import StudySpec

Blocks = Mapping[int, float]


def judge_number(
    claim: Claim, spec: StudySpec, results: Results
) -> tuple[Judgement, str, Estimate | None, str]:
    """The verdict, why, the estimate it rests on, and what it would take to decide (or nothing).

    *Reproduced* where the 95 % interval lies within the claimed bounds, *contradicted* where it lies
    outside, and else *undecided*. Means and differences (paired by replicate) have the leading interval, t
    or BCa; ratios of means have Fieller's (1954, J. R. Stat. Soc. B 16:175-185), for pairs. Numbers are as
    measured: a difference is the first arm's minus the second's, whichever way is better.
    """
    found = [replicates(results, arm, claim.metric) for arm in claim.arms]
    numbers = [values(mine) for mine in found]
    ran = [
        arm
        for arm, mine, known in zip(claim.arms, found, numbers, strict=True)
        if mine and len(known) == len(mine)
    ]
    gap = still_open(spec, results, claim.arms) or without_mean(spec, claim.arms, ran, claim.metric)
    if gap:
        return "undecided", gap, None, ""
    bounds = claim.value or claim.difference or claim.ratio
    assert bounds is not None, "the study was checked"
    shared = sorted(set.intersection(*(set(each) for each in numbers)))
    if not shared:
        return "undecided", f"{listed(claim.arms)} have no replicate in common", None, ""
    columns = [[each[block] for block in shared] for each in numbers]
    estimate = ESTIMATES[claim.kind](columns)
    verdict = within(estimate, bounds)
    words = SIGNS[claim.kind].join(metric_of(claim.metric, arm) for arm in claim.arms)
    noun = "replicate" if claim.value else "pair"
    text = f"{words} = {estimate_text(estimate)} ({counted(len(shared), noun)})"
    return verdict, text, estimate, _needs(claim, bounds, columns, estimate) if verdict == "undecided" else ""


def estimate_text(estimate: Estimate) -> str:
    """``0.536 [0.524, 0.548]``; an open end is an infinity sign."""
    digits = decimals([Interval(2, estimate.value, estimate.low, estimate.high)])
    low = number(estimate.low, digits) if estimate.low is not None else "\N{MINUS SIGN}\N{INFINITY}"
    high = number(estimate.high, digits) if estimate.high is not None else "\N{INFINITY}"
    return f"{number(estimate.value, digits)} [{low}, {high}]"


def fieller(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The ratio of the means of paired numbers, with the 95 % interval of those ratios r for which first -
    r second has a paired t interval that covers 0. Open on both sides where the second mean may be 0."""
    n = len(first)
    x, y = math.fsum(first) / n, math.fsum(second) / n
    if n < 2 or y == 0:
        return Estimate(x / y if y else None)
    from scipy import stats

    t2 = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) ** 2 / n
    xx, yy = spread(first) ** 2, spread(second) ** 2
    xy = math.fsum((a - x) * (b - y) for a, b in zip(first, second, strict=True)) / (n - 1)
    a, b, c = y * y - t2 * yy, x * y - t2 * xy, x * x - t2 * xx
    if a <= 0:
        return Estimate(x / y)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Estimate(x / y, (b - root) / a, (b + root) / a)


def _mean(columns: Sequence[Sequence[float]]) -> Estimate:
    found = leading(columns[0])
    return Estimate(found.mean, found.low, found.high)


def _difference(columns: Sequence[Sequence[float]]) -> Estimate:
    return _mean([[a - b for a, b in zip(*columns, strict=True)]])


def _ratio(columns: Sequence[Sequence[float]]) -> Estimate:
    return fieller(*columns)


def _needs(claim: Claim, bounds: Bounds, columns: Sequence[Sequence[float]], estimate: Estimate) -> str:
    """How many replicates would tell the number, if it is as seen, from the bound that is nearest to it."""
    known = [bound for bound in limits(bounds) if math.isfinite(bound)]
    if estimate.value is None or len(columns[0]) < 2:
        return ""
    value = estimate.value
    nearest = min(known, key=lambda bound: abs(bound - value))
    beyond = [_beyond(claim, nearest, row) for row in zip(*columns, strict=True)]
    needed = advice(math.fsum(beyond) / len(beyond), spread(beyond), len(beyond))
    return f"To decide, if the number is as seen: {needed}"


def _beyond(claim: Claim, bound: float, row: Sequence[float]) -> float:
    """What a replicate has beyond a bound, in the metric's unit."""
    if claim.value:
        return row[0] - bound
    return row[0] - row[1] - bound if claim.difference else row[0] - bound * row[1]


ESTIMATES: Mapping[str, Callable[[Sequence[Sequence[float]]], Estimate]] = {
    "value": _mean,
    "difference": _difference,
    "ratio": _ratio,
}
