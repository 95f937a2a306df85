"""The all-convolutional family of Springenberg et al. 2015 (1412.6806), with and without pooling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Interval
from torch import nn

from study.components.activations import Nonlinearity
from study.components.initialisation import he
from study.components.models.parts import (
    BatchNormEvaluation,
    GlobalAverage,
    Model,
    Shape,
    Width,
    norm,
    scaled,
)
from study.errors import StudyError


@dataclass(frozen=True)
class Conv:
    """A convolution with its activation; ``channels`` are its outputs at width 1."""

    channels: int
    kernel: int
    stride: int = 1


@dataclass(frozen=True)
class Pool:
    """Max pooling with stride 2."""

    kernel: int


Stage = tuple[Conv, ...]
Plan = tuple[Conv | Pool, ...]
Reduction = Callable[[Stage, int], Plan]
"""A stage of convolutions and a kernel's side -> the stage with its map halved at the end."""


# Table 1 of the paper: what stands before each of the two reductions in the base models A, B and C.
BASE_A = ((Conv(96, 5),), (Conv(192, 5),))
BASE_B = ((Conv(96, 5), Conv(96, 1)), (Conv(192, 5), Conv(192, 1)))
BASE_C = ((Conv(96, 3), Conv(96, 3)), (Conv(192, 3), Conv(192, 3)))
# What follows them, but for the last convolution, which has an output a class.
TAIL = (Conv(192, 3), Conv(192, 1))


def pooled(stage: Stage, kernel: int) -> Plan:
    """The base models: max pooling."""
    return (*stage, Pool(kernel))


def strided(stage: Stage, kernel: int) -> Plan:
    """Strided-CNN: no pooling; the stage's last convolution makes the steps."""
    return (*stage[:-1], replace(stage[-1], kernel=kernel, stride=2))


def convolved_and_pooled(stage: Stage, kernel: int) -> Plan:
    """ConvPool-CNN: one more convolution before the pooling, so that it has All-CNN's parameters."""
    return (*stage, Conv(stage[-1].channels, kernel), Pool(kernel))


def convolved(stage: Stage, kernel: int) -> Plan:
    """All-CNN: a convolution with stride 2 in the place of the pooling."""
    return (*stage, Conv(stage[-1].channels, kernel, stride=2))


def minimum_size(*, pad7: bool = True, **others: object) -> int:
    """Two reductions leave a quarter (rounded up); the unpadded 3x3 convolution needs 3 pixels of it."""
    return 1 if pad7 else 9


def family(name: str, stages: tuple[Stage, Stage], reduction: Reduction) -> Model:
    """The table entry of one member."""

    def build(
        shape: Shape,
        outputs: int,
        activation: Nonlinearity,
        generator: torch.Generator,
        *,
        width: Width = 1.0,
        batch_norm: bool = False,
        bn_eval: BatchNormEvaluation = "running",
        dropout: bool = False,
        pad7: bool = True,
        kernel: Annotated[int, Interval(ge=2, le=7)] = 3,
    ) -> nn.Module:
        """Convolutions and a global average.

        ``width`` scales the channels. ``batch_norm`` stands between each convolution but the last and its
        activation, and takes the place of their biases; ``bn_eval``: see study.components.models.parts.norm.
        ``dropout`` is the paper's: 0.2 of the input, 0.5 after each reduction. ``kernel`` is the side of what
        reduces: the pooling, the convolution of stride 2, or both where one stands before the other.
        ``pad7=False`` leaves the first convolution behind the reductions (ALL-CNN-C's seventh) unpadded, as
        published; padded, small pictures fit too. The last convolution has no activation, unlike the
        paper's tables and like most re-implementations: the loss needs logits of both signs. CReLU leaves
        the convolutions' output channels as they are and doubles the input of the next one.

        Raises StudyError where the picture is too small.
        """
        check_size(name, shape, pad7)
        recipe = Recipe(activation, generator, width, bn_eval if batch_norm else None, pad7)
        plans = (*(reduction(stage, kernel) for stage in stages), TAIL)
        return network(plans, shape[2], outputs, recipe, dropout)

    return Model(build, minimum_size)


def check_size(name: str, shape: Shape, pad7: bool) -> None:
    height, breadth = shape[:2]
    need = minimum_size(pad7=pad7)
    if min(height, breadth) < need:
        raise StudyError(
            f"model {name}: with pad7=false pictures must be at least {need}x{need}, "
            f"not {height}x{breadth}; set model.pad7 = true"
        )


@dataclass(frozen=True)
class Recipe:
    """What a network's convolutions have in common; ``batch_norm`` is None where there is none."""

    activation: Nonlinearity
    generator: torch.Generator
    width: float
    batch_norm: BatchNormEvaluation | None
    pad7: bool


def network(plans: tuple[Plan, ...], channels: int, outputs: int, recipe: Recipe, dropout: bool) -> nn.Module:
    """Layers are numbered by their convolutions: conv3 and act3, and dropout3 behind them."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if dropout:
        layers["dropout0"] = nn.Dropout(0.2)
    number = 0
    for plan in plans:
        for part in plan:
            if isinstance(part, Pool):
                layers[f"pool{number}"] = max_pool(part.kernel)
                continue
            number += 1
            layers |= unit(number, channels, part, recipe)
            channels = scaled(recipe.width, part.channels) * recipe.activation.factor
        if dropout and plan is not TAIL:
            layers[f"dropout{number}"] = nn.Dropout(0.5)
    last = nn.Conv2d(channels, outputs, 1, device="meta")
    layers[f"conv{number + 1}"] = he(last, 1.0, recipe.generator)
    layers["average"] = GlobalAverage()
    return nn.Sequential(layers)


def unit(number: int, inputs: int, part: Conv, recipe: Recipe) -> OrderedDict[str, nn.Module]:
    """A convolution with its padding, its batch norm and its activation."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = scaled(recipe.width, part.channels)
    padded = recipe.pad7 or part is not TAIL[0]
    if padded and part.kernel % 2 == 0:
        layers[f"pad{number}"] = even_padding(part.kernel)
    padding = part.kernel // 2 if padded and part.kernel % 2 else 0
    bias = recipe.batch_norm is None
    conv = nn.Conv2d(inputs, channels, part.kernel, part.stride, padding, bias=bias, device="meta")
    layers[f"conv{number}"] = he(conv, recipe.activation.gain, recipe.generator)
    if recipe.batch_norm is not None:
        layers[f"norm{number}"] = norm(channels, recipe.batch_norm)
    layers[f"act{number}"] = recipe.activation.layer(channels)
    return layers


# Padding is such that a stride of 1 keeps a picture's side, and 2 leaves half of it, rounded up.


def even_padding(kernel: int) -> nn.Module:
    """An even kernel needs one row and column more behind the picture than before it."""
    before, behind = (kernel - 1) // 2, kernel // 2
    return nn.ZeroPad2d((before, behind, before, behind))


def max_pool(kernel: int) -> nn.Module:
    return nn.MaxPool2d(kernel, stride=2, padding=(kernel - 1) // 2, ceil_mode=kernel % 2 == 0)
