"""The paired t test's power against R and published tables."""

from __future__ import annotations

import pytest

from study.analysis.power import (
    advice,
    chance_of_detection,
    detectable,
    fewest_for_sign_flips,
    replicates_needed,
    smallest_p,
)


@pytest.mark.parametrize(
    ("difference", "spread", "n"),
    [
        # R: ceiling(power.t.test(delta, sd, power = 0.8, type = "paired")$n) is 33.4, 9.9, 198.2, 51.0, ...
        *((0.1, 0.2, 34), (0.2, 0.2, 10), (0.3, 0.2, 6), (0.5, 0.2, 4), (1.0, 0.2, 3)),
        *((0.1, 0.5, 199), (0.2, 0.5, 52), (0.3, 0.5, 24), (0.5, 0.5, 10)),
        *((0.1, 1.0, 787), (0.2, 1.0, 199), (0.3, 1.0, 90), (0.5, 1.0, 34), (1.0, 1.0, 10)),
    ],
)
def test_the_replicates_needed_are_those_of_the_tables(difference: float, spread: float, n: int) -> None:
    assert replicates_needed(difference, spread) == n


@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_cohens_small_medium_and_large_effects(effect: float, n: int) -> None:
    """G*Power 3.1 (Faul et al. 2007), difference of two dependent means, two tails, power 0.8."""
    assert replicates_needed(effect, 1.0) == n


def test_the_power_of_a_fifth_replicate_too_few() -> None:
    """statsmodels 0.15: TTestPower().solve_power(5/3, power=0.8, alpha=0.05) is 5.05 replicates."""
    assert chance_of_detection(5, 3, 5) < 0.8 < chance_of_detection(5, 3, 6)


def test_the_power_without_a_difference_is_the_level() -> None:
    assert chance_of_detection(0.0, 1.0, 8) == pytest.approx(0.05)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 10, 34, 500])
def test_the_detectable_difference_is_found_with_the_power_asked_for(n: int) -> None:
    found = detectable(0.01, n)
    assert found is not None
    assert chance_of_detection(found, 0.01, n) == pytest.approx(0.8, abs=1e-6)


def test_one_replicate_detects_nothing() -> None:
    assert detectable(0.01, 1) is None
    assert chance_of_detection(1.0, 0.01, 1) == 0.0


def test_five_replicates_never_reach_5_percent_in_a_signed_rank_test() -> None:
    """2 / 2**5 (Wilcoxon 1945; any table of the signed ranks starts at n = 6 for two-sided 5 %)."""
    assert smallest_p(5) == 0.0625
    assert smallest_p(6) < 0.05


@pytest.mark.parametrize(("links", "n"), [(1, 6), (2, 7), (4, 8), (9, 9), (19, 10)])
def test_more_links_need_more_replicates_to_be_contradicted(links: int, n: int) -> None:
    """links * 2 / 2**n < 0.05."""
    assert fewest_for_sign_flips(links) == n


def test_no_number_of_replicates_tells_equal_things_apart() -> None:
    assert replicates_needed(0.0, 1.0) is None
    assert replicates_needed(1e-9, 1.0) is None
    assert advice(0.0, 1.0, 8) == "more than 100,000 replicates"


def test_advice_asks_for_more_than_there_were() -> None:
    assert advice(1.0, 1.0, 8) == "about 10 replicates"
    assert advice(1.0, 0.1, 8) == "about 9 replicates"
