"""Verdicts and intervals are wrong as rarely as they claim: small simulations (`make calibration` has more).

Bounds are binomial: where the truth is as claimed, a test fails once in a thousand seeds, and the seeds are
fixed.
"""

from __future__ import annotations

import pytest
from scipy import stats

from tests.benchmarks.calibration import (
    NUMBERS,
    covered,
    decided,
    normal,
    order_claim,
    planted_orders,
    powers,
    shuffled_labels,
    verdicts,
)


def most(n: int, share: float) -> int:
    """What so many studies exceed once in a thousand, each doing so with chance ``share``."""
    return int(stats.binom.ppf(0.999, n, share))


def least(n: int, share: float) -> int:
    return int(stats.binom.ppf(0.001, n, share))


@pytest.mark.parametrize("test", ["t", "sign_flips"])
@pytest.mark.parametrize("arms", [2, 4])
def test_without_a_true_difference_a_false_verdict_is_rare(test: str, arms: int) -> None:
    counts = verdicts([0.0] * arms, 8, order_claim(arms, test), 80)
    assert decided(counts) <= most(80, 0.05)


@pytest.mark.parametrize("what", NUMBERS)
def test_a_number_at_its_bound_rarely_has_a_verdict(what: str) -> None:
    assert decided(verdicts([0.0] * 2, 8, NUMBERS[what], 100)) <= most(100, 0.05)


def test_arms_that_diverge_alike_rarely_have_a_verdict() -> None:
    counts = verdicts([0.0] * 2, 8, order_claim(2, "sign_flips"), 80, noise=normal, lost=0.1)
    assert decided(counts) <= most(80, 0.05)


@pytest.mark.parametrize(("kind", "n"), [("t", 5), ("t", 8), ("bca", 20)])
def test_leading_intervals_cover_95_percent(kind: str, n: int) -> None:
    assert least(150, 0.93) <= covered(kind, n, normal, 150) <= most(150, 0.97)


def test_of_few_values_the_bootstrap_covers_less_which_is_why_it_does_not_lead() -> None:
    assert covered("bca", 5, normal, 200) < least(200, 0.95)


def test_the_power_is_the_one_that_the_plan_promises() -> None:
    for line in powers(60):
        if line.goal == "80 %":
            assert least(60, 0.8) <= line.count <= most(60, 0.8), line


def test_a_planted_order_is_recovered() -> None:
    for line in planted_orders(20):
        assert line.count >= least(20, 0.95), line


def test_shuffled_labels_are_undecided() -> None:
    line = shuffled_labels(60)
    assert line.count >= least(60, 0.95)
