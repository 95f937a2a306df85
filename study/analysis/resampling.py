"""Intervals and tests that take the numbers as they come: the bootstrap and sign flips."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from study.analysis.intervals import LEVEL, Interval, PairedTest, mean_interval, wilson
from study.seeding import derive_seed

# From so many values on the bootstrap leads: of 5 to 10 normal values BCa's interval covers 84 to 89 %
# instead of 95 % (make calibration), while t's is exact.
BCA_LEADS_FROM = 20
RESAMPLES = 9_999
# Up to 2**13 sign patterns are all tried, so p is exact up to 13 pairs.
FLIPS = 9_999


@dataclass(frozen=True)
class Chance:
    """A share of ``n`` with its 95 % Wilson interval; None for none of none."""

    n: int
    share: float | None = None
    low: float | None = None
    high: float | None = None


def leading(numbers: Sequence[float]) -> Interval:
    """The interval that stands for the mean: t's below BCA_LEADS_FROM values, BCa's from there on."""
    return bca(numbers) if len(numbers) >= BCA_LEADS_FROM else mean_interval(numbers)


def beside(numbers: Sequence[float]) -> Interval:
    """The other one of the two intervals, a second opinion."""
    return mean_interval(numbers) if len(numbers) >= BCA_LEADS_FROM else bca(numbers)


def bca(numbers: Sequence[float]) -> Interval:
    """The mean with its bias-corrected and accelerated bootstrap interval (Efron 1987, JASA 82:171-185).

    The same numbers give the same interval. Values that hardly vary have t's.
    """
    return _bca(tuple(numbers))


@functools.lru_cache(maxsize=4096)  # tables, figures and JSON all ask for the same ones
def _bca(numbers: tuple[float, ...]) -> Interval:
    import numpy as np
    from scipy import stats

    t = mean_interval(numbers)
    if t.low == t.high or t.mean is None:
        return replace(t, kind="bca")
    generator = np.random.default_rng(derive_seed("bca", len(numbers)))
    found = stats.bootstrap(
        (numbers,), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, method="BCa", rng=generator
    ).confidence_interval
    return Interval(t.n, t.mean, float(found.low), float(found.high), "bca")


def sign_flips(test: PairedTest) -> PairedTest:
    """The same differences, judged by sign flips instead of t (Fisher 1935, The Design of Experiments, 21).

    Where arms are alike, a difference is as likely as its opposite, so each pattern of signs is as likely
    as the one that was seen: p is twice the share of patterns whose mean is as far out. Exact up to 13
    pairs, of FLIPS random patterns above. No n pairs can have a p below 2 / 2**n.
    """
    if test.p_above is None:
        return test
    above = _flipped(tuple(each - test.margin for each in test.differences))
    below = _flipped(tuple(-each - test.margin for each in test.differences))
    return replace(test, p_above=above, p_below=below)


@functools.lru_cache(maxsize=4096)
def _flipped(numbers: tuple[float, ...]) -> float:
    import numpy as np
    from scipy import stats

    found = stats.permutation_test(
        (np.array(numbers),),
        np.mean,
        permutation_type="samples",
        n_resamples=FLIPS,
        alternative="greater",
        rng=np.random.default_rng(derive_seed("sign flips", len(numbers))),
    )
    return min(1.0, 2 * float(found.pvalue))


def wins(differences: Sequence[float]) -> Chance:
    """P(A > B): in what share of the pairs the first one is ahead, a tie counting half (the probability of
    improvement of Agarwal et al. 2021, 2108.13264, for pairs)."""
    if not differences:
        return Chance(0)
    ahead = sum(1.0 if each > 0 else 0.5 if each == 0 else 0.0 for each in differences)
    return share(ahead, len(differences))


def share(count: float, n: int) -> Chance:
    """``count`` of ``n`` with its interval."""
    return Chance(n, count / n, *wilson(count, n)) if n else Chance(0)
