"""The drawn formulas against torch's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from study.analysis.figures.drawing import LIGHT, THEMES, Drawing, Theme, png
from study.analysis.figures.shapes import draw_activations, draw_losses
from study.analysis.shapes import ACTIVATIONS, LOSSES, Shape
from study.components.activations import ACTIVATIONS as TRAINED

ARGUMENTS = {"leaky_relu": {"negative_slope": 0.2}}
X = np.linspace(-4, 4, 82)  # not at the kink


def torch_losses(name: str, error: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros_like(error)
    if name == "mse":
        return functional.mse_loss(error, zero, reduction="none") / 2
    if name == "mae":
        return functional.l1_loss(error, zero, reduction="none")
    if name == "huber":
        return functional.huber_loss(error, zero, reduction="none", delta=1.0)
    if name == "log_cosh":
        return torch.log(torch.cosh(error))
    # The quantile loss by its definition: max(g (y - p), (g - 1) (y - p)) of target y, prediction p.
    return torch.maximum(0.25 * -error, (0.25 - 1) * -error)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_drawn_as_it_is_trained(name: str) -> None:
    layer = TRAINED[name].build(1, **ARGUMENTS.get(name, {}))
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    y = layer.double()(x.clone().view(-1, 1, 1, 1)).view(-1)
    y.sum().backward()
    assert ACTIVATIONS[name].of(X) == pytest.approx(y.detach().numpy())
    assert x.grad is not None
    assert ACTIVATIONS[name].slope(X) == pytest.approx(x.grad.numpy())


def test_every_activation_of_one_output_is_drawn() -> None:
    assert set(ACTIVATIONS) == {name for name, entry in TRAINED.items() if entry.factor == 1}


@pytest.mark.parametrize(("name", "shape"), LOSSES.items())
def test_a_loss_is_drawn_as_torch_has_it(name: str, shape: Shape) -> None:
    error = torch.tensor(X, requires_grad=True)
    loss = torch_losses(name, error)
    loss.sum().backward()
    assert shape.of(X) == pytest.approx(loss.detach().numpy())
    assert error.grad is not None
    assert shape.slope(X) == pytest.approx(error.grad.numpy())


def test_an_overestimate_costs_three_times_an_underestimate_at_a_quarter() -> None:
    over, under = LOSSES["quantile"].of(np.array([1.0, -1.0]))
    assert over / under == pytest.approx(3)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("draw", [draw_activations, draw_losses])
def test_the_shapes_are_figures(draw: Callable[[Theme], Drawing], theme: Theme) -> None:
    assert png(draw(theme).figure).startswith(b"\x89PNG")


def test_nothing_joins_the_two_sides_of_a_jump() -> None:
    _, gradients = draw_losses(LIGHT).figure.axes
    steps = [np.abs(np.diff(np.asarray(line.get_ydata()))) for line in gradients.lines]
    assert all(np.nanmax(step) < 0.1 for step in steps)
