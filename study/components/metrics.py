"""Evaluation metrics, their directions, and what a diverged trial scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from study.components.losses import entropy, label_shares
from study.errors import UnknownName, shorten
from study.registry import Registry, nearest

Direction = Literal["maximize", "minimize"]
SPLITS = ("train_eval", "val", "test")


@dataclass(frozen=True)
class Metric:
    """A table entry: ``of(logits (n, classes), labels (n,))`` is one value an example, (n,).

    ``worst(labels)`` is what a trial that diverged scores on these labels: a finite number, that
    of the best constant prediction. Any labels with the right class shares do: ``range(K)`` stands
    for K balanced classes. No metric depends on a hyperparameter.
    """

    name: str
    direction: Direction
    of: Callable[[Tensor, Tensor], Tensor]
    worst: Callable[[ArrayLike], float]


def metric(name: str) -> tuple[str, Metric]:
    """The split and the metric of a full name such as ``val_accuracy``; raises UnknownName."""
    split, _, short = name.rpartition("_")
    if split not in SPLITS or short not in METRICS:
        raise UnknownName(f"unknown metric {shorten(name)}; {nearest(name, full_names())}")
    return split, METRICS[short]


def full_names() -> tuple[str, ...]:
    """Every ``{split}_{metric}``."""
    return tuple(f"{split}_{short}" for split in SPLITS for short in METRICS)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the largest logit is the label's, else 0."""
    return (logits.argmax(dim=1) == labels).float()


def error(logits: Tensor, labels: Tensor) -> Tensor:
    return 1 - accuracy(logits, labels)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax(logits)[label] in nats, whatever the loss that is trained on."""
    return functional.cross_entropy(logits, labels, reduction="none")


def chance(labels: ArrayLike) -> float:
    """The accuracy of always naming the most frequent class: 1/K for K balanced classes."""
    return float(label_shares(labels).max())


METRICS: Registry[Metric] = Registry(
    "metric",
    accuracy=Metric("accuracy", "maximize", accuracy, worst=chance),
    error=Metric("error", "minimize", error, worst=lambda labels: 1 - chance(labels)),
    loss=Metric("loss", "minimize", cross_entropy, worst=entropy),
)
