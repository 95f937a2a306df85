"""Claimed orders against observed ones, by published nulls and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from study.analysis.agreement import kendall, order_chances

CLAIMED = ("relu+bn", "elu", "prelu", "elu+bn", "relu")


@pytest.mark.parametrize(
    ("observed", "tau", "p"),
    [
        (CLAIMED, 1.0, 1 / 120),
        (("relu+bn", "elu", "elu+bn", "prelu", "relu"), 0.8, 5 / 120),
        (("relu+bn", "elu+bn", "elu", "prelu", "relu"), 0.6, 14 / 120),
        (CLAIMED[::-1], -1.0, 1.0),
    ],
)
def test_tau_and_its_exact_null(observed: tuple[str, ...], tau: float, p: float) -> None:
    """Of 120 orders of five, 1 has no inversion, 4 have one and 9 two (Mahonian numbers 1, 4, 9)."""
    means = {name: 0.9 - 0.1 * place for place, name in enumerate(observed)}
    assert kendall(CLAIMED, means, "maximize") == pytest.approx((tau, p))


def test_a_loss_is_better_when_it_is_lower() -> None:
    assert kendall(("relu", "elu", "tanh"), {"relu": 0.1, "elu": 0.2, "tanh": 0.3}, "minimize")[0] == 1.0


def test_tied_arms_have_a_tau_and_no_exact_p() -> None:
    """Two of three pairs agree, one ties: tau-b is 2 / sqrt(3 * 2)."""
    tau, p = kendall(("relu", "elu", "tanh"), {"relu": 0.5, "elu": 0.5, "tanh": 0.1}, "maximize")
    assert tau == pytest.approx(2 / math.sqrt(6))
    assert p is None


def test_arms_that_all_tie_have_no_order() -> None:
    assert kendall(("relu", "elu"), {"relu": 0.5, "elu": 0.5}, "maximize") == (None, None)


def test_a_single_arm_has_no_order() -> None:
    assert kendall(("relu",), {"relu": 0.5}, "maximize") == (None, None)


def test_the_chance_of_a_pair_is_that_of_all_draws_of_two_blocks() -> None:
    """Differences of +3 and -1: of the four draws of two blocks only (-1, -1) turns the order."""
    found = order_chances(pd.DataFrame({"a": [3.0, 0.0], "b": [0.0, 1.0]}), ("a", "b"), "maximize")
    assert found is not None
    assert found.pairs[0][2] == found.whole == pytest.approx(0.75, abs=0.03)


def test_the_chance_of_a_pair_is_the_normal_one_where_blocks_are_many() -> None:
    """200 differences of mean 0.1 and standard deviation 1: P(mean > 0) = Phi(0.1 * sqrt(200)) = 0.921
    (any table of the normal distribution)."""
    draws = np.random.default_rng(3).normal(size=200)
    differences = (draws - draws.mean()) / draws.std() + 0.1
    found = order_chances(pd.DataFrame({"a": differences, "b": 0.0}), ("a", "b"), "maximize")
    assert found is not None
    assert found.whole == pytest.approx(0.921, abs=0.015)


def test_an_order_that_every_block_shows_is_certain() -> None:
    table = pd.DataFrame({"c": [1.0, 1.5], "b": [2.0, 2.5], "a": [3.0, 4.0]})
    found = order_chances(table, ("a", "b", "c"), "maximize")
    assert found is not None
    assert found.whole == 1.0
    assert [pair[:2] for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    turned = order_chances(table, ("a", "b", "c"), "minimize")
    assert turned is not None
    assert turned.whole == 0.0


def test_blocks_that_lack_an_arm_are_left_out() -> None:
    table = pd.DataFrame({"a": [3.0, 4.0, math.nan], "b": [1.0, 1.0, 9.0]})
    found = order_chances(table, ("a", "b"), "maximize")
    assert found is not None
    assert (found.n, found.whole) == (2, 1.0)


@pytest.mark.parametrize("table", [{"a": [1.0], "b": [2.0]}, {"a": [1.0, 2.0]}, {"a": [], "b": []}])
def test_too_little_to_draw_from_has_no_chances(table: dict[str, list[float]]) -> None:
    assert order_chances(pd.DataFrame(table), tuple(table), "maximize") is None
