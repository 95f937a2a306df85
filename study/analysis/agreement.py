"""A claimed order against the one that was observed: Kendall's tau, and how often seeds would agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from study.analysis.outcomes import Direction
from study.seeding import derive_seed

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 4_000


@dataclass(frozen=True)
class OrderChances:
    """Of DRAWS draws of the ``n`` seed blocks with replacement, in what share the means stand in the claimed
    order (``whole``), and for each two arms, the claimed better one first, in what share they do."""

    n: int
    whole: float
    pairs: tuple[tuple[str, str, float], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "whole": self.whole,
            "pairs": [{"better": a, "worse": b, "probability": p} for a, b, p in self.pairs],
        }


def kendall(
    claimed: Sequence[str], means: dict[str, float], better: Direction
) -> tuple[float | None, float | None]:
    """Kendall's tau of a claimed order (best first) against the order of ``means``, and its exact
    one-sided p (Kendall 1938, Biometrika 30:81-93). (None, None) for fewer than two arms; no p where means
    tie. Of five arms, one accidental swap still has p = 0.042: tau sums up, the links decide."""
    sign = -1 if better == "maximize" else 1
    observed = [sign * means[arm] for arm in claimed]
    if len(observed) < 2:
        return None, None
    from scipy import stats

    untied = len(set(observed)) == len(observed)
    method: Literal["exact", "asymptotic"] = "exact" if untied else "asymptotic"
    found = stats.kendalltau(range(len(observed)), observed, method=method, alternative="greater")
    tau = float(found.statistic)
    if not math.isfinite(tau):
        return None, None  # every arm has the same mean: there is no observed order
    return tau, float(found.pvalue) if untied else None


def order_chances(scores: pd.DataFrame, claimed: Sequence[str], better: Direction) -> OrderChances | None:
    """How sure the seeds are of the claimed order (Efron 1979, Ann. Stat. 7:1-26: the bootstrap over blocks,
    which keeps pairs together). None for fewer than two arms or complete blocks."""
    import numpy as np

    complete = scores[list(claimed)].dropna()
    n, k = complete.shape
    if n < 2 or k < 2:
        return None
    sign = 1.0 if better == "maximize" else -1.0
    generator = np.random.default_rng(derive_seed("order", n, k))
    # How often each block is drawn: the same as drawing blocks, without copying them.
    counts = generator.multinomial(n, np.full(n, 1 / n), size=DRAWS)
    means = sign * counts @ complete.to_numpy(dtype=float) / n
    ahead = [(means[:, [at]] > means[:, at + 1 :]).mean(axis=0) for at in range(k - 1)]
    pairs = tuple(
        (claimed[at], claimed[at + 1 + after], float(share))
        for at, shares in enumerate(ahead)
        for after, share in enumerate(shares)
    )
    whole = float((np.diff(means, axis=1) < 0).all(axis=1).mean())
    return OrderChances(n, whole, pairs)
