"""What so many replicates can tell, and how many it takes: the paired t test's power."""

from __future__ import annotations

import math
from dataclasses import dataclass

from study.analysis.intervals import LEVEL

POWER = 0.8
ALPHA = 1 - LEVEL
# Beyond this a number of replicates is no advice.
MOST = 100_000


@dataclass(frozen=True)
class Pilot:
    """How far paired differences of accuracies spread (their standard deviation) in trainings made
    earlier."""

    spread: float
    where: str


# ALL-CNN-C; for a study that has no earlier record of its own.
PILOTS = (
    Pilot(0.010, "ALL-CNN-C on 4,000 images of CIFAR-10, about half of the test images right"),
    Pilot(0.002, "ALL-CNN-C on all of CIFAR-10, about 94 % right"),
)


def chance_of_detection(difference: float, spread: float, n: int) -> float:
    """The chance that the two-sided 5 % paired t test of ``n`` pairs tells a true mean difference from 0,
    where differences spread by ``spread`` (a standard deviation, above 0): by the noncentral t
    distribution (Cohen 1988, Statistical Power Analysis, 2)."""
    from scipy import stats

    if n < 2:
        return 0.0
    away = abs(difference) / spread * math.sqrt(n)
    edge = float(stats.t.ppf(1 - ALPHA / 2, n - 1))
    if away > 30 + edge:  # the far tail of the noncentral t is 1 to all digits, and slow
        return 1.0
    # The wrong side, whose chance is below 1e-8 there, is NaN in scipy 1.17 for large ones.
    wrong_side = float(stats.nct.cdf(-edge, n - 1, away)) if away < 5 else 0.0
    return float(stats.nct.sf(edge, n - 1, away)) + wrong_side


def replicates_needed(difference: float, spread: float, power: float = POWER) -> int | None:
    """The fewest pairs with that power. None where MOST would not do; 2 where nothing spreads."""
    if spread <= 0:
        return 2 if difference else None
    if not difference or chance_of_detection(difference, spread, MOST) < power:
        return None
    low, high = 1, 2
    while chance_of_detection(difference, spread, high) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if chance_of_detection(difference, spread, middle) >= power else (middle, high)
        )
    return high


def detectable(spread: float, n: int, power: float = POWER) -> float | None:
    """The smallest true difference that ``n`` pairs detect with that power; None for fewer than two."""
    if n < 2:
        return None
    from scipy import optimize

    # In spreads: two pairs need 13 of them, more pairs less.
    found = optimize.brentq(lambda d: chance_of_detection(d, 1.0, n) - power, 1e-9, 100.0, xtol=1e-10)
    return float(found) * spread


def smallest_p(n: int) -> float:
    """The smallest two-sided p that sign flips, and so Wilcoxon's signed ranks, can give ``n`` pairs:
    2 / 2**n, all differences on one side."""
    return min(1.0, 2.0 ** (1 - n))


def fewest_for_sign_flips(links: int = 1) -> int:
    """The fewest replicates with which a claim of so many links can be decided either way by sign flips:
    a contradiction must outlive Holm's correction over the links."""
    return next(n for n in range(2, 64) if links * smallest_p(n) < ALPHA)


def advice(difference: float, spread: float, n: int) -> str:
    """What it would take to tell such a difference from 0, for people."""
    needed = replicates_needed(difference, spread)
    if needed is None:
        return f"more than {MOST:,} replicates"
    # A difference that is this large and still open was cut off by the coarse end of the test.
    return f"about {max(needed, n + 1):,} replicates"
