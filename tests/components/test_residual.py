"""Residual networks and their plain twins against their publication."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from study.components.activations import ACTIVATIONS, nonlinearity
from study.components.models import MODELS
from study.components.models.residual import STAGES, Depth, Shortcut


def network(name: str, activation: str = "relu", channels: int = 3, **arguments: Any) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    built = MODELS[name].build((32, 32, channels), 10, nonlinearity(activation), generator, **arguments)
    assert isinstance(built, nn.Sequential)
    return built


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def blocks(model: nn.Sequential) -> list[nn.Module]:
    return [block for stage in range(1, 4) for block in model.get_submodule(f"stage{stage}").children()]


# Table 6 of the paper, in millions.
@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_it_has_the_published_number_of_parameters(depth: int, millions: float) -> None:
    digits = 1 if depth == 110 else 2
    assert round(size(network("resnet", depth=depth)) / 1e6, digits) == millions


def test_the_parameters_are_those_that_the_layers_must_have() -> None:
    """By hand: 3x3 convolutions without biases, batch norm's two numbers a channel, the dense layer."""
    n, expected = 3, 27 * 16 + 2 * 16 + 10 * 65
    for before, channels in zip((16, *STAGES), STAGES, strict=False):
        expected += 9 * before * channels + (2 * n - 1) * 9 * channels**2 + 2 * n * 2 * channels
    assert size(network("resnet", depth=20)) == expected == 269_722


@pytest.mark.parametrize("depth", [8, 20, 44])
@pytest.mark.parametrize("width", [0.25, 1.0])
@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "bn"])
def test_shortcuts_cost_no_parameter(depth: int, width: float, batch_norm: bool) -> None:
    arguments: dict[str, Any] = {"depth": depth, "width": width, "batch_norm": batch_norm}
    assert size(network("plain", **arguments)) == size(network("resnet", **arguments))


def test_both_begin_with_the_same_weights() -> None:
    plain, resnet = (network(name, depth=8, width=0.25) for name in ("plain", "resnet"))
    assert plain.state_dict().keys() == resnet.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, resnet.state_dict()[name]), name


@pytest.mark.parametrize("depth", [8, 20, 110])
def test_a_depth_counts_the_layers_with_weights(depth: int) -> None:
    weighted = [
        each
        for each in network("resnet", depth=depth, width=0.1).modules()
        if isinstance(each, nn.Conv2d | nn.Linear)
    ]
    assert len(weighted) == depth


@pytest.mark.parametrize("depth", [9, 18, 21, 2, 1208])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Depth).validate_python(depth)


def test_the_map_is_halved_twice_and_the_channels_doubled() -> None:
    x, shapes = torch.zeros(1, 3, 32, 32), []
    model = network("resnet", depth=8)
    for name, layer in model.named_children():
        x = layer(x)
        if name.startswith("stage"):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


# -- shortcuts


def test_a_shortcut_is_the_identity_where_nothing_changes() -> None:
    x = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Shortcut(4, 1)(x), x)


def test_option_a_takes_every_other_pixel_and_zeros_for_new_channels() -> None:
    x = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    assert Shortcut(2, 2)(x).tolist() == [[[[1, 3], [7, 9]], [[0, 0], [0, 0]]]]


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "bn"])
def test_a_block_whose_branch_is_zero_is_exactly_relu(batch_norm: bool) -> None:
    """The notes' line 77, bit by bit: with F = 0 a block is relu(x), the identity after another relu."""
    model = network("resnet", depth=14, width=0.5, batch_norm=batch_norm, zero_init=True)
    for block in blocks(model):
        shortcut = block.get_submodule("shortcut")
        assert isinstance(shortcut, Shortcut)
        inputs = next(each.in_channels for each in block.modules() if isinstance(each, nn.Conv2d))
        x = torch.randn(2, inputs, 8, 8, generator=torch.Generator().manual_seed(0))
        assert torch.equal(block(x), shortcut(x).relu())
        assert torch.equal(block(x.relu()), shortcut(x.relu()))


def test_more_blocks_of_zero_leave_the_function_as_it_is() -> None:
    """Inserted in the middle or at the end: a deeper net computes what the shallower one does."""
    shallow, deep = (network("resnet", depth=depth, width=0.5, zero_init=True).eval() for depth in (8, 20))
    own = shallow.state_dict()
    deep.load_state_dict({**deep.state_dict(), **own})
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(shallow(x), deep(x))


def test_zero_init_zeroes_the_last_scale_of_each_branch_alone() -> None:
    usual, zeroed = (network("resnet", depth=8, width=0.5, zero_init=zero).state_dict() for zero in (0, 1))
    changed = {name for name in usual if not torch.equal(usual[name], zeroed[name])}
    assert changed == {f"stage{stage}.block1.branch.norm2.weight" for stage in (1, 2, 3)}


# -- parts


@pytest.mark.parametrize("name", ["plain", "resnet"])
@pytest.mark.parametrize("activation", ["elu", "crelu"])
def test_weights_have_he_s_variance(name: str, activation: str) -> None:
    for block in blocks(network(name, activation, depth=8, width=2.0)):
        for conv in (each for each in block.modules() if isinstance(each, nn.Conv2d)):
            expected = ACTIVATIONS[activation].he_gain() / conv.weight[0].numel() ** 0.5
            assert conv.weight.std().item() == pytest.approx(expected, rel=0.03)


def test_logits_are_float32_under_bfloat16_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert network("resnet", depth=8, width=0.1)(torch.zeros(1, 3, 32, 32)).dtype == torch.float32


def test_the_gradient_reaches_the_first_layer_of_a_deep_residual_net_alone() -> None:
    """Through 56 layers of sigmoids without batch norm a plain net's is gone."""
    norms = {}
    for name in ("plain", "resnet"):
        model = network(name, "sigmoid", depth=56, width=0.25, batch_norm=False)
        x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        model(x).square().sum().backward()
        gradient = model.get_parameter("conv1.weight").grad
        assert isinstance(gradient, Tensor)
        norms[name] = gradient.norm().item()
    assert norms["plain"] < 1e-10 * norms["resnet"]
