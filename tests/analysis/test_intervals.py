"""Means, intervals and corrections against published numbers."""

from __future__ import annotations

import math

import pytest

from study.analysis.intervals import Interval, false_discovery, holm, mean_interval, paired_test

# Student (1908), Biometrika 6:1-25: hours of sleep gained with each of two drugs, 10 patients. R's
# t.test(extra ~ group, data = sleep, paired = TRUE) prints t = -4.0621, df = 9, p = 0.002833 and the
# interval -2.4598858 to -0.7001142; t.test of the first drug alone 0.75 (-0.5297804 to 2.0297804).
DRUG_1 = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
DRUG_2 = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))


def test_the_t_interval_of_a_mean_is_the_published_one() -> None:
    found = mean_interval(list(DRUG_1.values()))
    assert found.n == 10
    assert found.mean == pytest.approx(0.75)
    assert found.low == pytest.approx(-0.5297804, abs=5e-8)
    assert found.high == pytest.approx(2.0297804, abs=5e-8)


def test_the_paired_difference_is_the_published_one() -> None:
    found = paired_test(DRUG_1, DRUG_2)
    assert found.interval.mean == pytest.approx(-1.58)
    assert found.interval.low == pytest.approx(-2.4598858, abs=5e-8)
    assert found.interval.high == pytest.approx(-0.7001142, abs=5e-8)
    assert found.p == found.p_below == pytest.approx(0.002833, abs=5e-7)


def test_two_values_have_the_widest_interval() -> None:
    """t(0.975, 1 degree of freedom) is 12.706 (any table of t), the standard error 0.5."""
    found = mean_interval([1.0, 2.0])
    assert found.half_width == pytest.approx(12.7062 * 0.5, abs=1e-4)


def test_no_value_has_no_mean() -> None:
    assert mean_interval([]) == Interval(0, None, None, None)


def test_one_value_has_no_interval() -> None:
    assert mean_interval([0.5]) == Interval(1, 0.5, None, None)


def test_equal_values_have_an_interval_without_width() -> None:
    assert mean_interval([0.1, 0.1, 0.1]) == Interval(3, 0.1, 0.1, 0.1)


def test_the_mean_does_not_depend_on_the_order() -> None:
    numbers = [0.1, 0.7, 0.3, 1e-9, 0.2, 0.9]
    assert mean_interval(numbers).mean == mean_interval(numbers[::-1]).mean


def test_pairs_are_matched_by_block_not_by_position() -> None:
    first = {0: 0.5, 1: 0.6, 3: 0.8}
    second = {3: 0.7, 2: 0.1, 1: 0.5, 0: 0.39}
    found = paired_test(first, second).interval
    assert found.n == 3
    assert found.mean == pytest.approx((0.11 + 0.1 + 0.1) / 3)


def test_no_common_block_gives_no_number() -> None:
    found = paired_test({0: 0.5, 1: 0.6}, {2: 0.5})
    assert (found.interval, found.p) == (Interval(0), None)


def test_a_single_pair_has_a_difference_and_nothing_more() -> None:
    found = paired_test({0: 0.75}, {0: 0.5})
    assert (found.interval, found.p) == (Interval(1, 0.25, None, None), None)


@pytest.mark.parametrize(("pairs", "p"), [(2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_equal_differences_are_judged_by_their_signs(pairs: int, p: float) -> None:
    """2 / 2**n: heads n times in a row, or tails."""
    first = {block: 0.5 + 0.1 * block for block in range(pairs)}
    second = {block: value - 0.1 for block, value in first.items()}
    assert paired_test(first, second).p_above == p


def test_rounding_is_not_taken_for_spread() -> None:
    """0.3 - 0.2 and 0.4 - 0.3 differ in the last digit."""
    found = paired_test({0: 0.3, 1: 0.4}, {0: 0.2, 1: 0.3}).interval
    assert found.low == found.mean == found.high


def test_no_difference_at_all_proves_nothing() -> None:
    same = dict.fromkeys(range(8), 0.1)
    assert paired_test(same, same).p == 1.0


def test_a_margin_is_taken_off_the_difference() -> None:
    """Student's -1.58 lies 0.58 beyond a margin of 1: t = -0.58 / 0.38896 with 9 degrees of freedom;
    scipy.stats.t.cdf(-1.49115, 9) * 2 is 0.17013."""
    found = paired_test(DRUG_1, DRUG_2, margin=1.0)
    assert found.p_below == pytest.approx(0.17013, abs=2e-5)
    assert found.p_above == 1.0


def test_the_interval_and_the_p_agree() -> None:
    """The end of Student's interval as a margin gives a p of exactly 0.05."""
    assert paired_test(DRUG_1, DRUG_2, margin=0.7001142).p_below == pytest.approx(0.05, abs=1e-6)


def test_holms_correction_is_the_published_one() -> None:
    """R: p.adjust(c(.01, .04, .03, .005), "holm") is 0.03 0.06 0.06 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_benjamini_and_hochbergs_correction_is_the_published_one() -> None:
    """R: p.adjust(c(.01, .04, .03, .005), "BH") is 0.02 0.04 0.04 0.02."""
    assert false_discovery([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.02, 0.04, 0.04, 0.02))


def test_their_rule_rejects_four_of_their_fifteen() -> None:
    """Benjamini and Hochberg 1995, section 4.1: at 5 % the four smallest, where Bonferroni's has three."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    found = false_discovery(p)
    assert sum(each is not None and each < 0.05 for each in found) == 4
    assert sum(each * len(p) < 0.05 for each in p) == 3


def test_benjamini_and_hochbergs_correction_counts_the_tests_that_could_not_be_made() -> None:
    first, missing = false_discovery([0.02, None])
    assert first == pytest.approx(0.04)
    assert missing is None
    assert false_discovery([]) == ()


def test_holms_correction_counts_the_tests_that_could_not_be_made() -> None:
    first, missing = holm([0.02, None])
    assert first == pytest.approx(0.04)
    assert missing is None


def test_holms_correction_never_exceeds_one() -> None:
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_holms_correction_of_nothing_is_nothing() -> None:
    assert holm([]) == ()


def test_no_interval_is_nan() -> None:
    for numbers in ([], [1.0], [1.0, 1.0], [1.0, 2.0]):
        found = mean_interval(numbers)
        assert not any(math.isnan(each) for each in (found.mean, found.low, found.high) if each is not None)
