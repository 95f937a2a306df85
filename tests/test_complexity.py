"""A trained network's complexity: norms against numpy's, margins by hand, flatness where it is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from study.complexity import flat_sigma, linear_layers, margins, measure, spectral_norm, stable_rank
from tests.test_training import numbers, run

CROSS_ENTROPY = nn.CrossEntropyLoss(reduction="none")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def convolution(**options: Any) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 3, **options))


def matrix(model: nn.Module, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """What the model does to each unit picture, its answer to zero taken off: a column each."""
    units = torch.eye(math.prod(shape)).view(-1, *shape)
    with torch.no_grad():
        columns = model(units) - model(torch.zeros(1, *shape))
    found: np.ndarray[Any, Any] = columns.flatten(1).T.numpy().astype(np.float64)
    return found


@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2, "padding": 1}], ids=str)
def test_a_convolutions_norm_is_its_largest_singular_value_as_a_matrix(options: dict[str, Any]) -> None:
    model, shape = convolution(**options), (2, 6, 6)
    (layer,) = linear_layers(model, torch.zeros(2, *shape))
    exact = float(np.linalg.norm(matrix(model, shape), 2))
    assert spectral_norm(layer, generator(), 300) == pytest.approx(exact, rel=1e-3)
    assert 0.95 * exact < spectral_norm(layer, generator()) <= 1.0001 * exact


def test_without_borders_the_stable_rank_is_that_of_the_matrix() -> None:
    model, shape = convolution(), (2, 6, 6)
    (layer,) = linear_layers(model, torch.zeros(2, *shape))
    exact = matrix(model, shape)
    expected = float(np.linalg.norm(exact) ** 2 / np.linalg.norm(exact, 2) ** 2)
    assert stable_rank(layer, spectral_norm(layer, generator(), 300)) == pytest.approx(expected, rel=1e-3)


def test_a_batch_norm_is_part_of_the_layer_before_it() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).eval()
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    norm.running_var.copy_(torch.tensor([0.25, 1.0, 4.0]))
    norm.weight.data = torch.tensor([1.0, 2.0, 3.0])
    (layer,) = linear_layers(model, torch.zeros(2, 2, 6, 6))
    exact = float(np.linalg.norm(matrix(model, (2, 6, 6)), 2))
    assert spectral_norm(layer, generator(), 300) == pytest.approx(exact, rel=1e-3)


def test_a_margin_is_how_far_the_labels_logit_is_above_the_others() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0], [1.0, 1.5, 0.0]])
    labels = torch.tensor([0, 1, 1])  # margins 2, -3, 0.5
    assert margins(nn.Identity(), logits, labels) == {
        "margin_10": pytest.approx(-2.3),
        "margin_50": pytest.approx(0.5),
    }


def a_valley(curvature: float) -> tuple[nn.Module, Any]:
    """A parameter at the bottom of a parabola."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)

    def loss(output: Tensor, labels: Tensor) -> Tensor:
        return curvature * output**2 / 2

    return model, loss


def test_in_a_parabola_sigma_falls_with_the_root_of_the_curvature() -> None:
    ones, labels = torch.ones(1, 1), torch.zeros(1, dtype=torch.int64)
    found = []
    for curvature in (10.0, 1000.0):
        model, loss = a_valley(curvature)
        found.append(flat_sigma(model, ones, labels, loss, generator()))
    # Ten halvings of five decades: within 1.2 %, of a ratio of 10.
    assert found[0] / found[1] == pytest.approx(10, rel=0.03)


def test_on_a_plain_no_noise_is_too_much() -> None:
    model, loss = a_valley(1e-6)
    assert math.isinf(flat_sigma(model, torch.ones(1, 1), torch.zeros(1), loss, generator()))


def test_measuring_leaves_the_model_as_it_is() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = measure(model, torch.randn(32, 1, 6, 6), torch.arange(32) % 3, CROSS_ENTROPY, generator())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert all(value is not None for value in found.values())


# -- in a training


def test_a_replicate_notes_it_where_the_study_asks() -> None:
    found = run("confirm", training__complexity=1).environment["complexity"]
    assert found["parameters"] > 1000
    assert found["examples"] == 100


def test_without_being_asked_nothing_is_measured() -> None:
    assert "complexity" not in run("confirm").environment


def test_a_training_that_diverged_is_not_measured() -> None:
    assert "complexity" not in run("confirm", training__complexity=1, optimizer__lr=1e6).environment


def test_measuring_does_not_change_the_training() -> None:
    measured, unmeasured = (
        run("confirm", model__batch_norm=True, training__complexity=trials) for trials in (1, 0)
    )
    assert numbers(measured) == numbers(unmeasured)
