"""Training losses, each with the loss of the best constant predictor as its scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor, nn

from study.components.tasks import Task
from study.registry import Registry
from study.space import Scalar

PerExample = Callable[[Tensor, Tensor], Tensor]
"""(outputs (n, k), targets (n,)) -> one loss an example, (n,): logits and int64 labels, or float32 numbers
and float32 targets."""


def no_levels(**arguments: object) -> tuple[float, ...]:
    return ()


@dataclass(frozen=True)
class Loss:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``best_constant(targets, **arguments)`` is the least mean loss that a predictor blind to its input can
    have on these targets: the unit in which a training loss is large or small. ``levels(**arguments)``
    are those of the quantiles that it estimates, rising, one output each; empty where it estimates a
    centre, with one output (or classes).
    """

    task: Task
    build: Callable[..., PerExample]
    best_constant: Callable[..., float]
    levels: Callable[..., tuple[float, ...]] = no_levels


def chosen_loss(hyperparameters: Mapping[str, Scalar], task: Task) -> tuple[Loss, dict[str, Any]]:
    """The table's entry and its arguments; where none is named, the task's own."""
    keys = [key for key in hyperparameters if key.startswith("loss.")]
    arguments = {key.removeprefix("loss."): hyperparameters[key] for key in keys}
    return LOSSES[str(arguments.pop("name", DEFAULT_LOSSES[task]))], arguments


# -- classification


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


def naive_cross_entropy() -> PerExample:
    """The same as the textbook writes it, exp and division and log one after another in float32. Broken:
    exp overflows above 88.7, so that a logit of 89 makes Inf / Inf = NaN, and log 0 = -Inf where the
    label's logit lies 104 below another. It is here to be compared with ``cross_entropy``, which subtracts
    the largest logit first and is finite for every finite logit.
    """

    def losses(logits: Tensor, labels: Tensor) -> Tensor:
        exponentials = logits.exp()
        shares = exponentials / exponentials.sum(dim=1, keepdim=True)
        return -shares.gather(1, labels.unsqueeze(1)).squeeze(1).log()

    return losses


# -- regression: of the residual e = target - output


def mse() -> PerExample:
    """e^2; least at the mean."""
    return lambda outputs, targets: (targets - outputs.squeeze(1)).square()


def mean_absolute() -> PerExample:
    """|e|; least at the median."""
    return lambda outputs, targets: (targets - outputs.squeeze(1)).abs()


def variance(targets: ArrayLike) -> float:
    return float(np.var(np.asarray(targets, np.float64)))


def mean_deviation(targets: ArrayLike) -> float:
    """The mean distance from the median."""
    values = np.asarray(targets, np.float64)
    return float(np.abs(values - np.median(values)).mean())


# Where a study names none.
DEFAULT_LOSSES: dict[Task, str] = {"classification": "cross_entropy", "regression": "mse"}

LOSSES: Registry[Loss] = Registry(
    "loss",
    cross_entropy=Loss("classification", cross_entropy, best_constant=entropy),
    naive_cross_entropy=Loss("classification", naive_cross_entropy, best_constant=entropy),
    mse=Loss("regression", mse, best_constant=variance),
    mae=Loss("regression", mean_absolute, best_constant=mean_deviation),
)
