"""Means, paired differences and their t intervals; Holm's correction; shares. Small samples, no NaN."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean of ``n`` values with its two-sided 95 % interval: Student's t, or BCa's bootstrap.

    ``mean`` is None for no value, ``low`` and ``high`` are None for fewer than two. Values that do
    not vary give ``low == mean == high``.
    """

    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    kind: Literal["t", "bca"] = "t"

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class PairedTest:
    """A mean paired difference, and how well it clears a margin on either side.

    ``p_above`` belongs to "the difference is above ``margin``" and ``p_below`` to "it is below
    minus ``margin``". Both are two-sided, so that below 0.05 they agree with the 95 % t interval.
    None for fewer than two pairs. ``differences`` are those of the pairs, in the blocks' order.
    """

    interval: Interval
    margin: float
    p_above: float | None = None
    p_below: float | None = None
    differences: tuple[float, ...] = ()

    @property
    def p(self) -> float | None:
        """The p of the side that the difference leans to; without a margin, the test's two-sided one."""
        return None if self.p_above is None or self.p_below is None else min(self.p_above, self.p_below)


def mean_interval(numbers: Sequence[float], noise: float = 0.0) -> Interval:
    """The mean and its 95 % t interval (n - 1 degrees of freedom, sample standard deviation).

    A spread of at most ``noise`` between the extremes is rounding, and counts as none.
    """
    n = len(numbers)
    if n == 0:
        return Interval(0)
    if _constant(numbers, noise):
        end = numbers[0] if n > 1 else None
        return Interval(n, numbers[0], end, end)
    from scipy import stats

    mean = math.fsum(numbers) / n
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * _standard_error(numbers, mean)
    return Interval(n, mean, mean - half, mean + half)


def paired_test(first: Mapping[int, float], second: Mapping[int, float], margin: float = 0.0) -> PairedTest:
    """``first - second`` over the keys (seed blocks) that both have: paired t test and interval.

    Where all differences are equal there is no t statistic. The exact sign test stands in: n equal
    signs have a two-sided p of 2 / 2**n, so a few coarse scores that happen to agree prove nothing.
    """
    blocks = sorted(first.keys() & second.keys())
    differences = [first[block] - second[block] for block in blocks]
    largest = max((abs(each[block]) for each in (first, second) for block in blocks), default=0.0)
    noise = rounding(largest)
    interval = mean_interval(differences, noise)
    pairs = tuple(differences)
    if interval.mean is None or interval.n < 2:
        return PairedTest(interval, margin, differences=pairs)
    if _constant(differences, noise):
        sign_p = 2.0 ** (1 - interval.n)
        above = sign_p if interval.mean > margin + noise else 1.0
        below = sign_p if interval.mean < -margin - noise else 1.0
        return PairedTest(interval, margin, above, below, pairs)
    from scipy import stats

    error = _standard_error(differences, interval.mean)
    above = 2 * float(stats.t.sf((interval.mean - margin) / error, interval.n - 1))
    below = 2 * float(stats.t.cdf((interval.mean + margin) / error, interval.n - 1))
    return PairedTest(interval, margin, min(1.0, above), min(1.0, below), pairs)


def rounding(largest: float) -> float:
    """How far apart equal differences of numbers up to ``largest`` may come out."""
    return 8 * sys.float_info.epsilon * largest


def spread(numbers: Sequence[float]) -> float:
    """The sample standard deviation; 0 for fewer than two numbers."""
    if len(numbers) < 2:
        return 0.0
    return _standard_error(numbers, math.fsum(numbers) / len(numbers)) * math.sqrt(len(numbers))


def welch_test(first: Sequence[float], second: Sequence[float]) -> tuple[Interval, float | None]:
    """``mean(first) - mean(second)`` of independent samples, with Welch's t interval and two-sided p
    (Welch 1947, Biometrika 34:28); ``n`` is the smaller sample's.

    Without an interval and a p where a sample has fewer than two values, or where neither varies.
    """
    n = min(len(first), len(second))
    if n == 0:
        return Interval(0), None
    difference = math.fsum(first) / len(first) - math.fsum(second) / len(second)
    if n < 2 or (_constant(first, 0.0) and _constant(second, 0.0)):
        return Interval(n, difference), None
    from scipy import stats

    test = stats.ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval(LEVEL)
    return Interval(n, difference, float(low), float(high)), float(test.pvalue)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down adjusted p-values (Holm 1979, Scand. J. Statist. 6:65-70), in the order given.

    A None (a test that could not be made) stays None, and is counted among the tests.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for step, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(p_values) - step)))
        adjusted[index] = largest
    return tuple(adjusted)


def false_discovery(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjusted p-values that hold down the share of false ones among all that are called significant
    (Benjamini & Hochberg 1995, JRSS B 57:289), by scipy, in the order given. None as in ``holm``."""
    from scipy import stats

    if not p_values:
        return ()
    adjusted = stats.false_discovery_control([1.0 if p is None else p for p in p_values], method="bh")
    return tuple(None if p is None else float(q) for p, q in zip(p_values, adjusted, strict=True))


def wilson(count: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion, ``count`` of ``n`` > 0 (Wilson 1927, JASA 22:209). The
    count may have a half: a tie that counts for either side."""
    z2 = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    share = count / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _constant(numbers: Sequence[float], noise: float) -> bool:
    return max(numbers) - min(numbers) <= noise


def _standard_error(numbers: Sequence[float], mean: float) -> float:
    squares = math.fsum((number - mean) ** 2 for number in numbers)
    return math.sqrt(squares / (len(numbers) - 1) / len(numbers))
