"""Claims against what was measured: reproduced, contradicted or undecided, and why."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from study.analysis.agreement import OrderChances, kendall, order_chances
from study.analysis.edge import Estimate
from study.analysis.edge_claims import judge_edges
from study.analysis.intervals import LEVEL, PairedTest, holm, spread
from study.analysis.number_claims import judge_number
from study.analysis.outcomes import Results, direction, replicates
from study.analysis.power import advice, fewest_for_sign_flips, replicates_needed
from study.analysis.ranking import compare, interval_json, ranking
from study.analysis.resampling import beside, sign_flips, wins
from study.analysis.selection import still_open, without_mean
from study.analysis.shares import judge_share
from study.analysis.trend_claims import judge_trend
from study.analysis.untuned import untuned, were_not_tuned
from study.analysis.wording import counted, listed
from study.claims import SHARE, STABLE_LR, Claim, Judgement
from study.errors import one_line
from study.spec import StudySpec

ALPHA = 1 - LEVEL


@dataclass(frozen=True)
class Link:
    """One step of a claimed order. The difference is above 0 where it is as claimed, whichever way
    the metric points. ``test`` is judged as the claim says, by t or sign flips. ``p_reversed`` is Holm's
    correction of ``test.p_below`` over the claim's links."""

    better: str
    worse: str
    test: PairedTest
    verdict: Judgement
    p_reversed: float | None = None

    def __str__(self) -> str:
        return one_line(f"{self.better} > {self.worse}")

    @property
    def beyond(self) -> float | None:
        """How far the mean difference lies beyond the margin on the side it leans to; below 0 inside it."""
        mean = self.test.interval.mean
        return None if mean is None else abs(mean) - self.test.margin

    @property
    def replicates_needed(self) -> int | None:
        """With how many replicates an open link would be decided (power 0.8), were the true difference the
        one that was seen; None where no number would do, or the link is decided."""
        if self.verdict != "undecided" or self.beyond is None or self.beyond <= 0 or self.test.interval.n < 2:
            return None
        needed = replicates_needed(self.beyond, spread(self.test.differences))
        return None if needed is None else max(needed, self.test.interval.n + 1)

    def to_json(self) -> dict[str, Any]:
        interval, differences = self.test.interval, self.test.differences
        return {
            "better": self.better,
            "worse": self.worse,
            "verdict": self.verdict,
            "difference": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "interval": interval.kind,
            "beside": interval_json(beside(differences)),
            "n": interval.n,
            "margin": self.test.margin,
            "p": self.test.p,
            "p_reversed": self.p_reversed,
            "p_better": asdict(wins(differences)),
            "replicates_needed": self.replicates_needed,
        }


@dataclass(frozen=True)
class ClaimVerdict:
    """What came of a claim. ``observed`` are the claimed arms that have a mean, best first; ``tau``
    is Kendall's between the two orders, ``tau_p`` its exact one-sided p (None where means tie), and
    ``chances`` how often seeds drawn anew stand in the claimed order. ``estimate`` is the number that a
    claim about a single number rests on. ``needs`` says what would decide an undecided one."""

    claim: Claim
    verdict: Judgement
    reason: str
    observed: tuple[str, ...] = ()
    tau: float | None = None
    tau_p: float | None = None
    links: tuple[Link, ...] = ()
    estimate: Estimate | None = None
    needs: str = ""
    chances: OrderChances | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "claim": str(self.claim),
            "kind": self.claim.kind,
            "source": self.claim.source,
            "text": self.claim.text,
            "metric": self.claim.metric,
            "margin": self.claim.margin,
            "test": self.claim.test,
            "verdict": self.verdict,
            "reason": self.reason,
            "needs": self.needs,
            "claimed": list(self.claim.ranking or ()),
            "observed": list(self.observed),
            "tau": self.tau,
            "tau_p": self.tau_p,
            "order": self.chances and self.chances.to_json(),
            "links": [link.to_json() for link in self.links],
            "estimate": asdict(self.estimate) if self.estimate else None,
        }


def judge_all(spec: StudySpec, results: Results) -> tuple[ClaimVerdict, ...]:
    """The verdicts on all of the study's claims, in their order. Their reasons say which of their arms were
    not tuned; but of claims about the tuning trials themselves, which rest on no arm's best."""
    reasons = untuned(spec, results) if spec.claims else {}
    every = tuple(arm.name for arm in spec.arms())
    found = []
    for each in (judge(claim, spec, results) for claim in spec.claims):
        of_trials = each.claim.metric in (STABLE_LR, SHARE)
        note = "" if of_trials else were_not_tuned(each.claim.arms or every, reasons)
        found.append(replace(each, reason=f"{each.reason}; {note}") if note else each)
    return tuple(found)


def judge(claim: Claim, spec: StudySpec, results: Results) -> ClaimVerdict:
    """The verdict on one claim, from the confirm phase alone; but on one about largest stable learning
    rates or shares of the trials from all trials (see study.analysis.edge_claims and shares, and
    number_claims and trend_claims for the other kinds).

    A ranking is judged by its links, the neighbours in the claimed order. A link is *reproduced*
    where the paired difference is above the claim's margin and *contradicted* where it is below minus
    the margin, two-sided at 5 %, by the claim's test: t, or sign flips. The whole is *reproduced* if every
    link is (an intersection-union test, which needs no correction), *contradicted* if any link is, after
    Holm's correction over the links, and else *undecided*. It is judged once, when every replicate
    of the claimed arms has ended: looking earlier and stopping at will would inflate the errors.
    """
    if claim.metric in (STABLE_LR, SHARE):
        judge_trials = judge_edges if claim.metric == STABLE_LR else judge_share
        verdict, reason, estimate = judge_trials(claim, spec, results)
        return ClaimVerdict(claim, verdict, reason, estimate=estimate)
    if claim.ranking is None:
        judge_mean = judge_trend if claim.trend else judge_number
        verdict, reason, estimate, needs = judge_mean(claim, spec, results)
        return ClaimVerdict(claim, verdict, reason, estimate=estimate, needs=needs)
    observed = ranking(spec, results, claim.metric)
    means = {each.arm: each.interval.mean for each in observed.arms if each.interval.mean is not None}
    ran = [arm for arm in claim.ranking if arm in means]
    tau, tau_p = kendall(ran, means, observed.direction)
    links = _links(ran, claim, spec, results)
    order = tuple(each.arm for each in observed.arms if each.arm in ran)
    verdict, reason = _whole(claim, ran, links, spec, results)
    finished = not still_open(spec, results, claim.arms)
    needs = _needs(claim, links) if verdict == "undecided" and finished else ""
    chances = order_chances(observed.scores, ran, observed.direction)
    return ClaimVerdict(claim, verdict, reason, order, tau, tau_p, links, needs=needs, chances=chances)


def _links(ran: Sequence[str], claim: Claim, spec: StudySpec, results: Results) -> tuple[Link, ...]:
    found = {arm: replicates(results, arm, claim.metric) for arm in ran}
    better = direction(spec, claim.metric)
    tests = [compare(found[a], found[b], better, claim.margin) for a, b in itertools.pairwise(ran)]
    if claim.test == "sign_flips":
        tests = [sign_flips(test) for test in tests]
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
    if waiting := still_open(spec, results, claim.arms):
        return "undecided", waiting
    turned = [str(link) for link in links if link.p_reversed is not None and link.p_reversed < ALPHA]
    if turned:
        return "contradicted", f"Reversed, after Holm's correction too: {listed(turned)}"
    if gap := without_mean(spec, claim.arms, ran, claim.metric):
        return "undecided", gap
    kept = [str(link) for link in links if link.verdict == "reproduced"]
    if len(kept) == len(links):
        return "reproduced", f"Links that hold: {len(kept)} of {len(links)}"
    unsure = [str(link) for link in links if link.verdict != "reproduced"]
    return "undecided", f"Links that hold: {len(kept)} of {len(links)}; open: {listed(unsure)}"


def _needs(claim: Claim, links: Sequence[Link]) -> str:
    """What would decide the open links, were the differences those that were seen."""
    told = []
    for link in links:
        if link.verdict != "undecided" or link.beyond is None or link.test.interval.n < 2:
            continue
        if link.beyond <= 0:
            told.append(f"{link} lies within the margin, which no number of replicates changes")
        else:
            told.append(f"{link} {advice(link.beyond, spread(link.test.differences), link.test.interval.n)}")
    least = fewest_for_sign_flips(len(links)) if claim.test == "sign_flips" else 0
    if any(link.test.interval.n < least for link in links):
        told.append(f"sign flips need at least {least} replicates for {counted(len(links), 'link')}")
    return f"To decide, if the differences are as seen: {'; '.join(told)}" if told else ""
