"""Claims about a trend: a metric, or the best value of a hyperparameter, along an axis of the study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from study.analysis.edge import Estimate
from study.analysis.intervals import LEVEL, Interval, PairedTest, paired_test, spread
from study.analysis.outcomes import Direction, Results, direction, replicates, values
from study.analysis.power import advice
from study.analysis.resampling import leading, sign_flips
from study.analysis.selection import still_open, without_mean
from study.analysis.wording import counted, decimals, metric_name, p_value, with_interval
from study.claims import Claim, Judgement, Trend
from study.errors import one_line
from study.space import Scalar
from study.spec import StudySpec

ALPHA = 1 - LEVEL
# Of each combination of the other compared hyperparameters, the arms by their place on the axis.
Strata = Sequence[Sequence[Sequence[str]]]


def judge_trend(
    claim: Claim, spec: StudySpec, results: Results
) -> tuple[Judgement, str, Estimate | None, str]:
    """The verdict, why, the estimated change from the axis' first value to its last, and what would decide.

    Each seed block gives one number: the change from the first to the last place that a straight line
    through the block's values shows, by least squares over the places in order (the linear contrast of a
    trend, Fisher 1935; Page 1963, JASA 58:216-230 orders blocks alike), averaged over whatever else the
    study compares. Places, not the axis' own numbers, so that no scale has to be chosen. A hyperparameter's
    best value is that of the arm with the block's best metric, in steps of its sorted values. The blocks
    are independent, as arms share seeds within them, and their numbers are tested against the margin by
    the claim's test. *Flat* is reproduced where the 95 % interval lies inside the margin.
    """
    trend = claim.trend
    assert trend is not None, "the study was checked"
    strata = _strata(trend, spec)
    if not strata:
        return "undecided", "No setting of the rest has an arm at every place on the axis", None, ""
    arms = [arm for stratum in strata for place in stratum for arm in place]
    found = {arm: replicates(results, arm, claim.metric) for arm in arms}
    ran = [arm for arm, mine in found.items() if mine and len(values(mine)) == len(mine)]
    gap = still_open(spec, results, arms) or without_mean(spec, arms, ran, claim.metric)
    if gap:
        return "undecided", gap, None, ""
    numbers = {arm: values(mine) for arm, mine in found.items()}
    better = direction(spec, claim.metric)
    changes = _changes(trend, strata, numbers, better)
    down = trend.direction == "decreasing"
    signed = {block: -change if down else change for block, change in changes.items()}
    test = paired_test(signed, dict.fromkeys(signed, 0.0), claim.margin)
    test = sign_flips(test) if claim.test == "sign_flips" else test
    verdict = _flat(test) if trend.direction == "flat" else _directed(test)
    interval = leading(tuple(changes.values()))
    estimate = Estimate(interval.mean, interval.low, interval.high)
    told = _told(trend, claim, spec, interval, test)
    return verdict, told, estimate, _needs(test) if verdict == "undecided" else ""


def linear_change(numbers: Sequence[float]) -> float:
    """The change from the first to the last place that the least-squares line through the numbers shows."""
    last = len(numbers) - 1
    centred = [place - last / 2 for place in range(len(numbers))]
    rise = math.fsum(c * y for c, y in zip(centred, numbers, strict=True))
    return last * rise / math.fsum(c * c for c in centred)


def _strata(trend: Trend, spec: StudySpec) -> Strata:
    """The arms by stratum and place on the axis; of a hyperparameter's trend, several arms at each place, in
    the order of its values. Incomplete strata are left out: an axis is compared like with like."""
    axis = sorted(spec.compared[trend.along], key=_as_number)
    own = trend.of if trend.of in spec.compared else None
    steps: list[Scalar | None] = [None]
    if own:
        steps = sorted(spec.compared[own], key=_as_number)
    rest: dict[tuple[Scalar, ...], dict[tuple[Scalar, Scalar | None], str]] = {}
    for arm in spec.arms():
        others = tuple(value for key, value in arm.values.items() if key not in (trend.along, own))
        place = (arm.values[trend.along], arm.values[own] if own else None)
        rest.setdefault(others, {})[place] = arm.name
    return [
        [[mine[at, step] for step in steps] for at in axis]
        for mine in rest.values()
        if len(mine) == len(axis) * len(steps)
    ]


def _changes(
    trend: Trend, strata: Strata, numbers: Mapping[str, Mapping[int, float]], better: Direction
) -> dict[int, float]:
    """Each complete seed block's change, the mean over the strata."""
    shared = set.intersection(*(set(each) for each in numbers.values())) if numbers else set()
    changes = {}
    for block in sorted(shared):
        each = [
            linear_change([_at([numbers[arm][block] for arm in place], better) for place in stratum])
            for stratum in strata
        ]
        changes[block] = math.fsum(each) / len(each)
    return changes


def _at(found: Sequence[float], better: Direction) -> float:
    """The number at one place: the metric itself or, of several arms, which of them is best (of equal ones
    the mean place)."""
    if len(found) == 1:
        return found[0]
    best = max(found) if better == "maximize" else min(found)
    places = [place for place, each in enumerate(found) if each == best]
    return sum(places) / len(places)


def _directed(test: PairedTest) -> Judgement:
    if test.p_above is not None and test.p_above < ALPHA:
        return "reproduced"
    return "contradicted" if test.p_below is not None and test.p_below < ALPHA else "undecided"


def _flat(test: PairedTest) -> Judgement:
    """Within the margin, beyond it, or across its edge: two one-sided tests (Schuirmann 1987)."""
    low, high = test.interval.low, test.interval.high
    if low is None or high is None or test.p is None:
        return "undecided"
    if -test.margin < low and high < test.margin:
        return "reproduced"
    return "contradicted" if test.p < ALPHA else "undecided"


def _told(trend: Trend, claim: Claim, spec: StudySpec, interval: Interval, test: PairedTest) -> str:
    axis = sorted(spec.compared[trend.along], key=_as_number)
    own = trend.of in spec.compared
    what = f"best {one_line(trend.of)} (in steps of its values)" if own else metric_name(claim.metric)
    change = with_interval(interval, decimals([interval]), signed=True)
    p = f", p {p_value(test.p)}" if test.p is not None else ""
    ends = f"{one_line(trend.along)} = {axis[0]} to {axis[-1]}"
    return f"Change of the {what} from {ends}: {change} ({counted(interval.n, 'replicate')}{p})"


def _needs(test: PairedTest) -> str:
    if test.interval.mean is None or test.interval.n < 2:
        return ""
    beyond = abs(abs(test.interval.mean) - test.margin)
    return f"To decide, if the change is as seen: {advice(beyond, spread(test.differences), test.interval.n)}"


def _as_number(value: Scalar | None) -> float:
    assert isinstance(value, int | float), "the study was checked"
    return float(value)
