"""Distributions and search spaces: what is in them, their grids, their edges, their conditions."""

from __future__ import annotations

import math
from random import Random

import pytest

from study.space import (
    Categorical,
    Condition,
    Distribution,
    Float,
    Int,
    Scalar,
    SearchSpace,
    Tuned,
)

LR = Float(1e-4, 1e-1, log=True)
WIDE_LR = Float(1e-4, 1.0, log=True)


def drawn(distribution: Distribution, random: Random) -> Scalar:
    if isinstance(distribution, Categorical):
        return random.choice(distribution.choices)
    return distribution.between(random.random())


@pytest.mark.parametrize(
    ("value", "inside"),
    [(1e-4, True), (0.1, True), (0.01, True), (0.2, False), (0, False), (True, False), ("0.01", False)],
)
def test_a_range_of_real_numbers_holds_its_ends(value: Scalar, inside: bool) -> None:
    assert (value in LR) is inside


@pytest.mark.parametrize(
    ("value", "inside"),
    [(2, True), (8, True), (5, True), (4, False), (11, False), (5.0, False), (True, False)],
)
def test_a_range_of_whole_numbers_holds_its_steps(value: Scalar, inside: bool) -> None:
    assert (value in Int(2, 8, step=3)) is inside


@pytest.mark.parametrize(("value", "inside"), [(True, True), (1, False), (1.0, False), ("true", False)])
def test_a_switch_is_not_a_number(value: Scalar, inside: bool) -> None:
    assert (value in Categorical((True, False))) is inside


def test_a_log_grid_is_even_in_the_logarithm() -> None:
    grid = Float(1e-4, 1e-1, log=True, points=4).grid()
    assert grid == pytest.approx((1e-4, 1e-3, 1e-2, 1e-1))
    assert (grid[0], grid[-1]) == (1e-4, 1e-1), "the ends are exact"


def test_a_linear_grid_is_even() -> None:
    assert Float(0.0, 1.0, points=5).grid() == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_grid_of_one_point_takes_the_middle() -> None:
    assert Float(1e-4, 1e-2, log=True, points=1).grid() == pytest.approx((1e-3,))
    assert Float(0.0, 1.0, points=1).grid() == (0.5,)


def test_a_range_without_points_has_no_grid() -> None:
    assert LR.grid() == ()


def test_a_grid_of_whole_numbers_takes_every_step() -> None:
    assert Int(2, 8, step=3).grid() == (2, 5, 8)


@pytest.mark.parametrize(
    "distribution",
    [Float(0.0, 1.0, points=7), Float(1e-4, 1.0, True, 9), Int(2, 8, step=3), Categorical(("a", True)), LR],
    ids=str,
)
def test_a_grid_has_as_many_values_as_it_says(distribution: Distribution) -> None:
    assert distribution.grid_size == len(distribution.grid())


def test_the_size_of_a_grid_is_known_without_making_it() -> None:
    assert Int(0, 2**53).grid_size == 2**53 + 1


@pytest.mark.parametrize("low", [1e-300, 1e-4, 1.0])
@pytest.mark.parametrize("high", [1.0, 1e300])
@pytest.mark.parametrize("log", [True, False])
def test_every_grid_value_lies_in_the_range(low: float, high: float, log: bool) -> None:
    distribution = Float(low, high, log, points=50)
    grid = distribution.grid()
    assert all(value in distribution for value in grid)
    assert list(grid) == sorted(grid)


def test_the_middle_of_whole_numbers_is_a_whole_number() -> None:
    assert Int(0, 4).between(0.5) == 2
    assert Int(1, 100, log=True).between(0.5) == 10
    assert Int(2, 8, step=3).between(0.5) == 5
    assert isinstance(Int(1, 100, log=True).between(0.3), int)


@pytest.mark.parametrize(
    ("value", "on_edge"),
    [(1e-4, True), (1.3e-4, True), (1e-3, False), (1e-2, False), (0.08, True), (0.1, True)],
)
def test_the_edge_of_a_log_range_is_a_share_of_its_decades(value: float, on_edge: bool) -> None:
    assert LR.on_edge(value) is on_edge


@pytest.mark.parametrize(
    ("value", "on_edge"), [(0.0, True), (0.04, True), (0.06, False), (0.5, False), (0.96, True)]
)
def test_the_edge_of_a_range_is_a_share_of_its_width(value: float, on_edge: bool) -> None:
    assert Float(0.0, 1.0).on_edge(value) is on_edge


def test_whole_numbers_have_two_edges_and_choices_none() -> None:
    assert [value for value in range(5) if Int(0, 4).on_edge(value)] == [0, 4]
    assert not Categorical(("a", "b", "c")).on_edge("a")
    assert not Categorical((False, True, 3)).on_edge(True)
    assert [value for value in (0.1, 0.3, 1.0) if Categorical((0.3, 0.1, 1.0)).on_edge(value)] == [0.1, 1.0]
    assert not Categorical((0.01, 0.1)).on_edge(0.1), "of two each would be on the edge"


def test_a_range_of_one_value_has_no_edge() -> None:
    assert not Float(0.1, 0.1).on_edge(0.1)
    assert not Int(3, 3).on_edge(3)


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (LR, "[0.0001, 0.1] (log)"),
        (Float(0.0, 1.0), "[0, 1]"),
        (Int(1, 8), "{1..8}"),
        (Categorical(("sgd", "adam")), "{sgd, adam}"),
    ],
)
def test_a_distribution_is_shown_in_few_words(distribution: Distribution, text: str) -> None:
    assert str(distribution) == text


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Condition("model.batch_norm", True), "model.batch_norm=true"),
        (Condition("optimizer.name", "sgd"), "optimizer.name=sgd"),
    ],
)
def test_a_condition_is_shown_as_the_study_file_has_it(condition: Condition, text: str) -> None:
    assert str(condition) == text


JOINT = SearchSpace(
    (
        Tuned("optimizer.lr", LR),
        Tuned("optimizer.name", Categorical(("sgd", "adam"))),
        Tuned("optimizer.lr", WIDE_LR, Condition("optimizer.name", "sgd")),
        Tuned("optimizer.momentum", Float(0.0, 0.99), Condition("optimizer.name", "sgd")),
    )
)


@pytest.mark.parametrize("seed", range(20))
def test_a_sample_has_what_its_conditions_ask_for_and_no_more(seed: int) -> None:
    random = Random(seed)
    values = JOINT.sample(lambda key, distribution: drawn(distribution, random))
    sgd = values["optimizer.name"] == "sgd"
    assert ("optimizer.momentum" in values) is sgd
    assert values["optimizer.lr"] in (WIDE_LR if sgd else LR)
    assert set(values) == {"optimizer.name", "optimizer.lr"} | ({"optimizer.momentum"} if sgd else set())


def test_what_decides_is_drawn_first() -> None:
    asked: list[str] = []

    def suggest(key: str, distribution: Distribution) -> Scalar:
        asked.append(key)
        return distribution.ends[0]

    JOINT.sample(suggest)
    assert asked == ["optimizer.name", "optimizer.lr", "optimizer.momentum"]


def test_a_condition_widens_a_range() -> None:
    assert JOINT.active("optimizer.lr", {"optimizer.name": "sgd"}) == WIDE_LR
    assert JOINT.active("optimizer.lr", {"optimizer.name": "adam"}) == LR
    assert JOINT.active("optimizer.momentum", {"optimizer.name": "adam"}) is None


def test_the_tuned_part_leaves_out_what_is_held() -> None:
    values: dict[str, Scalar] = {
        "optimizer.name": "adam",
        "optimizer.lr": 0.01,
        "optimizer.momentum": 0.9,
        "model.width": 1.0,
    }
    assert JOINT.tuned_part(values) == {"optimizer.name": "adam", "optimizer.lr": 0.01}


def test_keys_are_named_once() -> None:
    assert JOINT.keys == ("optimizer.lr", "optimizer.name", "optimizer.momentum")


def test_a_mean_of_extreme_ends_is_finite() -> None:
    assert math.isfinite(Float(1e-300, 1e300, log=True).between(0.5))
    assert math.isfinite(Float(-1.7e308, 1.7e308).between(0.5))
