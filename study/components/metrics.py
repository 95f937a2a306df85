"""Evaluation metrics, their directions, and what a diverged trial scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from study.components.losses import entropy, label_shares, mean_deviation, variance
from study.components.tasks import Answers, Task
from study.errors import UnknownName, shorten
from study.registry import Registry, nearest

Direction = Literal["maximize", "minimize"]

# A clean split has the same inputs, and targets without noise.
SPLITS = ("train_eval", "val", "val_clean", "test", "test_clean")

# Float32 numbers are added up so many at a time, and their sums in float64.
ADDED_AT_ONCE = {"cpu": 125, "cuda": 1000}


@dataclass(frozen=True)
class Metric:
    """A table entry: ``of(answers)`` is one number of a whole part, a float64 scalar on the device.

    ``worst(targets)`` is what a trial that diverged scores on these targets: a finite number, that of the
    best constant prediction. Any labels with the right class shares do: ``range(K)`` stands for K balanced
    classes. ``tasks`` are those in which it means something. No metric but the regression's ``loss``
    depends on a hyperparameter.
    """

    name: str
    direction: Direction
    tasks: tuple[Task, ...]
    of: Callable[[Answers], Tensor]
    worst: Callable[[ArrayLike], float]


def metric(name: str) -> tuple[str, Metric]:
    """The split and the metric of a full name such as ``val_accuracy``; raises UnknownName."""
    for split in sorted(SPLITS, key=len, reverse=True):
        short = name.removeprefix(f"{split}_")
        if short != name and short in METRICS:
            return split, METRICS[short]
    raise UnknownName(f"unknown metric {shorten(name)}; {nearest(name, full_names())}")


def full_names() -> tuple[str, ...]:
    """Every ``{split}_{metric}``."""
    return tuple(
        f"{split}_{short}"
        for split in SPLITS
        for short in METRICS.names()
        if not split.endswith("_clean") or "regression" in METRICS[short].tasks
    )


def of_task(task: Task) -> dict[str, Metric]:
    """The metrics that mean something in a task, those of installed packages too."""
    return {name: METRICS[name] for name in METRICS.names() if task in METRICS[name].tasks}


def mean(values: Tensor) -> Tensor:
    """The mean of ``values`` (n,), in float64."""
    total = torch.zeros((), dtype=torch.float64, device=values.device)
    for some in values.split(ADDED_AT_ONCE[values.device.type]):
        total += some.sum()
    return total / len(values)


# -- classification


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the largest logit is the label's, else 0; (n,)."""
    return (logits.argmax(dim=1) == labels).float()


def accuracy(answers: Answers) -> Tensor:
    return mean(right(answers.outputs, answers.targets))


def error(answers: Answers) -> Tensor:
    return mean(1 - right(answers.outputs, answers.targets))


def loss(answers: Answers) -> Tensor:
    """Of labels, the cross-entropy -log softmax(logits)[label] in nats, whatever the loss that is trained
    on; of numbers, that loss itself."""
    if answers.targets.is_floating_point():
        return mean(answers.losses)
    return mean(functional.cross_entropy(answers.outputs, answers.targets, reduction="none"))


def chance(labels: ArrayLike) -> float:
    """The accuracy of always naming the most frequent class: 1/K for K balanced classes."""
    return float(label_shares(labels).max())


# -- regression


def residuals(answers: Answers) -> Tensor:
    """Target minus point prediction, (n,), in float64."""
    return answers.targets.double() - answers.outputs.double().quantile(0.5, dim=1)


def mse(answers: Answers) -> Tensor:
    return residuals(answers).square().mean()


def rmse(answers: Answers) -> Tensor:
    return mse(answers).sqrt()


def mae(answers: Answers) -> Tensor:
    return residuals(answers).abs().mean()


CLASSIFICATION: tuple[Task, ...] = ("classification",)
REGRESSION: tuple[Task, ...] = ("regression",)

METRICS: Registry[Metric] = Registry(
    "metric",
    accuracy=Metric("accuracy", "maximize", CLASSIFICATION, accuracy, worst=chance),
    error=Metric("error", "minimize", CLASSIFICATION, error, worst=lambda labels: 1 - chance(labels)),
    loss=Metric("loss", "minimize", CLASSIFICATION + REGRESSION, loss, worst=entropy),
    mse=Metric("mse", "minimize", REGRESSION, mse, worst=variance),
    rmse=Metric("rmse", "minimize", REGRESSION, rmse, worst=lambda targets: math.sqrt(variance(targets))),
    mae=Metric("mae", "minimize", REGRESSION, mae, worst=mean_deviation),
)
