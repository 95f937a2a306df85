"""Activations against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import prelu

from study.components.activations import ACTIVATIONS, Activation, elu, nonlinearity
from study.errors import StudyError

Z = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
DENSITY = torch.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi)
CONVENTIONS = {"tanh": 5 / 3, "sigmoid": 1.0}


def apply(entry: Activation, values: Tensor, **arguments: float) -> Tensor:
    """(n,) -> (factor, n), through one channel."""
    layer = entry.build(1, **arguments).to(torch.float64)
    outputs: Tensor = layer(values.clone().view(1, 1, -1, 1)).detach()
    return outputs.view(-1, len(values))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, {}) for name in ACTIVATIONS if name not in CONVENTIONS]
    + [("leaky_relu", {"negative_slope": 0.3}), ("elu", {"alpha": 0.5})],
)
def test_the_gain_keeps_the_second_moment_of_a_standard_normal(
    name: str, arguments: dict[str, float]
) -> None:
    squares = apply(ACTIVATIONS[name], Z, **arguments).square().mean(dim=0)
    moment = torch.trapezoid(squares * DENSITY, Z).item()
    # The trapezoid's error at the kink is of the order of the squared step, 2.5e-7.
    assert ACTIVATIONS[name].he_gain(**arguments) ** 2 * moment == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("name", "gain"), CONVENTIONS.items())
def test_the_saturating_ones_have_the_gain_that_torch_gives_them(name: str, gain: float) -> None:
    assert ACTIVATIONS[name].he_gain() == gain


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in CONVENTIONS])
def test_a_gain_that_is_not_given_is_measured(name: str) -> None:
    entry = ACTIVATIONS[name]
    bare = Activation(entry.build, factor=entry.factor)
    assert bare.he_gain() == pytest.approx(entry.he_gain(), rel=1e-6 if name == "leaky_relu" else 1e-7)


def test_measuring_a_gain_takes_the_arguments_and_draws_nothing() -> None:
    state = torch.get_rng_state()
    assert Activation(elu).he_gain(alpha=0.5) == pytest.approx(
        ACTIVATIONS["elu"].he_gain(alpha=0.5), rel=1e-12
    )
    assert torch.equal(torch.get_rng_state(), state)


def test_a_gain_that_cannot_be_measured_is_asked_for() -> None:
    with pytest.raises(StudyError, match="give its Activation a gain"):
        Activation(lambda channels: torch.nn.Threshold(100.0, 0.0)).he_gain()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_piecewise_linear_says_whether_each_half_is_a_line(name: str) -> None:
    halves = [apply(ACTIVATIONS[name], sign * Z[Z > 0]) for sign in (1, -1)]
    bend = max(float(half.diff(n=2).abs().max()) for half in halves)
    assert (bend < 1e-12) == ACTIVATIONS[name].piecewise_linear


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_factor_is_output_channels_over_input_channels(name: str) -> None:
    chosen = nonlinearity(name)
    assert chosen.layer(6)(torch.zeros(1, 6, 2, 2)).shape[1] == 6 * chosen.factor


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nothing_hides_a_nan(name: str) -> None:
    assert apply(ACTIVATIONS[name], torch.tensor([math.nan], dtype=torch.float64)).isnan().all()


def test_prelu_has_a_slope_of_a_quarter_for_each_channel() -> None:
    assert torch.equal(nonlinearity("prelu").layer(3).weight, torch.full((3,), 0.25))  # type: ignore[arg-type]


def test_prelu_and_its_gradients_are_those_of_torch() -> None:
    slopes = torch.tensor([0.25, -0.5, 1.5], dtype=torch.float64)
    inputs = torch.randn(4, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layer = nonlinearity("prelu").layer(3).to(torch.float64)
    ours_in, theirs_in = (inputs.clone().requires_grad_() for _ in range(2))
    theirs_slopes = slopes.clone().requires_grad_()
    with torch.no_grad():
        next(layer.parameters()).copy_(slopes)
    ours, theirs = layer(ours_in), prelu(theirs_in, theirs_slopes)
    ours.cos().sum().backward()
    theirs.cos().sum().backward()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(ours_in.grad, theirs_in.grad)
    torch.testing.assert_close(next(layer.parameters()).grad, theirs_slopes.grad)


def test_crelu_puts_both_signs_side_by_side() -> None:
    outputs = nonlinearity("crelu").layer(1)(torch.tensor([[[[-2.0, 3.0]]]]))
    assert outputs.tolist() == [[[[0.0, 3.0]], [[2.0, 0.0]]]]


def test_a_leaky_slope_of_zero_is_relu() -> None:
    values = torch.tensor([[[[-2.0, 3.0]]]], requires_grad=True)
    outputs = nonlinearity("leaky_relu", negative_slope=0.0).layer(1)(values)
    outputs.sum().backward()
    assert outputs.tolist() == [[[[0.0, 3.0]]]]
