"""The all-convolutional family against its publication."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.components.activations import ACTIVATIONS, nonlinearity
from study.components.models import MODELS, Shape
from study.errors import StudyError

CIFAR = (32, 32, 3)


def all_cnn_c(
    shape: Shape = CIFAR, classes: int = 10, activation: str = "relu", seed: int = 0, **arguments: Any
) -> nn.Sequential:
    return built("all_cnn_c", shape, classes, activation, seed, **arguments)


def built(
    name: str,
    shape: Shape = CIFAR,
    classes: int = 10,
    activation: str = "relu",
    seed: int = 0,
    **arguments: Any,
) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    network = MODELS[name].build(shape, classes, nonlinearity(activation), generator, **arguments)
    assert isinstance(network, nn.Sequential)
    return network


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 1_369_738),
        ({"pad7": False}, 1_369_738),
        ({"batch_norm": True}, 1_370_986),  # 1,248 biases less, 2 x 1,248 scales and shifts more
        ({"activation": "prelu"}, 1_369_738 + 1_248),
        ({"width": 0.25}, 86_698),
    ],
)
def test_it_has_the_parameters_that_it_should(arguments: dict[str, Any], parameters: int) -> None:
    assert size(all_cnn_c(**arguments)) == parameters


def test_channels_and_classes_come_from_the_data() -> None:
    network = all_cnn_c((28, 28, 1), classes=7, width=0.1)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 7)


@pytest.mark.parametrize(("pad7", "side"), [(True, 8), (False, 6)])
def test_the_average_is_over_the_published_map(pad7: bool, side: int) -> None:
    network = all_cnn_c(width=0.05, pad7=pad7)
    assert network[:-1](torch.zeros(1, 3, 32, 32)).shape == (1, 10, side, side)


def test_a_picture_too_small_for_the_unpadded_convolution_is_refused_with_the_way_out() -> None:
    with pytest.raises(StudyError, match=r"at least 9x9, not 8x8; set model.pad7 = true"):
        all_cnn_c((8, 8, 1), pad7=False)


@pytest.mark.parametrize("pad7", [True, False])
def test_the_smallest_picture_it_names_fits_it(pad7: bool) -> None:
    side = MODELS["all_cnn_c"].minimum_size(pad7=pad7, width=0.05)
    network = all_cnn_c((side, side, 1), width=0.05, pad7=pad7)
    assert network(torch.zeros(1, 1, side, side)).shape == (1, 10)


def test_a_tiny_width_leaves_one_channel() -> None:
    assert [conv.out_channels for conv in convolutions(all_cnn_c(width=0.001))] == [1] * 8 + [10]


def test_crelu_doubles_the_inputs_and_keeps_the_outputs() -> None:
    plain, doubled = convolutions(all_cnn_c()), convolutions(all_cnn_c(activation="crelu"))
    assert [conv.out_channels for conv in doubled] == [conv.out_channels for conv in plain]
    assert [conv.in_channels for conv in doubled[1:]] == [2 * conv.in_channels for conv in plain[1:]]


def test_dropout_stands_where_the_paper_has_it() -> None:
    layers = list(all_cnn_c(width=0.05, dropout=True).named_children())
    dropped = [
        (before, layer.p)
        for (before, _), (_, layer) in itertools.pairwise([("input", nn.Identity()), *layers])
        if isinstance(layer, nn.Dropout)
    ]
    assert dropped == [("input", 0.2), ("act3", 0.5), ("act6", 0.5)]


def test_batch_norm_takes_the_place_of_the_biases_but_for_the_last() -> None:
    biases = [conv.bias is not None for conv in convolutions(all_cnn_c(width=0.05, batch_norm=True))]
    assert biases == [False] * 8 + [True]


def test_nothing_follows_the_last_convolution_but_the_average() -> None:
    assert [name for name, _ in all_cnn_c(width=0.05).named_children()][-3:] == ["act8", "conv9", "average"]


@pytest.mark.parametrize("activation", ["relu", "elu", "crelu", "silu"])
def test_weights_have_he_s_variance(activation: str) -> None:
    gain = ACTIVATIONS[activation].he_gain()
    for conv in convolutions(all_cnn_c(activation=activation))[1:8]:
        fan_in = conv.in_channels * conv.kernel_size[0] ** 2
        # 36,864 draws and more: the sample's deviation is 0.4 % of itself at most.
        assert conv.weight.std().item() == pytest.approx(gain / fan_in**0.5, rel=0.02)


def test_biases_start_at_zero_and_the_last_layer_has_gain_1() -> None:
    *_, last = convolutions(all_cnn_c(classes=100))
    assert last.weight.std().item() == pytest.approx(last.in_channels**-0.5, rel=0.03)
    assert all(conv.bias is not None and not conv.bias.any() for conv in convolutions(all_cnn_c()))


def test_the_generator_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights(all_cnn_c(width=0.1, seed=3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, weights(all_cnn_c(width=0.1, seed=3)))
    assert not torch.equal(first, weights(all_cnn_c(width=0.1, seed=4)))


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_logits_are_float32_under_bfloat16_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert all_cnn_c(width=0.05)(torch.zeros(1, 3, 32, 32)).dtype == torch.float32


# -- its relatives

# Output channels, kernel, stride of each convolution; P is a pooling (tables 1 and 2 of the paper).
POOLING = "P"
PUBLISHED: dict[str, list[Any]] = {
    "all_cnn_a": [(96, 5, 1), (96, 3, 2), (192, 5, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1), (10, 1, 1)],
    "all_cnn_b": [
        *[(96, 5, 1), (96, 1, 1), (96, 3, 2), (192, 5, 1), (192, 1, 1), (192, 3, 2)],
        *[(192, 3, 1), (192, 1, 1), (10, 1, 1)],
    ],
    "base_cnn_c": [
        *[(96, 3, 1), (96, 3, 1), POOLING, (192, 3, 1), (192, 3, 1), POOLING],
        *[(192, 3, 1), (192, 1, 1), (10, 1, 1)],
    ],
    "strided_cnn_c": [
        *[(96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 2)],
        *[(192, 3, 1), (192, 1, 1), (10, 1, 1)],
    ],
    "convpool_cnn_c": [
        *[(96, 3, 1), (96, 3, 1), (96, 3, 1), POOLING, (192, 3, 1), (192, 3, 1), (192, 3, 1), POOLING],
        *[(192, 3, 1), (192, 1, 1), (10, 1, 1)],
    ],
}
FAMILY = ["all_cnn_c", *PUBLISHED]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_relative_has_the_published_layers(name: str) -> None:
    layers = [each for each in built(name) if isinstance(each, nn.Conv2d | nn.MaxPool2d)]
    found = [
        (each.out_channels, each.kernel_size[0], each.stride[0]) if isinstance(each, nn.Conv2d) else POOLING
        for each in layers
    ]
    assert found == PUBLISHED[name]


def test_what_the_paper_compares_at_equal_size_has_equal_parameters() -> None:
    assert size(built("base_cnn_c")) == size(built("strided_cnn_c")) == 954_730
    for kernel in (2, 3, 5):
        assert size(built("convpool_cnn_c", kernel=kernel)) == size(built("all_cnn_c", kernel=kernel))


def test_the_kernel_is_that_of_what_reduces() -> None:
    assert [conv.kernel_size[0] for conv in convolutions(all_cnn_c(kernel=5))] == [3, 3, 5, 3, 3, 5, 3, 1, 1]
    pools = [each for each in built("base_cnn_c", kernel=2) if isinstance(each, nn.MaxPool2d)]
    assert [pool.kernel_size for pool in pools] == [2, 2]


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("name", FAMILY)
def test_every_kernel_halves_the_map_twice_rounded_up(name: str, kernel: int) -> None:
    before_average = built(name, width=0.05, kernel=kernel)[:-1]
    for side, left in ((32, 8), (7, 2), (1, 1)):
        assert before_average(torch.zeros(1, 3, side, side)).shape == (1, 10, left, left)


def test_an_even_kernel_is_padded_with_zeros_at_the_far_ends() -> None:
    layers = dict(built("convpool_cnn_c", width=0.05, kernel=2).named_children())
    assert layers["pad3"](torch.ones(1, 1, 2, 2)).tolist() == [[[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]]


# -- batch norm in evaluation


@pytest.mark.parametrize("name", [*FAMILY, "plain", "resnet"])
def test_batch_statistics_make_an_answer_depend_on_its_company(name: str) -> None:
    pictures = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    answers = {}
    for bn_eval in ("running", "batch"):
        network = built(name, width=0.1, batch_norm=True, bn_eval=bn_eval).eval()
        alone, together = network(pictures[:2]), network(pictures)[:2]
        answers[bn_eval] = (alone - together).abs().max().item() / together.abs().max().item()
    assert answers["running"] < 1e-5
    assert answers["batch"] > 1e-2


def test_batch_statistics_in_evaluation_leave_training_as_it_is() -> None:
    pictures = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    running, batch = (all_cnn_c(width=0.1, batch_norm=True, bn_eval=way) for way in ("running", "batch"))
    assert torch.equal(running.train()(pictures), batch.train()(pictures))
