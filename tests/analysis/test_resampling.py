"""The bootstrap and sign flips against published numbers and exact counts."""

from __future__ import annotations

import itertools
import random

import pytest

from study.analysis.intervals import mean_interval, paired_test
from study.analysis.resampling import bca, beside, leading, sign_flips, wins
from tests.analysis.test_intervals import DRUG_1, DRUG_2


def test_of_many_normal_values_the_bootstraps_interval_is_ts() -> None:
    """As theory says (Efron 1987); 0.02 is what 9,999 resamples leave to chance."""
    draw = random.Random(2)
    numbers = [draw.gauss(0, 1) for _ in range(200)]
    found = bca(numbers)
    t = mean_interval(numbers)
    assert (found.low, found.high) == pytest.approx((t.low, t.high), abs=0.02)


def test_the_bootstraps_interval_follows_the_skew() -> None:
    """Of exponential values the upper end lies further from the mean, as theory says (DiCiccio and Efron
    1996, Stat. Sci. 11:189-228)."""
    draw = random.Random(5)
    found = bca([draw.expovariate(1) for _ in range(30)])
    assert found.mean is not None
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.mean > 1.1 * (found.mean - found.low)


def test_the_same_numbers_have_the_same_interval() -> None:
    numbers = [0.1, 0.5, 0.3, 0.9, 0.2]
    assert bca(numbers) == bca(list(numbers))


@pytest.mark.parametrize("numbers", [(), (0.5,), (0.5, 0.5, 0.5)])
def test_numbers_that_do_not_vary_have_no_bootstrap(numbers: tuple[float, ...]) -> None:
    found = bca(numbers)
    assert (found.n, found.low, found.kind) == (len(numbers), 0.5 if len(numbers) > 1 else None, "bca")


@pytest.mark.parametrize(("n", "leads", "stands_beside"), [(19, "t", "bca"), (20, "bca", "t")])
def test_the_bootstrap_leads_from_twenty_values_on(n: int, leads: str, stands_beside: str) -> None:
    numbers = [float(each % 7) for each in range(n)]
    assert (leading(numbers).kind, beside(numbers).kind) == (leads, stands_beside)


def flips(*differences: float, margin: float = 0.0) -> tuple[float | None, float | None]:
    found = sign_flips(
        paired_test(dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0), margin)
    )
    return found.p_above, found.p_below


def test_fishers_own_example() -> None:
    """Darwin's maize (Fisher 1935, The Design of Experiments, 21): of 32,768 patterns of signs 863 have a
    sum of 314 or more in eighths of an inch, and as many one of -314 or less; p = 1726 / 32768 = 0.05267."""
    eighths = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
    above, below = flips(*eighths)
    assert above == pytest.approx(1726 / 32768, abs=0.008)  # 15 pairs: 9,999 random patterns
    assert below == 1.0


def test_few_pairs_are_counted_exactly() -> None:
    differences = (0.3, -0.1, 0.4, 0.2, 0.7, -0.2, 0.1)
    total = sum(differences)
    as_far = sum(
        sum(sign * each for sign, each in zip(signs, differences, strict=True)) >= total - 1e-12
        for signs in itertools.product((1, -1), repeat=7)
    )
    assert flips(*differences)[0] == pytest.approx(2 * as_far / 2**7)


@pytest.mark.parametrize(("pairs", "p"), [(5, 0.0625), (6, 0.03125), (8, 2 / 256)])
def test_the_smallest_p_is_that_of_one_pattern_on_either_side(pairs: int, p: float) -> None:
    assert flips(*(0.1 + 0.01 * each for each in range(pairs)))[0] == p


def test_a_margin_is_taken_off_each_difference() -> None:
    differences = [0.3, 0.5, 0.4, 0.6, 0.2, 0.35]
    assert flips(*differences, margin=0.1) == (flips(*(each - 0.1 for each in differences))[0], 1.0)


def test_a_single_pair_is_not_judged() -> None:
    assert flips(0.5) == (None, None)


def test_wins_are_counted_with_ties_for_either_side() -> None:
    """6 of 8 has the Wilson interval 0.409 to 0.928 (R: prop.test(6, 8, correct = FALSE))."""
    found = wins(
        [
            0.1,
            0.2,
            0.1,
            0.3,
            0.1,
            -0.1,
            0.0,
            0.0,
        ]
    )
    assert (found.n, found.share) == (8, 0.75)
    assert (found.low, found.high) == pytest.approx((0.4093, 0.9285), abs=1e-4)


def test_no_pair_has_no_chance() -> None:
    assert wins([]).share is None


def test_the_drugs_are_told_apart_by_sign_flips_too() -> None:
    found = sign_flips(paired_test(DRUG_2, DRUG_1))
    assert found.p_above == 4 / 2**10  # one difference is 0, all others are positive
