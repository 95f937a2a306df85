"""What stands behind a ranking as rows and sentences for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from study.analysis.details import Details
from study.analysis.friedman import MeanRanks
from study.analysis.intervals import Interval
from study.analysis.resampling import Chance
from study.analysis.sensitivity import BINS, FANOVA_TRIALS, Importance
from study.analysis.tables import equals, percent
from study.analysis.wording import counted, decimals, number, p_value, with_interval
from study.errors import one_line


@dataclass(frozen=True)
class PairRow:
    """Two arms, the better one first, in words."""

    pair: str
    n: str
    difference: str
    second_interval: str
    p: str
    p_holm: str
    p_bh: str
    p_sign_flips: str
    wins: str
    beliefs: str


def pair_rows(found: Details) -> tuple[PairRow, ...]:
    """Every pair of arms, as the ranking orders them: the leading interval, the other one beside it."""
    rows = found.to_json()["pairs"]
    intervals = [Interval(row["n"], row["difference"], row["low"], row["high"]) for row in rows]
    digits = decimals(intervals)
    return tuple(_pair_row(row, interval, digits) for row, interval in zip(rows, intervals, strict=True))


def tuning_rows(found: Details) -> tuple[tuple[str, ...], ...]:
    """One row an arm: trials, shortfall and width over the learning rate, importances by either evaluator."""
    sensitive = {each.arm: each for each in found.sensitivities}
    rows = []
    for each in found.importances:
        mine = sensitive.get(each.arm)
        shortfall = number(mine.shortfall, 4) if mine else number(None)
        decades = f"{mine.good_decades:g} of {mine.bins / BINS:g}" if mine else number(None)
        by = (importance_text(each, "fanova"), importance_text(each, "ped_anova"))
        rows.append((each.arm, str(each.n), shortfall, decades, *by))
    return tuple(rows)


def importance_note(found: Details) -> str:
    """What was left out of the importances; empty where nothing was."""
    if all(each.n <= FANOVA_TRIALS for each in found.importances):
        return ""
    return f"; fANOVA is given {FANOVA_TRIALS} of an arm's trials, drawn at random"


def importance_text(found: Importance, evaluator: str) -> str:
    """``lr 62 %, weight_decay 38 %``, the largest first; the reason where there is none."""
    shares = found.shares.get(evaluator)
    if not shares:
        return found.why or number(None)
    ranked = sorted(shares.items(), key=lambda each: -each[1])
    return ", ".join(f"{one_line(key.rpartition('.')[2])} {percent(share)}" for key, share in ranked)


def chance_text(found: Chance) -> str:
    """``0.75 [0.41, 0.93]``."""
    if found.share is None:
        return number(None)
    return f"{number(found.share, 2)} [{number(found.low, 2)}, {number(found.high, 2)}]"


def mean_ranks_text(found: MeanRanks | None) -> str:
    """Friedman's test in a sentence; empty where there is none."""
    if found is None or found.p is None:
        return ""
    f = f", Iman and Davenport's p {equals(found.f_p)}" if found.f_p is not None else ""
    return (
        f"Over {counted(found.n, 'replicate')} that every arm has, Friedman's test of equal mean ranks has "
        f"p {equals(found.p)}{f}. The critical difference of mean ranks is "
        f"{number(found.critical_difference, 2)} (Nemenyi, 5 %)."
    )


def overtaking_text(first: str, second: str, start: int, end: int) -> str:
    """When an arm's tuning is ahead of another's for sure."""
    budget = f"{start} to {counted(end, 'trial')}" if end > start else counted(start, "trial")
    return one_line(f"{first} is ahead of {second} on a budget of {budget}")


def _pair_row(row: dict[str, Any], interval: Interval, digits: int) -> PairRow:
    other = f"[{number(row['other_low'], digits)}, {number(row['other_high'], digits)}]"
    wins = Chance(row["n"], row["p_first"], row["p_first_low"], row["p_first_high"])
    beliefs = [row["bayes_first"], row["bayes_equal"], row["bayes_second"]]
    known = [number(each, 2) for each in beliefs if each is not None]
    return PairRow(
        pair=one_line(f"{row['first']} \N{MINUS SIGN} {row['second']}"),
        n=str(row["n"]),
        difference=with_interval(interval, digits, signed=True),
        second_interval=other if row["other_low"] is not None else number(None),
        p=p_value(row["p"]),
        p_holm=p_value(row["p_holm"]),
        p_bh=p_value(row["p_bh"]),
        p_sign_flips=p_value(row["p_sign_flips"]),
        wins=chance_text(wins),
        beliefs=" / ".join(known) or number(None),
    )
