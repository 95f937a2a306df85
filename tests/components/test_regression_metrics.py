"""Metrics of numbers against scikit-learn, by hand, and where they are not defined."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn

from study.components.metrics import METRICS
from study.components.tasks import Answers, Levels

DRAW = np.random.default_rng(0)
TARGETS = DRAW.normal(3, 2, 400).astype(np.float32)
ANSWERS = (TARGETS + DRAW.normal(0.3, 1, 400)).astype(np.float32)
Arrays = Callable[[np.ndarray, np.ndarray], float]


def told(
    name: str,
    outputs: Any = ANSWERS,
    targets: Any = TARGETS,
    *,
    levels: Levels = (),
    spread: float | None = None,
    features: Any = None,
) -> float:
    columns = torch.tensor(np.array(outputs), dtype=torch.float32).reshape(len(targets), -1)
    given = torch.tensor(np.array(targets), dtype=torch.float32)
    x = None if features is None else torch.tensor(features, dtype=torch.float32).unsqueeze(1)
    return METRICS[name].of(Answers(columns, given, given.abs(), levels, spread, x)).item()


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("mse", sklearn.mean_squared_error),
        ("rmse", sklearn.root_mean_squared_error),
        ("mae", sklearn.mean_absolute_error),
        ("r2", sklearn.r2_score),
        ("mape", lambda y, p: 100 * sklearn.mean_absolute_percentage_error(y, p)),
        ("bias", lambda y, p: float(np.mean(p - y))),
        ("below", lambda y, p: float(np.mean(y <= p))),
    ],
)
def test_a_metric_is_scikit_learn_s(name: str, theirs: Arrays) -> None:
    expected = theirs(TARGETS.astype(np.float64), ANSWERS.astype(np.float64))
    assert told(name) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_pinball_is_scikit_learn_s(level: float) -> None:
    expected = sklearn.mean_pinball_loss(TARGETS.astype(float), ANSWERS.astype(float), alpha=level)
    assert told("pinball", levels=(level,)) == pytest.approx(expected, rel=1e-9)


def test_pinball_of_several_levels_is_their_mean() -> None:
    both = np.stack([TARGETS - 1, TARGETS + 2], axis=1)
    assert told("pinball", both, levels=(0.05, 0.95)) == pytest.approx(0.05 * (1 + 2) / 2, rel=1e-5)


def test_mape_divides_by_the_targets() -> None:
    """L324-L326 swap the arguments: 100 answered with 50 would be 100 % off, and is 50 %."""
    assert told("mape", [50.0], [100.0]) == pytest.approx(50)


def test_mape_is_undefined_where_a_target_is_0() -> None:
    assert math.isnan(told("mape", [1.0, 2.0], [0.0, 2.0]))
    assert METRICS["mape"].worst_on([0.0, 1.0]) is None
    assert "0" in METRICS["mape"].undefined


def test_r2_is_undefined_where_all_targets_are_the_same() -> None:
    assert math.isnan(told("r2", [1.0, 2.0], [3.0, 3.0]))


def test_the_mean_of_the_targets_has_an_r2_of_0_and_the_worst_errors() -> None:
    constant = np.full(len(TARGETS), TARGETS.mean(dtype=np.float64))
    assert told("r2", constant) == pytest.approx(METRICS["r2"].worst_on(TARGETS), abs=1e-6)
    assert told("rmse", constant) == pytest.approx(METRICS["rmse"].worst_on(TARGETS), rel=1e-6)
    assert told("mse", constant) == pytest.approx(METRICS["mse"].worst_on(TARGETS), rel=1e-6)


@pytest.mark.parametrize(("name", "levels"), [("mae", ()), ("mape", ()), ("pinball", (0.2,))])
def test_no_constant_is_better_than_the_worst_that_a_trial_scores(name: str, levels: Levels) -> None:
    targets = np.abs(TARGETS) + 0.5
    worst = METRICS[name].worst_on(targets, levels)
    assert worst is not None
    tried = [
        told(name, np.full(len(targets), constant), targets, levels=levels)
        for constant in np.linspace(0.5, targets.max(), 500)
    ]
    assert min(tried) == pytest.approx(worst, rel=0.01)
    assert min(tried) > worst * (1 - 1e-6)


# -- intervals


def test_the_interval_of_a_centre_is_normal_with_the_training_residuals_deviation() -> None:
    centre, spread = np.zeros(4), 2.0
    inside, outside = 1.6448 * spread, 1.6450 * spread
    assert told("coverage", centre, [inside, -inside, outside, 0.0], spread=spread) == 0.75
    assert told("width", centre, [0.0] * 4, spread=spread) == pytest.approx(2 * 1.644854 * spread, rel=1e-6)


def test_training_examples_take_the_deviation_of_their_own_residuals() -> None:
    own = told("rmse")
    assert told("width") == pytest.approx(2 * 1.644854 * own, rel=1e-6)


def test_a_normal_interval_covers_nine_tenths_of_normal_targets() -> None:
    targets = np.random.default_rng(1).normal(0, 3, 50_000)
    assert told("coverage", np.zeros(50_000), targets, spread=3.0) == pytest.approx(0.9, abs=0.004)
    assert told("coverage_error", np.zeros(50_000), targets, spread=3.0) < 0.004


def test_coverage_is_between_the_outer_quantiles() -> None:
    columns = [[0.0, 9.0, 1.0]] * 4
    assert told("coverage", columns, [0.0, 0.5, 1.0, 1.1], levels=(0.1, 0.5, 0.8)) == 0.75
    assert told("coverage_error", columns, [0.0, 0.5, 1.0, 1.1], levels=(0.1, 0.5, 0.8)) == pytest.approx(
        0.05
    )
    assert told("below_lowest", columns, [0.0, 0.5, 1.0, 1.1], levels=(0.1, 0.5, 0.8)) == 0.25
    assert told("below_highest", columns, [0.0, 0.5, 1.0, 1.1], levels=(0.1, 0.5, 0.8)) == 0.75


def test_of_several_quantiles_the_middle_one_is_the_answer() -> None:
    assert told("mae", [[0.0, 4.0, 9.0]], [5.0], levels=(0.1, 0.5, 0.9)) == 1.0
    assert told("mae", [[0.0, 9.0]], [5.0], levels=(0.1, 0.9)) == 0.5


def test_crossing_is_the_share_of_examples_with_quantiles_out_of_order() -> None:
    columns = [[0.0, 1.0, 2.0], [0.0, 2.0, 1.0], [3.0, 1.0, 2.0], [1.0, 1.0, 1.0]]
    assert told("crossing", columns, [0.0] * 4, levels=(0.1, 0.5, 0.9)) == 0.5
    assert told("crossing", [0.0] * 4, [0.0] * 4) == 0


@pytest.mark.parametrize(
    "name", [name for name, each in METRICS.items() if each.of_levels and each.undefined]
)
def test_a_single_quantile_makes_no_interval(name: str) -> None:
    assert math.isnan(told(name, levels=(0.9,), features=TARGETS))


def test_coverage_is_told_by_tenths_of_the_first_feature() -> None:
    x = np.random.default_rng(2).permutation(np.arange(10_000) / 10_000)
    targets = np.where(x < 0.3, 0.0, 5.0)
    found = [
        told(f"coverage_decile{n}", np.zeros(10_000), targets, spread=1.0, features=x) for n in range(1, 11)
    ]
    assert found == [1.0] * 3 + [0.0] * 7
    assert told("decile_spread", np.zeros(10_000), targets, spread=1.0, features=x) == 1.0


def test_pictures_have_no_tenths() -> None:
    assert math.isnan(told("decile_spread"))
