"""Claims about what share of the trials something happens in."""

from __future__ import annotations

from study.analysis.edge import Estimate, interval_text
from study.analysis.edge_claims import within
from study.analysis.intervals import wilson
from study.analysis.outcomes import Results
from study.analysis.selection import still_open
from study.analysis.wording import counted, listed
from study.claims import Claim, Judgement
from study.spec import StudySpec
from study.trial import TrialResult


def judge_share(claim: Claim, spec: StudySpec, results: Results) -> tuple[Judgement, str, Estimate | None]:
    """The verdict on a claim about a share of the trials, why, and the estimate it rests on.

    Counted are the trials of the claimed arms (all, where it names none) in both phases, those that failed
    left out, and with ``among`` those alone in which that happened; the interval is Wilson's, at 95 %.
    *Reproduced* where it lies within the claimed bounds, *contradicted* where it lies outside, and else
    *undecided*. Judged once, when all of them have ended.
    """
    assert claim.proportion is not None
    running = [arm.name for arm in spec.arms()]
    arms = claim.proportion.arms or running
    outside = [arm for arm in arms if arm not in running]
    if outside:
        return "undecided", f"Not in this study: {listed(outside)}", None
    mine = [each for each in results.values() if each.config.arm in arms]
    tuned = sum(each.config.phase == "tune" for each in mine)
    asked = spec.search.trials_per_arm * len(arms)
    if tuned < asked:
        return (
            "undecided",
            f"The study is unfinished: {tuned} of {counted(asked, 'tuning trial')} ended",
            None,
        )
    if gap := still_open(spec, results, arms):
        return "undecided", gap, None
    among = claim.proportion.among
    counting = [each for each in mine if each.verdict.status != "failed"]
    if not counting:
        return "undecided", "No trial has a verdict", None
    counting = [each for each in counting if among is None or happened(among, each)]
    if not counting:
        return "undecided", f"Nothing to count: {among} in none of {counted(len(mine), 'trial')}", None
    count = sum(happened(claim.proportion.of, each) for each in counting)
    estimate = Estimate(count / len(counting), *wilson(count, len(counting)))
    noun = "trial" if among is None else f"{among} trial"
    what = f"{claim.proportion.of} in {count} of {counted(len(counting), noun)}: {interval_text(estimate)}"
    return within(estimate, claim.proportion), what, estimate


def happened(what: str, trial: TrialResult) -> bool:
    """Whether a trial ended so (by its verdict's status or kind), broke there first, or had such an event
    on its way."""
    return what in (trial.verdict.status, trial.verdict.kind, origin(trial)) or trial.count(what) > 0


def origin(trial: TrialResult) -> str | None:
    """Where the first number that was not finite came up, in the loss or in a layer; None where none did,
    or the autopsy could not tell."""
    broken = [first for first in (trial.autopsy or {}).get("firsts", ()) if first["stage"] != "grown"]
    if not broken:
        return None
    return "broke_in_loss" if broken[0]["layer"] == "loss" else "broke_in_layers"
