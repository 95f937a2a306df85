"""Training losses, each with the loss of the best constant predictor as its scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn

from study.registry import Registry

PerExample = Callable[[Tensor, Tensor], Tensor]
"""(logits (n, classes), labels (n,)) -> one loss an example, (n,)."""


@dataclass(frozen=True)
class Loss:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``best_constant(labels)`` is the least mean loss that a predictor blind to its input can have
    on these labels: the unit in which a training loss is large or small.
    """

    build: Callable[..., PerExample]
    best_constant: Callable[[ArrayLike], float]


def label_shares(labels: ArrayLike) -> np.ndarray:
    """The share of each class that occurs in ``labels`` (n,), in the order of the classes."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    shares: np.ndarray = counts / counts.sum()
    return shares


def entropy(labels: ArrayLike) -> float:
    """The entropy of the label shares in nats: ln K for K classes of equal share."""
    shares = label_shares(labels)
    return float(-(shares * np.log(shares)).sum())


def cross_entropy() -> PerExample:
    """-log softmax(logits)[label], in nats."""
    return nn.CrossEntropyLoss(reduction="none")


LOSSES: Registry[Loss] = Registry(
    "loss",
    cross_entropy=Loss(cross_entropy, best_constant=entropy),
)
