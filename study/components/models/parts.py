"""What convolutional networks are put together from, and the entry of their table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, ...]
"""Height, width and channels of a picture; or the length of a vector."""

Width = Annotated[float, Interval(gt=0, le=8)]
"""A factor on the published numbers of channels."""

BatchNormEvaluation = Literal["running", "batch"]
"""What batch norm normalises with in evaluation."""


def always(**arguments: object) -> bool:
    return True


@dataclass(frozen=True)
class Model:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``build(shape, outputs, activation, generator, **arguments)`` makes an initialised network
    (n, c, h, w) -> (n, outputs); the generator is the only source of chance. ``minimum_size(**arguments)``
    is the smallest picture side, in pixels, that it can see; ``hidden_weights(**arguments)``, whether there
    are weights between its first and its last layer. ``vectors``: it takes (n, features) too.
    ``sparse_gradients``: its gradients are (of embeddings that ask for it), none of them is dense.
    """

    build: Callable[..., nn.Module]
    minimum_size: Callable[..., int]
    vectors: bool = False
    hidden_weights: Callable[..., bool] = always
    sparse_gradients: bool = False


def scaled(width: float, channels: int) -> int:
    """So many of the published channels, rounded, and at least one."""
    return max(1, round(width * channels))


def norm(channels: int, evaluation: BatchNormEvaluation) -> nn.BatchNorm2d:
    """Batch norm. ``running`` normalises in evaluation with the running statistics of training, as
    published (Ioffe & Szegedy 2015, 1502.03167, algorithm 2); ``batch`` with the evaluated batch's own,
    so that an answer depends on the pictures beside it. Training is the same with both.
    """
    return nn.BatchNorm2d(channels, track_running_stats=evaluation == "running")


class GlobalAverage(nn.Module):
    """The mean over the picture in float32, (n, c, h, w) -> (n, c).

    Not AdaptiveAvgPool2d: its gradient is not deterministic on CUDA.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), dtype=torch.float32)


class Classifier(nn.Linear):
    """A dense layer that gives its logits in float32, under autocast too."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return functional.linear(x.to(self.weight.dtype), self.weight, self.bias)
