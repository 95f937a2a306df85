"""Networks of fully connected layers, on vectors and on pictures, whose pixels they see as a vector."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Annotated

import torch
from annotated_types import Interval
from torch import nn

from study.components.activations import Nonlinearity
from study.components.initialisation import he


def linear(
    shape: tuple[int, ...], outputs: int, activation: Nonlinearity, generator: torch.Generator
) -> nn.Module:
    """One affine map, without an activation: the linear, the logistic or the softmax regression."""
    layer = he(nn.Linear(math.prod(shape), outputs, device="meta"), 1.0, generator)
    return nn.Sequential(OrderedDict(flat=nn.Flatten(), linear1=layer))


def mlp(
    shape: tuple[int, ...],
    outputs: int,
    activation: Nonlinearity,
    generator: torch.Generator,
    *,
    width: Annotated[int, Interval(ge=1, le=65_536)] = 128,
    depth: Annotated[int, Interval(ge=1, le=100)] = 2,
    batch_norm: bool = False,
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
) -> nn.Module:
    """``depth`` hidden layers of ``width`` units, and an affine map to the outputs.

    ``batch_norm`` stands between each hidden layer and its activation, and takes the place of its bias;
    ``dropout`` is the share of units that are dropped after each activation.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flat=nn.Flatten())
    inputs = math.prod(shape)
    for i in range(1, depth + 1):
        layer = nn.Linear(inputs, width, bias=not batch_norm, device="meta")
        layers[f"linear{i}"] = he(layer, activation.gain, generator)
        if batch_norm:
            layers[f"norm{i}"] = nn.BatchNorm1d(width)
        layers[f"act{i}"] = activation.layer(width)
        if dropout:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        inputs = width * activation.factor
    layers[f"linear{depth + 1}"] = he(nn.Linear(inputs, outputs, device="meta"), 1.0, generator)
    return nn.Sequential(layers)


def any_size(**arguments: object) -> int:
    """The smallest picture side that they can see."""
    return 1


def mlp_hidden_weights(*, depth: int = 2, **others: object) -> bool:
    """Whether there are any between the first hidden layer's and the outputs'."""
    return depth > 1


def no_hidden_weights(**arguments: object) -> bool:
    return False
