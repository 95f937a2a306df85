"""Claims about largest stable learning rates: of one arm, or the ratio or difference of two arms'."""

from __future__ import annotations

import math

from study.analysis.edge import ArmEdge, Estimate, edges, interval_text
from study.analysis.outcomes import Results, ended
from study.analysis.wording import counted, listed
from study.claims import Bounds, Claim, Judgement
from study.spec import StudySpec

SIGNS = {"value": "", "ratio": " / ", "difference": " \N{MINUS SIGN} "}


def judge_edges(claim: Claim, spec: StudySpec, results: Results) -> tuple[Judgement, str, Estimate | None]:
    """The verdict on a claim about lr50, why, and the estimate it rests on.

    *Reproduced* where the 95 % interval lies within the claimed bounds, *contradicted* where it lies
    outside, and else *undecided*. Judged once, when every probe of its arms has ended.
    """
    outside = [arm for arm in claim.arms if arm not in {each.name for each in spec.arms()}]
    if outside:
        return "undecided", f"Not in this study: {listed(outside)}", None
    done = sum(len(ended(results, arm, "tune")) for arm in claim.arms)
    asked = spec.search.trials_per_arm * len(claim.arms)
    if done < asked:
        progress = f"{done} of {counted(asked, 'probe')} of its arms ended"
        return "undecided", f"The study is unfinished: {progress}", None
    found = [each for arm in claim.arms for each in edges(spec, results) if each.arm == arm]
    if any(each.fit is None for each in found):
        return "undecided", "No probe of one of its arms has a verdict", None
    bounds = claim.value or claim.ratio or claim.difference
    assert bounds is not None, "the study was checked"
    estimate = found[0].lr50 if claim.value else compared(found[0], found[1], claim.kind)
    words = SIGNS[claim.kind].join(f"lr50 of {each.arm}" for each in found)
    notes = [f"{each.arm}: {each.text}" for each in found if not each.found]
    return within(estimate, bounds), ". ".join([f"{words} = {interval_text(estimate)}", *notes]), estimate


def compared(first: ArmEdge, second: ArmEdge, kind: str) -> Estimate:
    """The ratio (or the difference) of two arms' lr50 with its 95 % interval, by profile likelihood: it
    spans what those pairs of places have whose joint likelihood is near enough to the highest one.

    The arms' trials share seeds, which this does not use, so the interval is rather too wide. Without
    an edge in one of the arms there is no value, and the interval is open where that edge may be.
    """
    import numpy as np

    assert first.fit is not None
    assert second.fit is not None
    drop = max(first.fit.drop, second.fit.drop)
    inside = first.fit.loss[:, None] + second.fit.loss >= -drop
    a, b = first.fit.places[:, None], second.fit.places
    values = (10 ** (a - b) if kind == "ratio" else 10**a - 10**b)[inside]
    above = bool(inside[-1].any() or (kind == "ratio" and inside[:, 0].any()))
    below = bool(inside[:, -1].any() or (kind == "ratio" and inside[0].any()))
    best = None
    if first.lr50.value is not None and second.lr50.value is not None:
        x, y = first.lr50.value, second.lr50.value
        best = x / y if kind == "ratio" else x - y
    return Estimate(best, None if below else float(np.min(values)), None if above else float(np.max(values)))


def within(estimate: Estimate, bounds: Bounds) -> Judgement:
    """Where the estimate's interval lies: inside the bounds, outside them, or across one of them."""
    lowest, highest = limits(bounds)
    low = -math.inf if estimate.low is None else estimate.low
    high = math.inf if estimate.high is None else estimate.high
    if lowest <= low and high <= highest:
        return "reproduced"
    return "contradicted" if high < lowest or highest < low else "undecided"


def limits(bounds: Bounds) -> tuple[float, float]:
    """The bounds as an interval."""
    lowest = -math.inf if bounds.at_least is None else bounds.at_least
    highest = math.inf if bounds.at_most is None else bounds.at_most
    if bounds.equals is not None and bounds.within is not None:
        lowest = max(lowest, bounds.equals - bounds.within)
        highest = min(highest, bounds.equals + bounds.within)
    return lowest, highest
