"""The two tasks, and what a model answers to a part of the data: classes' logits, or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Task = Literal["classification", "regression"]

Levels = tuple[float, ...]
"""Of the quantiles that a loss estimates, rising."""


@dataclass(frozen=True)
class Answers:
    """What a model answers to all n examples of a part, with what they are judged by; on one device.

    ``outputs``: (n, classes) logits, or (n, 1) numbers, or (n, len(levels)) quantiles; float32.
    ``targets``: (n,), int64 labels or float32 numbers. ``losses``: (n,), those of the loss that is trained
    on. ``levels``: the quantiles'; empty where the loss estimates a centre. ``spread``: the
    residuals' standard deviation on training examples; None where these are the training examples.
    ``features``: (n, d) float32, as given; None for pictures.
    """

    outputs: Tensor
    targets: Tensor
    losses: Tensor
    levels: Levels = ()
    spread: float | None = None
    features: Tensor | None = None
