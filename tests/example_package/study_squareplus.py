"""Squareplus: a smooth ReLU without exponentials, (x + sqrt(x^2 + b)) / 2 (Barron 2021, 2112.11687, eq. 1).

All that a package needs to add an activation: a function that builds the layer, the gain of its
initialisation, and the entry. The entry point in pyproject.toml names the entry.
"""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from study.components.activations import Activation


class Squareplus(nn.Module):
    def __init__(self, b: float) -> None:
        super().__init__()
        self.b = b

    def forward(self, x: Tensor) -> Tensor:
        return (x + (x.square() + self.b).sqrt()) / 2


# Keyword-only arguments are hyperparameters: activation.b can be compared, tuned or held, within its limits.
def squareplus(channels: int, *, b: Annotated[float, Ge(0)] = 4.0) -> nn.Module:
    return Squareplus(b)


def gain(b: float = 4.0) -> float:
    """1 / sqrt(E[f(z)^2]) for a standard normal z: the square is (2 z^2 + b) / 4 and an odd rest."""
    return 2 / math.sqrt(2 + b)


SQUAREPLUS = Activation(squareplus, gain)
