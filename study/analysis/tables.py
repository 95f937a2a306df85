"""The ranking as rows for people, the same in the terminal and on the page; and as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from study.analysis.causes import Cause
from study.analysis.findings import Criterion, Findings
from study.analysis.intervals import LEVEL
from study.analysis.ranking import Lead, RankedArm, Ranking
from study.analysis.untuned import were_not_tuned
from study.analysis.verdicts import ClaimVerdict, Link
from study.analysis.wording import (
    counted,
    decimals,
    metric_name,
    number,
    p_value,
    settings,
    with_interval,
)
from study.claims import Test
from study.errors import one_line

TEST_NAMES: Mapping[Test, str] = {"t": "the paired t test", "sign_flips": "sign flips"}
# A spreadsheet would run a cell that begins with one of these as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class RankingRow:
    """One arm's line in words. ``notes`` are the numbers of its flags in the list of footnotes."""

    rank: str
    arm: str
    mean: str
    finished: str
    n: str
    lead: str
    lead_p: str
    diverged: str
    lost_interval: str
    best: tuple[str, ...]
    notes: tuple[int, ...]


@dataclass(frozen=True)
class RankingTable:
    """``footnotes`` hold each flag's text once, though several arms may have it; ``shared`` says whether
    any arms share a rank."""

    rows: tuple[RankingRow, ...]
    footnotes: tuple[str, ...]
    shared: bool


def ranking_table(found: Ranking) -> RankingTable:
    """Means and leads have as many digits as their intervals deserve."""
    digits = decimals(arm.interval for arm in found.arms)
    lead_digits = decimals(arm.lead.test.interval for arm in found.arms if arm.lead)
    footnotes = tuple(dict.fromkeys(flag.text for arm in found.arms for flag in arm.flags))
    rows = tuple(_row(arm, digits, lead_digits, footnotes) for arm in found.arms)
    ranks = [arm.rank for arm in found.arms if arm.rank is not None]
    return RankingTable(rows, footnotes, len(set(ranks)) < len(ranks))


def answer(found: Ranking) -> str:
    """The ranking's first place in a sentence, and which arms were not tuned: a lead over them says little.
    Empty where there is no first place."""
    ranked = [arm for arm in found.arms if arm.rank is not None]
    if not ranked:
        return ""
    first, digits = ranked[0], decimals(arm.interval for arm in ranked)
    score = f"{metric_name(found.metric)} {with_interval(first.interval, digits)} (n = {first.n})"
    if first.lead is None:
        return f"Only {first.arm} has a mean: {score}."
    reasons = {arm.arm: arm.untuned for arm in ranked if arm.untuned}
    others = were_not_tuned((arm.arm for arm in ranked if arm.arm != first.lead.over), reasons)
    return f"First is {first.arm}, {score}, {_against(first.lead, reasons)}{others and f'; {others}'}."


def link_cells(link: Link, digits: int) -> tuple[str, ...]:
    """A claim's link in words: which, difference, pairs, p, verdict."""
    interval = link.test.interval
    return (
        str(link),
        with_interval(interval, digits, signed=True),
        str(interval.n),
        p_value(link.test.p),
        link.verdict,
    )


def link_digits(claim: ClaimVerdict) -> int:
    return decimals(link.test.interval for link in claim.links)


def tau_text(claim: ClaimVerdict) -> str:
    """Kendall's tau with how many arms it compares and its exact one-sided p; empty where there is none."""
    if claim.tau is None:
        return ""
    arms = counted(len(claim.observed), "arm")
    p = f", exact one-sided p {equals(claim.tau_p)}" if claim.tau_p is not None else ""
    return f"Kendall's \N{GREEK SMALL LETTER TAU} = {number(claim.tau, 2)} over {arms}{p}"


def cause_rows(findings: Findings) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Trials by arm and cause: each arm's counts, in the order of ``findings.causes()``."""
    found = findings.causes()
    arms = [arm.arm for arm in findings.ranking.arms]
    return tuple((arm, tuple(cause.arms.get(arm, 0) for cause in found)) for arm in arms)


def cause_cells(cause: Cause, alone: bool) -> tuple[str, ...]:
    """A cause in words: what, how many, in which arms (unless the study has one ``alone``), an example."""
    arms = ", ".join(f"{one_line(arm)} {count}" for arm, count in cause.arms.items())
    return str(cause), str(cause.trials), "" if alone else arms, cause.example


def order_text(claim: ClaimVerdict) -> str:
    """How often seeds drawn anew stand in the claimed order, and which of its pairs they most doubt."""
    if claim.chances is None:
        return ""
    n = counted(claim.chances.n, "replicate")
    better, worse, least = min(claim.chances.pairs, key=lambda pair: pair[2])
    return one_line(
        f"Drawing the {n} anew, {percent(claim.chances.whole)} of draws show the claimed order; least sure "
        f"is {better} > {worse}, in {percent(least)}."
    )


def percent(share: float) -> str:
    """``83 %``; what is not quite none or all does not round to it."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 < share < 1 else f"{share:.0%}".replace("%", " %")


def criterion_text(found: Criterion, date: Callable[[float | None], str]) -> str:
    """Since when the claims stand as they do; empty where the journal does not say."""
    if found.stored is None:
        return ""
    when = ", before the first trial" if found.before_the_first_trial else ", after the first trial"
    return f"Claims, margins and tests as stored on {date(found.stored)}{when}: SHA-256 {found.sha256[:16]}."


def ranking_csv(found: Ranking) -> str:
    """The ranking with all digits, one line an arm. Text that a spreadsheet would take for a formula
    is quoted with an apostrophe; numbers stay numbers."""
    keys = list(dict.fromkeys(key for arm in found.arms for key in arm.best or {}))
    header = [
        *("rank", "arm", "metric", "n", "mean", "low", "high", "finished_mean", "diverged", "stalled"),
        *("next", "lead", "lead_low", "lead_high", "lead_n", "lead_p"),
        *(f"best {key}" for key in keys),
        "flags",
    ]
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([csv_cell(title) for title in header])
    for arm in found.arms:
        lead = arm.lead.to_json() if arm.lead else {}
        cells = [
            *(arm.rank, arm.arm, found.metric, arm.n),
            *(arm.interval.mean, arm.interval.low, arm.interval.high, arm.finished_mean),
            *(arm.diverged, arm.stalled),
            *(lead.get(key) for key in ("over", "difference", "low", "high", "n", "p")),
            *((arm.best or {}).get(key) for key in keys),
            "; ".join(flag.text for flag in arm.flags),
        ]
        writer.writerow([csv_cell(cell) for cell in cells])
    return lines.getvalue()


def claims_csv(claims: Sequence[ClaimVerdict]) -> str:
    """What came of each claim, one line each; ``estimate`` with its 95 % interval where a claim rests on a
    single number."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("verdict", "source", "claim", "reason", "needs", "estimate", "low", "high"))
    for each in claims:
        told = each.to_json()
        number = told["estimate"] or {}
        cells = [told[key] for key in ("verdict", "source", "claim", "reason", "needs")]
        cells += [number.get(key) for key in ("value", "low", "high")]
        writer.writerow([csv_cell(cell) for cell in cells])
    return lines.getvalue()


def _row(arm: RankedArm, digits: int, lead_digits: int, footnotes: Sequence[str]) -> RankingRow:
    penalised = any(each.penalised for each in arm.replicates)
    low, high = arm.lost.low, arm.lost.high
    return RankingRow(
        rank="" if arm.rank is None else f"{arm.rank}",
        arm=arm.arm,
        mean=with_interval(arm.interval, digits),
        finished=number(arm.finished_mean, digits) if penalised else "",
        n=str(arm.n),
        lead=with_interval(arm.lead.test.interval, lead_digits) if arm.lead else "",
        lead_p=_pairs(arm.lead) if arm.lead else "",
        diverged=_at_chance(arm),
        lost_interval=f"{number(low, 2)} to {number(high, 2)}" if arm.diverged + arm.stalled else "",
        best=settings(arm.best),
        notes=tuple(sorted(footnotes.index(flag.text) + 1 for flag in arm.flags)),
    )


def _at_chance(arm: RankedArm) -> str:
    """How many replicates diverged; those that stalled stand apart, and count as chance like them."""
    if not arm.n:
        return number(None)
    stalled = f", {arm.stalled} stalled" if arm.stalled else ""
    return f"{arm.diverged} of {arm.n}{stalled}"


def _pairs(lead: Lead) -> str:
    n = counted(lead.test.interval.n, "pair")
    return f"{n}, p {equals(lead.test.p)}" if lead.test.p is not None else n


def equals(p: float | None) -> str:
    """``= 0.012`` or ``< 0.001``."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _against(lead: Lead, reasons: Mapping[str, str]) -> str:
    interval = lead.test.interval
    over = f"{lead.over}, which was not tuned," if lead.over in reasons else lead.over
    if interval.mean is None:
        return f"which has no replicate in common with {over.rstrip(',')}, the next"
    gap = with_interval(interval, decimals([interval]))
    if lead.test.p_above is not None and lead.p_holm is not None and lead.p_holm < 1 - LEVEL:
        return f"ahead of {over} by {gap} ({_pairs(lead)})"
    return f"which cannot be told apart from {over} at 5 %: {gap} ({_pairs(lead)})"


def csv_cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
