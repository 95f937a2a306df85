"""The best value against the budget, by published formulas and brute force."""

from __future__ import annotations

import itertools
import math
import random
from typing import Literal

import pytest

from study.analysis.tuning_curves import (
    TuningCurve,
    ahead,
    best_so_far,
    curve_table,
    expected_best,
    median_best,
    tuning_curve,
    tuning_curves,
    tuning_value,
)
from study.trial import Row, TrialResult
from tests.analysis.planted import CHANCE, by_id, diverged, planted_spec, trial

VALUES = (0.1, 0.4, 0.35, 0.8, 0.2)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("better", ["maximize", "minimize"])
def test_the_expected_best_is_the_mean_over_all_draws(n: int, better: str) -> None:
    """Tang et al. (2020): the mean of the best over all subsets of n trials."""
    pick = max if better == "maximize" else min
    bests = [pick(draw) for draw in itertools.combinations(VALUES, n)]
    found = expected_best(VALUES, n, "maximize" if better == "maximize" else "minimize")
    assert found == pytest.approx(sum(bests) / len(bests))


def test_the_expected_best_of_two_is_that_of_the_worked_example() -> None:
    """0.1 (0 of 10 pairs), 0.2 (1), 0.35 (2), 0.4 (3), 0.8 (4): 5.3 / 10."""
    assert expected_best(VALUES, 2) == pytest.approx(0.53)


def test_the_expected_best_is_unbiased() -> None:
    """Of three uniform numbers the largest is 3 / 4 on average, whatever number of trials it is told from."""
    draw = random.Random(4)
    found = [expected_best([draw.random() for _ in range(8)], 3) for _ in range(4000)]
    assert math.fsum(found) / len(found) == pytest.approx(0.75, abs=0.01)


def test_the_median_best_of_one_trial_is_the_median() -> None:
    middle, low, high = median_best((0.1, 0.2, 0.3, 0.4, 0.5), "maximize")
    assert middle[0] == 0.3
    assert low[0] < 0.3 < high[0]


def test_bands_hold_the_true_curve_as_often_as_they_say() -> None:
    """80 % of the time, over all budgets at once; of uniform numbers the median best of n is 0.5**(1 / n)."""
    draw = random.Random(8)
    held = 0
    for _ in range(200):
        _, low, high = median_best([draw.random() for _ in range(12)], "maximize")
        held += all(low[n - 1] <= 0.5 ** (1 / n) <= high[n - 1] for n in range(1, 13))
    assert held >= 145  # of 200 at 80 %, fewer once in a thousand


def test_a_loss_has_its_bands_the_other_way_round() -> None:
    middle, low, high = median_best((0.9, 0.8, 0.7, 0.6, 0.5), "minimize")
    assert middle[0] == 0.7
    assert all(a <= b <= c for a, b, c in zip(low, middle, high, strict=True))
    assert middle[-1] == 0.5


def test_ties_make_no_trouble() -> None:
    middle, _, _ = median_best((0.1, 0.1, 0.1, 0.5), "maximize")
    assert middle[0] == 0.1


@pytest.mark.parametrize("better", ["maximize", "minimize"])
def test_where_every_trial_has_the_same_value_the_bands_lower_end_is_the_lower_one(
    better: Literal["maximize", "minimize"],
) -> None:
    """As where every trial of an arm diverged."""
    middle, low, high = median_best((0.1,) * 5, better)
    assert middle == (0.1,) * 5
    assert all(bottom <= 0.1 <= top for bottom, top in zip(low, high, strict=True))


@pytest.mark.parametrize(
    ("better", "expected"), [("maximize", (0.1, 0.4, 0.4, 0.8, 0.8)), ("minimize", (0.1, 0.1, 0.1, 0.1, 0.1))]
)
def test_the_best_so_far(better: str, expected: tuple[float, ...]) -> None:
    assert best_so_far(VALUES, "maximize" if better == "maximize" else "minimize") == expected


RANDOM = {"sampler": "random", "trials_per_arm": 4, "replicates": 1}


def tuned(*values: float | None) -> dict[str, TrialResult]:
    return by_id(
        [
            diverged("relu", "tune", index)
            if value is None
            else trial("relu", "tune", index, {"val_accuracy": value})
            for index, value in enumerate(values)
        ]
    )


def test_random_search_has_an_expectation_and_other_samplers_what_was_observed() -> None:
    results = tuned(0.3, 0.5, 0.4, 0.6)
    expected = tuning_curve(planted_spec("relu", search=RANDOM), results, "relu")
    observed = tuning_curve(planted_spec("relu", trials=4), results, "relu")
    assert expected is not None
    assert observed is not None
    assert (expected.kind, len(expected.low)) == ("expected", 4)
    assert expected.mean[0] == pytest.approx(0.45)
    assert (observed.kind, observed.low, observed.best) == ("observed", (), (0.3, 0.5, 0.5, 0.6))


def test_a_diverged_trial_counts_as_chance() -> None:
    found = tuning_curve(planted_spec("relu", trials=2), tuned(None, 0.5), "relu")
    assert found is not None
    assert found.best == (CHANCE["accuracy"], 0.5)


def test_a_trial_that_was_stopped_early_counts_as_its_last_value() -> None:
    stopped = trial("relu", "tune", 0, status="pruned", curve=(Row(epoch=1, val_accuracy=0.2),))
    assert tuning_value(planted_spec("relu"), by_id([stopped]), stopped) == 0.2


def test_a_failed_trial_is_not_counted() -> None:
    failed = trial("relu", "tune", 0, status="failed", kind="oom")
    assert tuning_curve(planted_spec("relu"), by_id([failed]), "relu") is None


def test_a_study_that_bisects_has_no_curve() -> None:
    spec = planted_spec("relu", search={"sampler": "bisect", "trials_per_arm": 4, "replicates": 0})
    assert tuning_curves(spec, tuned(0.5)) == ()


def curve(low: tuple[float, ...], high: tuple[float, ...]) -> TuningCurve:
    return TuningCurve("a", "expected", low, low, high)


def test_an_arm_is_ahead_where_the_bands_are_apart() -> None:
    first, second = curve((0.2, 0.6, 0.7), (0.6, 0.8, 1.0)), curve((0.1, 0.2, 0.3), (0.3, 0.5, 1.0))
    assert ahead(first, second, "maximize") == (2, 2)
    assert ahead(second, first, "maximize") is None
    assert ahead(second, first, "minimize") == (2, 2)


def test_observed_curves_are_never_ahead_for_sure() -> None:
    observed = TuningCurve("a", "observed", (0.9,))
    assert ahead(observed, curve((0.1,), (0.2,)), "maximize") is None


def test_the_table_has_a_row_an_arm_and_budget() -> None:
    found = curve_table([TuningCurve("a", "observed", (0.1, 0.2), evaluations=50.0)])
    assert found["gradient_evaluations"].tolist() == [50.0, 100.0]
    assert found["low"].isna().all()
    assert curve_table([]).empty
