"""The VC bound against independent numbers: a published table's, brute force, and where it says nothing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from study.analysis.vc import (
    Layers,
    all_cnn_c_layers,
    certificate,
    examples_needed,
    existential_lower_bound,
    linear_dimension,
    mlp_layers,
    network_upper_bound,
    penalty,
    relative_bound,
    relu_upper_bound,
)
from study.components.activations import ACTIVATIONS, nonlinearity
from study.components.models import MODELS
from study.components.sizes import sizes
from study.seeding import derive_seed

# -- the penalty


@pytest.mark.parametrize(("h", "expected"), [(51, 0.0940), (101, 0.127), (1000, 0.335), (3073, 0.525)])
def test_the_penalty_at_fifty_thousand_examples(h: int, expected: float) -> None:
    assert penalty(h, 50_000) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("h", [50_000, 60_000, 100_000, 271_828, 1_369_738])
def test_from_h_equal_to_n_on_it_is_vacuous_and_not_the_formulas_number(h: int) -> None:
    assert penalty(h, 50_000) == math.inf


def test_it_falls_with_n_and_rises_with_h_wherever_it_is_defined() -> None:
    for h, n in itertools.product((1, 10, 100, 1000), (2000, 20_000, 200_000)):
        assert penalty(h, 2 * n) < penalty(h, n) < penalty(h + 1, n)


@pytest.mark.parametrize(("h", "n", "eta"), [(0, 10, 0.05), (5, 0, 0.05), (5, 10, 0.0), (5, 10, 1.1)])
def test_what_the_formula_is_not_made_for_is_refused(h: float, n: float, eta: float) -> None:
    with pytest.raises(ValueError, match="VC penalty wants"):
        penalty(h, n, eta)


@pytest.mark.parametrize(
    ("target", "ratio"), [(1.0, 2.68), (0.5, 18.4), (0.25, 101), (0.1, 843), (0.05, 3994)]
)
def test_how_many_examples_a_penalty_needs(target: float, ratio: float) -> None:
    assert examples_needed(1e5, target) / 1e5 == pytest.approx(ratio, rel=3e-3)


def test_the_needed_examples_give_that_penalty() -> None:
    assert penalty(66, examples_needed(66, 0.1)) == pytest.approx(0.1)


def test_without_training_errors_the_relative_bound_is_four_epsilons() -> None:
    h, n, eta = 50, 50_000, 0.05
    epsilon = penalty(h, n, eta) ** 2
    assert relative_bound(0.0, h, n, eta) == pytest.approx(4 * epsilon)
    assert relative_bound(0.0, h, n, eta) < penalty(h, n, eta)


@pytest.mark.parametrize(("n", "tighter"), [(300, False), (10_000, True), (1_000_000, True)])
def test_at_a_tenth_of_errors_the_relative_bound_is_tighter_from_many_examples_on(
    n: int, tighter: bool
) -> None:
    assert (relative_bound(0.1, 3, n) < 0.1 + penalty(3, n)) is tighter


def test_the_relative_bound_is_vacuous_where_the_other_one_is() -> None:
    assert relative_bound(0.1, 100, 100) == math.inf


# -- dimensions

# Width, weights, units in thousands, upper bound, W L log2(W / L) / 640: derived apart from this code.
ALL_CNN_C = (
    (1.0, 1_369_738, 356, 1.77e8, 3.3e5),
    (0.5, 343_882, 178, 4.27e7, 7.4e4),
    (0.25, 86_698, 89, 1.04e7, 1.6e4),
    (0.125, 22_042, 45, 2.53e6, 3.5e3),
    (0.0625, 5_698, 22, 6.3e5, 746),
    (0.03125, 1_522, 11, 1.6e5, 158),
)


@pytest.mark.parametrize(("width", "weights", "units", "upper", "lower"), ALL_CNN_C)
def test_the_dimensions_of_all_cnn_c(
    width: float, weights: int, units: int, upper: float, lower: float
) -> None:
    layers = all_cnn_c_layers(width)
    assert layers.parameters == weights
    assert sum(layers.units) // 1000 == units
    assert network_upper_bound(layers, "relu", 10) == pytest.approx(upper, rel=0.01)
    assert existential_lower_bound(weights, 9) == pytest.approx(lower, rel=0.03)


@pytest.mark.parametrize("activation", ["relu", "crelu"])
@pytest.mark.parametrize("width", [0.0625, 0.3, 1.0])
def test_the_layers_are_those_of_the_model_that_is_trained(width: float, activation: str) -> None:
    import torch

    generator = torch.Generator().manual_seed(derive_seed("layers"))
    shape = (32, 32, 3)
    model = MODELS["all_cnn_c"].build(shape, 10, nonlinearity(activation), generator, width=width)
    found = all_cnn_c_layers(width, 10, shape, ACTIVATIONS[activation].factor)
    assert list(zip(found.weights, found.units, strict=True)) == [
        (layer.weights, layer.units) for layer in sizes(model, shape)
    ]


@pytest.mark.parametrize(
    ("sizes", "expected"), [((2, 3, 1), 178.4), ((2, 10, 1), 685), ((40, 8, 1), 6180), ((64, 16, 1), 21_700)]
)
def test_the_dimensions_of_small_networks(sizes: tuple[int, ...], expected: float) -> None:
    assert relu_upper_bound(mlp_layers(sizes)) == pytest.approx(expected, rel=2e-3)


def test_layers_can_be_given_by_their_numbers() -> None:
    assert relu_upper_bound(Layers((9, 4), (3, 1))) == pytest.approx(178.4, abs=0.05)


def test_a_learned_slope_costs_four_per_cent() -> None:
    layers = all_cnn_c_layers(1.0)
    plain, learned = (network_upper_bound(layers, name, 10) for name in ("relu", "prelu"))
    assert plain
    assert learned
    assert learned / plain == pytest.approx(1.04, abs=0.005)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_only_piecewise_linear_activations_have_a_bound(activation: str) -> None:
    found = network_upper_bound(all_cnn_c_layers(0.25), activation, 10)
    assert (found is not None) == ACTIVATIONS[activation].piecewise_linear


def test_the_bound_of_a_linear_layer_is_above_its_exact_dimension() -> None:
    features = 3072
    ratio = relu_upper_bound(mlp_layers((features, 1))) / linear_dimension(features)
    assert 1 < ratio < 6


def shattered(points: NDArray[np.float64]) -> bool:
    """Whether planes with a threshold give the points every labelling: by linear programmes."""
    from scipy.optimize import linprog

    rows = np.column_stack([points, np.ones(len(points))])
    labellings = itertools.product((-1, 1), repeat=len(points))
    return all(
        linprog(
            np.zeros(rows.shape[1]),
            -np.array(signs)[:, None] * rows,
            -np.ones(len(points)),
            bounds=(None, None),
        ).success
        for signs in labellings
    )


def test_planes_shatter_three_points_and_no_four_that_were_drawn() -> None:
    points = np.random.default_rng(0).normal(size=(4, 2))
    assert shattered(points[: linear_dimension(2)])
    assert not shattered(points)


# -- what every bound competes with


def test_the_certificate_is_exact() -> None:
    found = certificate(900, 10_000)
    assert found.value == 0.09
    assert found.low is not None
    assert found.high is not None
    assert stats.binom.sf(899, 10_000, found.low) == pytest.approx(0.025)
    assert stats.binom.cdf(900, 10_000, found.high) == pytest.approx(0.025)


def test_without_errors_the_certificate_is_the_rule_of_three() -> None:
    # ln(0.025) / n for the two-sided 95 %; the rule of three is its one-sided kin.
    assert certificate(0, 1000).high == pytest.approx(-math.log(0.025) / 1000, rel=2e-3)
