"""Claims against what was measured: reproduced, contradicted or undecided, and why."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from study.analysis.edge import Estimate
from study.analysis.edge_claims import judge_edges
from study.analysis.intervals import LEVEL, PairedTest, holm
from study.analysis.outcomes import Results, direction, ended, replicates
from study.analysis.ranking import Ranking, compare, ranking
from study.analysis.selection import replicates_expected
from study.analysis.shares import judge_share
from study.analysis.wording import counted, listed, metric_name
from study.claims import SHARE, STABLE_LR, Claim, Judgement
from study.errors import one_line
from study.spec import StudySpec

ALPHA = 1 - LEVEL


@dataclass(frozen=True)
class Link:
    """One step of a claimed order. The difference is above 0 where it is as claimed, whichever way
    the metric points. ``p_reversed`` is Holm's correction of ``test.p_below`` over the claim's links."""

    better: str
    worse: str
    test: PairedTest
    verdict: Judgement
    p_reversed: float | None = None

    def __str__(self) -> str:
        return one_line(f"{self.better} > {self.worse}")

    def to_json(self) -> dict[str, Any]:
        interval = self.test.interval
        return {
            "better": self.better,
            "worse": self.worse,
            "verdict": self.verdict,
            "difference": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "n": interval.n,
            "margin": self.test.margin,
            "p": self.test.p,
            "p_reversed": self.p_reversed,
        }


@dataclass(frozen=True)
class ClaimVerdict:
    """What came of a claim. ``observed`` are the claimed arms that have a mean, best first; ``tau``
    is Kendall's between the two orders, ``tau_p`` its exact one-sided p (None where means tie).
    ``estimate`` is the number that a claim about a single number rests on."""

    claim: Claim
    verdict: Judgement
    reason: str
    observed: tuple[str, ...] = ()
    tau: float | None = None
    tau_p: float | None = None
    links: tuple[Link, ...] = ()
    estimate: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "claim": str(self.claim),
            "kind": self.claim.kind,
            "source": self.claim.source,
            "text": self.claim.text,
            "metric": self.claim.metric,
            "margin": self.claim.margin,
            "verdict": self.verdict,
            "reason": self.reason,
            "claimed": list(self.claim.ranking or ()),
            "observed": list(self.observed),
            "tau": self.tau,
            "tau_p": self.tau_p,
            "links": [link.to_json() for link in self.links],
            "estimate": asdict(self.estimate) if self.estimate else None,
        }


def judge_all(spec: StudySpec, results: Results) -> tuple[ClaimVerdict, ...]:
    """The verdicts on all of the study's claims, in their order."""
    return tuple(judge(claim, spec, results) for claim in spec.claims)


def judge(claim: Claim, spec: StudySpec, results: Results) -> ClaimVerdict:
    """The verdict on one claim, from the confirm phase alone; but on one about largest stable learning
    rates or shares of the trials from all trials (see study.analysis.edge_claims and shares).

    A ranking is judged by its links, the neighbours in the claimed order. A link is *reproduced*
    where the paired difference is above the claim's margin (paired t, two-sided 5 %) and
    *contradicted* where it is below minus the margin. The whole is *reproduced* if every link is
    (an intersection-union test, which needs no correction), *contradicted* if any link is, after
    Holm's correction over the links, and else *undecided*. It is judged once, when every replicate
    of the claimed arms has ended: looking earlier and stopping at will would inflate the errors.
    """
    if claim.metric in (STABLE_LR, SHARE):
        judge_number = judge_edges if claim.metric == STABLE_LR else judge_share
        verdict, reason, estimate = judge_number(claim, spec, results)
        return ClaimVerdict(claim, verdict, reason, estimate=estimate)
    if claim.ranking is None:
        return ClaimVerdict(claim, "undecided", f"Claims of the kind {claim.kind} are not judged yet")
    observed = ranking(spec, results, claim.metric)
    means = {each.arm: each.interval.mean for each in observed.arms}
    ran = [arm for arm in claim.ranking if means.get(arm) is not None]
    tau, tau_p = kendall(ran, observed)
    links = _links(ran, claim, spec, results)
    order = tuple(each.arm for each in observed.arms if each.arm in ran)
    verdict, reason = _whole(claim, ran, links, spec, results)
    return ClaimVerdict(claim, verdict, reason, order, tau, tau_p, links)


def kendall(claimed: Sequence[str], observed: Ranking) -> tuple[float | None, float | None]:
    """Kendall's tau of a claimed order (best first) against the observed ranks, and its exact
    one-sided p. (None, None) for fewer than two arms; no p where observed means tie."""
    ranks = [observed[arm].rank or 0 for arm in claimed]
    if len(ranks) < 2:
        return None, None
    from scipy import stats

    untied = len(set(ranks)) == len(ranks)
    method: Literal["exact", "asymptotic"] = "exact" if untied else "asymptotic"
    found = stats.kendalltau(range(len(ranks)), ranks, method=method, alternative="greater")
    tau = float(found.statistic)
    if not math.isfinite(tau):
        return None, None  # every arm has the same mean: there is no observed order
    return tau, float(found.pvalue) if untied else None


def _links(ran: Sequence[str], claim: Claim, spec: StudySpec, results: Results) -> tuple[Link, ...]:
    found = {arm: replicates(results, arm, claim.metric) for arm in ran}
    better = direction(spec, claim.metric)
    tests = [compare(found[a], found[b], better, claim.margin) for a, b in itertools.pairwise(ran)]
    corrected = holm([test.p_below for test in tests])
    return tuple(
        Link(first, second, test, _of_link(test), p)
        for (first, second), test, p in zip(itertools.pairwise(ran), tests, corrected, strict=True)
    )


def _of_link(test: PairedTest) -> Judgement:
    if test.p_above is not None and test.p_above < ALPHA:
        return "reproduced"
    if test.p_below is not None and test.p_below < ALPHA:
        return "contradicted"
    return "undecided"


def _whole(
    claim: Claim, ran: Sequence[str], links: Sequence[Link], spec: StudySpec, results: Results
) -> tuple[Judgement, str]:
    inside = [arm for arm in claim.arms if arm in {each.name for each in spec.arms()}]
    asked = sum(replicates_expected(spec, results, arm) for arm in inside)
    done = sum(len(ended(results, arm, "confirm")) for arm in inside)
    if done < asked:
        return (
            "undecided",
            f"The study is unfinished: {done} of {counted(asked, 'replicate')} of these arms ended",
        )
    turned = [str(link) for link in links if link.p_reversed is not None and link.p_reversed < ALPHA]
    if turned:
        return "contradicted", f"Reversed, after Holm's correction too: {listed(turned)}"
    if len(ran) < len(claim.arms):
        return "undecided", _missing(claim, ran, inside)
    kept = [str(link) for link in links if link.verdict == "reproduced"]
    if len(kept) == len(links):
        return "reproduced", f"Links that hold: {len(kept)} of {len(links)}"
    unsure = [str(link) for link in links if link.verdict != "reproduced"]
    return "undecided", f"Links that hold: {len(kept)} of {len(links)}; open: {listed(unsure)}"


def _missing(claim: Claim, ran: Sequence[str], inside: Sequence[str]) -> str:
    outside = [arm for arm in claim.arms if arm not in inside]
    numberless = [arm for arm in inside if arm not in ran]
    gaps = []
    if outside:
        gaps.append(f"Not in this study: {listed(outside)}")
    if numberless:
        gaps.append(f"No mean {metric_name(claim.metric)} for {listed(numberless)}")
    return ". ".join(gaps)
