"""The sizes of networks, layer by layer, against numbers made by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from study.components.activations import nonlinearity
from study.components.models import MODELS
from study.components.sizes import LayerSize, parameter_count, sizes

CIFAR = (32, 32, 3)


def layers(name: str, activation: str = "relu", **arguments: Any) -> tuple[nn.Module, tuple[LayerSize, ...]]:
    generator = torch.Generator().manual_seed(0)
    model = MODELS[name].build(CIFAR, 10, nonlinearity(activation), generator, **arguments)
    return model, sizes(model, CIFAR)


# Width, weights, hidden units, upper bound on the VC dimension by the formula of `bound`: a table made
# apart from this project, to the digits that it has.
@pytest.mark.parametrize(
    ("width", "weights", "units", "upper"),
    [
        (1, 1_369_738, 356e3, 1.77e8),
        (1 / 2, 343_882, 178e3, 4.27e7),
        (1 / 4, 86_698, 89e3, 1.04e7),
        (1 / 8, 22_042, 45e3, 2.53e6),
        (1 / 16, 5_698, 22e3, 6.3e5),
        (1 / 32, 1_522, 11e3, 1.6e5),
    ],
)
def test_all_cnn_c_has_the_sizes_it_should(width: float, weights: int, units: float, upper: float) -> None:
    _, found = layers("all_cnn_c", width=width)
    assert len(found) == 9
    assert sum(layer.weights for layer in found) == weights
    assert round(sum(layer.units for layer in found[:-1]) / 1e3) * 1e3 == units
    assert bound(found) == pytest.approx(upper, rel=0.02)


def bound(found: tuple[LayerSize, ...], classes: int = 10) -> float:
    """L + S log2(4 e R log2(2 e R)), S = sum of the weights up to each layer, R = sum of i k_i; k_L = K - 1
    (after Bartlett et al. 2019, 1703.02930, theorem 6)."""
    up_to = [sum(layer.weights for layer in found[: i + 1]) for i in range(len(found))]
    units = [*(layer.units for layer in found[:-1]), classes - 1]
    total = sum((i + 1) * each for i, each in enumerate(units))
    return len(found) + sum(up_to) * math.log2(4 * math.e * total * math.log2(2 * math.e * total))


def test_layers_come_in_the_order_of_execution_with_their_maps() -> None:
    _, found = layers("base_cnn_c")
    assert [(layer.name, layer.units) for layer in found[:4]] == [
        ("conv1", 96 * 32 * 32),
        ("conv2", 96 * 32 * 32),
        ("conv3", 192 * 16 * 16),
        ("conv4", 192 * 16 * 16),
    ]
    assert found[-1] == LayerSize("conv7", 1_930, 10 * 8 * 8)


def test_a_residual_network_ends_in_its_classes() -> None:
    _, found = layers("resnet", depth=8)
    assert len(found) == 8
    assert found[0] == LayerSize("conv1", 27 * 16 + 2 * 16, 16 * 32 * 32)
    assert found[-1] == LayerSize("dense", 650, 10)


@pytest.mark.parametrize("activation", ["relu", "prelu", "crelu"])
@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "bn"])
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("mlp", "linear")])
def test_weights_add_up_to_the_parameters(name: str, batch_norm: bool, activation: str) -> None:
    model, found = layers(name, activation, width=0.1, batch_norm=batch_norm, bn_eval="batch")
    assert sum(layer.weights for layer in found) == parameter_count(model)


def test_a_perceptron_s_units_are_its_neurons() -> None:
    generator = torch.Generator().manual_seed(0)
    model = MODELS["mlp"].build((5,), 2, nonlinearity("relu"), generator, width=7, depth=1)
    assert sizes(model, (5,)) == (LayerSize("linear1", 42, 7), LayerSize("linear2", 16, 2))


def test_weights_in_front_of_the_first_layer_are_its_own() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 1), nn.Flatten(), nn.Linear(20, 2))
    assert sizes(model, (2, 2, 3)) == (LayerSize("1", 6 + 20, 20), LayerSize("3", 42, 2))


def test_looking_leaves_the_model_as_it_was() -> None:
    model, _ = layers("all_cnn_c", width=0.05, batch_norm=True, dropout=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    sizes(model.train(), CIFAR)
    assert all(layer.training for layer in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), generator)
