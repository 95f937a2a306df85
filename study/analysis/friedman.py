"""Mean ranks over the replicates: Friedman's test, Nemenyi's critical difference, who it joins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.analysis.intervals import LEVEL
from study.analysis.outcomes import Direction

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 1 - LEVEL


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks of arms over ``n`` complete seed blocks, best first; equal scores share their ranks' mean.

    ``chi2`` is Friedman's statistic with its p, ``f`` Iman and Davenport's sharper one; None where every
    block has only ties, ``f`` also where all blocks agree (it would be infinite; its p is 0). Two arms
    whose mean ranks lie less than ``critical_difference`` apart are not told apart at 5 % (Nemenyi).
    """

    n: int
    ranks: Mapping[str, float]
    chi2: float | None
    p: float | None
    f: float | None
    f_p: float | None
    critical_difference: float

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The largest runs of arms, best first, that the critical difference joins."""
        names, places = list(self.ranks), list(self.ranks.values())
        ends = [
            max(at for at, place in enumerate(places) if place - start < self.critical_difference)
            for start in places
        ]
        runs = [(start, end) for start, end in enumerate(ends) if end > start and end not in ends[:start]]
        return tuple(tuple(names[start : end + 1]) for start, end in runs)

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "mean_ranks": dict(self.ranks),
            "friedman_chi2": self.chi2,
            "friedman_p": self.p,
            "iman_davenport_f": self.f,
            "iman_davenport_p": self.f_p,
            "critical_difference": self.critical_difference,
            "joined": [list(group) for group in self.groups],
        }


def mean_ranks(scores: pd.DataFrame, better: Direction) -> MeanRanks | None:
    """Rank the columns of ``scores`` (one row a seed block) within each complete row.

    Friedman's test (1937, JASA 32:675-701, corrected for ties) and Iman and Davenport's F (1980, Commun.
    Stat. A9:571-595), as Demsar (2006, JMLR 7:1-30) recommends them. Seeds are not data sets: what they
    tell holds for this data and recipe. None for fewer than three arms or two complete blocks.
    """
    complete = scores.dropna()
    n, k = complete.shape
    if n < 2 or k < 3:
        return None
    from scipy import stats

    ranks = complete.rank(axis="columns", ascending=better == "minimize").mean().sort_values(kind="stable")
    chi2 = p = f = f_p = None
    if (complete.nunique(axis="columns") > 1).any():
        found = stats.friedmanchisquare(*(complete[arm] for arm in complete.columns))
        chi2, p = float(found.statistic), float(found.pvalue)
        f, f_p = _iman_davenport(chi2, n, k)
    by_arm = {str(arm): float(rank) for arm, rank in ranks.items()}
    return MeanRanks(n, by_arm, chi2, p, f, f_p, critical_difference(k, n))


def critical_difference(k: int, n: int) -> float:
    """By how much the mean ranks of two of ``k`` arms over ``n`` blocks must differ at 5 % (Nemenyi 1963):
    q sqrt(k (k + 1) / (6 n)), q the studentized range's over the square root of 2."""
    from scipy import stats

    q = float(stats.studentized_range.ppf(LEVEL, k, math.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def nemenyi(scores: pd.DataFrame) -> pd.DataFrame:
    """The p of each two arms by Nemenyi's test, over the complete blocks: a square table."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    complete = scores.dropna()
    found: pd.DataFrame = posthoc_nemenyi_friedman(complete.reset_index(drop=True))
    return found


def _iman_davenport(chi2: float, n: int, k: int) -> tuple[float | None, float]:
    from scipy import stats

    left = n * (k - 1) - chi2
    if left <= 1e-9 * n * (k - 1):
        return None, 0.0
    f = (n - 1) * chi2 / left
    return f, float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
