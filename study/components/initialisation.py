"""How weights are drawn."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def he(layer: Layer, gain: float, generator: torch.Generator) -> Layer:
    """``layer``, made on the meta device, with weights ~ N(0, gain^2 / fan_in) and zero bias
    (He et al. 2015, eq. 10). On the meta device torch's own initialisation draws no numbers.
    """
    layer = layer.to_empty(device="cpu")
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in), generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
