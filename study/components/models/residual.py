"""Plain and residual networks for small pictures (He et al. 2016, 1512.03385, section 4.2)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn import functional

from study.components.activations import Nonlinearity
from study.components.initialisation import he
from study.components.models.parts import (
    BatchNormEvaluation,
    Classifier,
    GlobalAverage,
    Shape,
    Width,
    norm,
    scaled,
)

# Channels at width 1 of the three stages; the second and the third begin with a stride of 2.
STAGES = (16, 32, 64)


def blocks_of(depth: int) -> int:
    """Blocks a stage. A depth counts the first convolution, two in each block, and the dense layer."""
    if (depth - 2) % 6:
        raise ValueError("must be 6n + 2, such as 8, 14, 20, 32, 44, 56 or 110")
    return (depth - 2) // 6


def whole_blocks(depth: int) -> int:
    return 6 * blocks_of(depth) + 2


Depth = Annotated[int, Interval(ge=8, le=1202), AfterValidator(whole_blocks)]


class Shortcut(nn.Module):
    """Option A: the identity, without parameters. Where the map is halved every other pixel stays;
    channels that are new are zero, and those beyond ``channels`` (CReLU's negative halves) are left out.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, : self.channels, :: self.stride, :: self.stride]
        missing = self.channels - x.shape[1]
        return functional.pad(x, (0, 0, 0, 0, 0, missing)) if missing else x


class Block(nn.Module):
    """act(branch(x) + shortcut(x)), or act(branch(x)) where there is no shortcut."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None, act: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut, self.act = branch, shortcut, act

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        out: Tensor = self.act(y if self.shortcut is None else y + self.shortcut(x))
        return out


@dataclass(frozen=True)
class Recipe:
    """What a network's blocks have in common; ``batch_norm`` is None where there is none."""

    activation: Nonlinearity
    generator: torch.Generator
    batch_norm: BatchNormEvaluation | None

    def unit(self, number: int, inputs: int, outputs: int, stride: int = 1) -> OrderedDict[str, nn.Module]:
        """A 3x3 convolution, and batch norm in the place of its bias."""
        conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=self.batch_norm is None, device="meta")
        layers = OrderedDict[str, nn.Module](
            {f"conv{number}": he(conv, self.activation.gain, self.generator)}
        )
        if self.batch_norm is not None:
            layers[f"norm{number}"] = norm(outputs, self.batch_norm)
        return layers


def plain(
    shape: Shape,
    outputs: int,
    activation: Nonlinearity,
    generator: torch.Generator,
    *,
    depth: Depth = 20,
    width: Width = 1.0,
    batch_norm: bool = True,
    bn_eval: BatchNormEvaluation = "running",
) -> nn.Module:
    """``resnet`` without its shortcuts: the same parameters and, by the same generator, the same weights."""
    recipe = Recipe(activation, generator, bn_eval if batch_norm else None)
    return network(shape, outputs, depth, width, recipe)


def resnet(
    shape: Shape,
    outputs: int,
    activation: Nonlinearity,
    generator: torch.Generator,
    *,
    depth: Depth = 20,
    width: Width = 1.0,
    batch_norm: bool = True,
    bn_eval: BatchNormEvaluation = "running",
    zero_init: bool = False,
) -> nn.Module:
    """A convolution, three stages of blocks, a global average and a dense layer.

    0.27, 0.46, 0.66, 0.85 and 1.7 million parameters at depths 20, 32, 44, 56 and 110, 10 classes and
    width 1, which scales the channels. ``batch_norm`` stands behind each convolution and takes the place of
    its bias. With ``zero_init`` every branch begins at zero, so that a block is act of the identity
    (Goyal et al. 2017, 1706.02677, section 5.1): relu(0 + x) = x for what comes from another relu.
    """
    recipe = Recipe(activation, generator, bn_eval if batch_norm else None)
    return network(shape, outputs, depth, width, recipe, shortcuts=True, zero_init=zero_init)


def network(
    shape: Shape,
    outputs: int,
    depth: int,
    width: float,
    recipe: Recipe,
    *,
    shortcuts: bool = False,
    zero_init: bool = False,
) -> nn.Module:
    act, number = recipe.activation, blocks_of(depth)
    channels = scaled(width, STAGES[0])
    layers = recipe.unit(1, shape[2], channels)
    layers["act1"] = act.layer(channels)
    for stage, full_width in enumerate(STAGES, start=1):
        inputs, channels = channels * act.factor, scaled(width, full_width)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for place in range(1, number + 1):
            stride = 2 if stage > 1 and place == 1 else 1
            inside = branch(recipe, inputs, channels, stride, zero_init)
            shortcut = Shortcut(channels, stride) if shortcuts else None
            blocks[f"block{place}"] = Block(inside, shortcut, act.layer(channels))
            inputs = channels * act.factor
        layers[f"stage{stage}"] = nn.Sequential(blocks)
    layers["average"] = GlobalAverage()
    dense = Classifier(channels * act.factor, outputs, device="meta")
    layers["dense"] = he(dense, 1.0, recipe.generator)
    return nn.Sequential(layers)


def branch(recipe: Recipe, inputs: int, channels: int, stride: int, zero: bool) -> nn.Module:
    """Two convolutions with an activation between them; ``zero``: the last scale (or weight) is 0."""
    layers = recipe.unit(1, inputs, channels, stride)
    layers["act1"] = recipe.activation.layer(channels)
    layers |= recipe.unit(2, channels * recipe.activation.factor, channels)
    last = layers["conv2" if recipe.batch_norm is None else "norm2"]
    if zero and isinstance(last, nn.Conv2d | nn.BatchNorm2d):
        nn.init.zeros_(last.weight)
    return nn.Sequential(layers)
