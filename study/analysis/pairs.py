"""Every arm against every other, paired by replicate: who can be told apart, and ranks that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from study.analysis.equivalence import signed_rank
from study.analysis.intervals import LEVEL, false_discovery, holm, paired_test, rounding
from study.analysis.outcomes import Direction, Replicate, values
from study.analysis.resampling import beside, leading, sign_flips, wins

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

ALPHA = 1 - LEVEL


def scores(found: Mapping[str, Sequence[Replicate]]) -> pd.DataFrame:
    """Replicates as a table: one row a seed block, one column an arm; a diverged one counts as chance, and
    what has no number is NaN."""
    import pandas as pd

    columns = {arm: pd.Series(values(tuple(mine)), dtype=float) for arm, mine in found.items()}
    return pd.DataFrame(columns, columns=list(found)).sort_index()


def pair_tests(table: pd.DataFrame, better: Direction) -> pd.DataFrame:
    """The paired t test of each two columns of ``scores``: ``first``, ``second``, ``n`` pairs,
    ``difference`` (above 0 where the first is better, whichever way the metric points), ``p`` (two-sided)
    with ``p_holm`` and ``p_bh``, corrected over all of them (intervals.holm, intervals.false_discovery).
    Every number is that of intervals.paired_test, for all pairs at once: a thousand arms have half a million.
    NaN where there are fewer than two pairs.
    """
    import numpy as np
    import pandas as pd

    sign = 1.0 if better == "maximize" else -1.0
    numbers = sign * table.to_numpy(dtype=float)
    names = [str(arm) for arm in table.columns]
    parts = [
        _against(numbers[:, at], numbers[:, at + 1 :]) for at in range(len(names)) if at + 1 < len(names)
    ]
    firsts, seconds = np.triu_indices(len(names), 1)
    n, difference, p = (
        np.concatenate([part[column] for part in parts]) if parts else np.array([]) for column in range(3)
    )
    known = [None if np.isnan(each) else float(each) for each in p]
    return pd.DataFrame(
        {
            "first": [names[at] for at in firsts],
            "second": [names[at] for at in seconds],
            "n": n.astype(int),
            "difference": difference,
            "p": p,
            "p_holm": np.array(holm(known), dtype=float),
            "p_bh": np.array(false_discovery(known), dtype=float),
        }
    )


def _against(mine: Numbers, others: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """n, mean difference and two-sided p of one column against each of the others."""
    import numpy as np
    from scipy import stats

    differences = mine[:, None] - others
    known = ~np.isnan(differences)
    n = known.sum(axis=0)
    enough = n > 1
    total = np.where(known, differences, 0.0).sum(axis=0)
    mean = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    squares = np.where(known, (differences - mean) ** 2, 0.0).sum(axis=0)
    error = np.sqrt(np.divide(squares, (n - 1) * n, out=np.zeros(len(n)), where=enough))
    spread = np.where(known, differences, -np.inf).max(axis=0, initial=-np.inf) - np.where(
        known, differences, np.inf
    ).min(axis=0, initial=np.inf)
    noise = rounding(float(np.nanmax(np.abs(np.column_stack([mine, others])), initial=0.0)))
    same = spread <= noise
    t = np.divide(mean, error, out=np.zeros(len(n)), where=enough & ~same)
    p = 2 * stats.t.sf(np.abs(t), np.maximum(n - 1, 1))
    # As in intervals.paired_test: equal differences are judged by the exact sign test.
    p = np.where(same, np.where(np.abs(mean) > noise, 2.0 ** (1 - n), 1.0), p)
    return n.astype(float), mean, np.where(enough, p, np.nan)


def joined_ranks(order: Sequence[str], tests: pd.DataFrame) -> dict[str, int]:
    """Ranks of arms in ``order``, best mean first, that are equal where arms cannot be told apart.

    Going down the order, an arm opens a new group where it is worse than the first arm of the group above
    it, by the paired t test at 5 % after Holm's correction over all pairs; else it joins that group. A
    group's rank is the place of its first arm: 1, 1, 3. To be told apart is not transitive: neighbours on
    either side of a group's edge may well be alike (``pair_tests`` has each pair).
    """
    apart = tests[tests["p_holm"] < ALPHA]
    told = set(zip(apart["first"], apart["second"], strict=True))
    ranks: dict[str, int] = {}
    leader, place = "", 0
    for at, arm in enumerate(order, start=1):
        if not leader or (leader, arm) in told or (arm, leader) in told:
            leader, place = arm, at
        ranks[arm] = place
    return ranks


def pair_table(
    found: Mapping[str, Sequence[Replicate]], better: Direction, rope: float | None
) -> pd.DataFrame:
    """All that is known of each pair of arms, a row each: ``pair_tests`` and the two intervals of the
    difference (``low``/``high``, which lead, of ``interval`` t or bca; ``other_low``/``other_high``), the
    spread of the differences, P(first > second) with its Wilson interval (``p_first`` and ``p_first_low``,
    ``p_first_high``), ``p_sign_flips``, and the Bayesian signed-rank probabilities that the first is better
    by more than ``rope``, the two equal, the second better (``bayes_first``, ``bayes_equal``,
    ``bayes_second``; NaN without a rope).
    """
    import pandas as pd

    tests = pair_tests(scores(found), better)
    details = [
        _details(found[first], found[second], better, rope)
        for first, second in zip(tests["first"], tests["second"], strict=True)
    ]
    return pd.concat([tests, pd.DataFrame(details, columns=list(DETAILS))], axis="columns")


def _details(
    first: Sequence[Replicate], second: Sequence[Replicate], better: Direction, rope: float | None
) -> tuple[object, ...]:
    ahead, behind = (first, second) if better == "maximize" else (second, first)
    test = paired_test(values(tuple(ahead)), values(tuple(behind)))
    lead, other, ahead_in = leading(test.differences), beside(test.differences), wins(test.differences)
    bayes = signed_rank(test.differences, rope) if rope is not None else None
    return (
        *(lead.kind, lead.low, lead.high, other.low, other.high),
        *(ahead_in.share, ahead_in.low, ahead_in.high),
        sign_flips(test).p,
        *((bayes.better, bayes.equal, bayes.worse) if bayes else (None, None, None)),
    )


DETAILS = (
    *("interval", "low", "high", "other_low", "other_high"),
    *("p_first", "p_first_low", "p_first_high"),
    "p_sign_flips",
    *("bayes_first", "bayes_equal", "bayes_second"),
)
