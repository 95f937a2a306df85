"""Evaluation metrics, their directions, and what a diverged trial scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from study.components import regression
from study.components.losses import entropy, label_shares, mean_distance, variance
from study.components.tasks import Answers, Levels, Task
from study.errors import UnknownName, shorten
from study.registry import Registry, nearest

Direction = Literal["maximize", "minimize"]

# A clean split has the same inputs, and targets without noise.
SPLITS = ("train_eval", "val", "val_clean", "test", "test_clean")

# Float32 numbers are added up so many at a time, and their sums in float64: as many as are evaluated at
# once, so that the numbers of older records can be made again to the last bit.
ADDED_AT_ONCE = {"cpu": 125, "cuda": 1000}


def no_worst(targets: ArrayLike, levels: Levels = ()) -> float | None:
    return None


@dataclass(frozen=True)
class Metric:
    """A table entry: ``of(answers)`` is one number of a whole part, a float64 scalar on the device.

    ``tasks`` are those in which it means something. ``direction`` is None of what says nothing of good or
    bad: it is told, and nothing is tuned by it. ``worst(targets)`` is what a trial that diverged scores on
    these targets: that of the best constant prediction; None where nothing can be said. Any labels with the
    right class shares do: ``range(K)`` stands for K balanced classes. ``undefined`` says when a part does
    not have it; it is NaN then, and left out. ``of_levels``: it is of the quantiles that the loss
    estimates, and ``worst`` takes their ``levels`` too. No other depends on a hyperparameter, but for the
    regression's ``loss``.
    """

    name: str
    tasks: tuple[Task, ...]
    of: Callable[[Answers], Tensor]
    direction: Direction | None = None
    worst: Callable[..., float | None] = no_worst
    undefined: str = ""
    of_levels: bool = False

    def worst_on(self, targets: ArrayLike, levels: Levels = ()) -> float | None:
        """``worst`` of a trial whose loss estimates quantiles at ``levels``."""
        return self.worst(targets, levels) if self.of_levels else self.worst(targets)


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
        if "regression" in METRICS[short].tasks or not split.endswith("_clean")
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


CLASSES: tuple[Task, ...] = ("classification",)
NUMBERS: tuple[Task, ...] = ("regression",)

of_numbers = partial(Metric, tasks=NUMBERS)
of_intervals = partial(Metric, tasks=NUMBERS, undefined="a single quantile makes no interval", of_levels=True)
of_deciles = partial(of_intervals, undefined="it takes vectors, and a loss that makes an interval")

METRICS: Registry[Metric] = Registry(
    "metric",
    accuracy=Metric("accuracy", CLASSES, accuracy, "maximize", chance),
    error=Metric("error", CLASSES, error, "minimize", lambda labels: 1 - chance(labels)),
    loss=Metric("loss", CLASSES + NUMBERS, loss, "minimize", entropy),
    mse=of_numbers("mse", of=regression.mse, direction="minimize", worst=variance),
    rmse=of_numbers("rmse", of=regression.rmse, direction="minimize", worst=lambda y: variance(y) ** 0.5),
    mae=of_numbers("mae", of=regression.mae, direction="minimize", worst=mean_distance),
    r2=of_numbers(
        "r2",
        of=regression.r2,
        direction="maximize",
        worst=lambda targets: 0.0,
        undefined="all targets are the same",
    ),
    mape=of_numbers(
        "mape",
        of=regression.mape,
        direction="minimize",
        worst=regression.worst_mape,
        undefined="a target is 0, by which it would divide",
    ),
    bias=of_numbers("bias", of=regression.bias),
    below=of_numbers("below", of=regression.below),
    pinball=Metric(
        "pinball", NUMBERS, regression.pinball, "minimize", regression.worst_pinball, of_levels=True
    ),
    below_lowest=Metric("below_lowest", NUMBERS, regression.below_lowest, of_levels=True),
    below_highest=Metric("below_highest", NUMBERS, regression.below_highest, of_levels=True),
    coverage=of_intervals("coverage", of=regression.coverage),
    coverage_error=of_intervals(
        "coverage_error",
        of=regression.coverage_error,
        direction="minimize",
        worst=lambda targets, levels: regression.nominal(levels),
    ),
    width=of_intervals("width", of=regression.width),
    crossing=of_intervals(
        "crossing", of=regression.crossing, direction="minimize", worst=lambda targets, levels: 1.0
    ),
    decile_spread=of_deciles(
        "decile_spread",
        of=regression.decile_spread,
        direction="minimize",
        worst=lambda targets, levels: 1.0,
    ),
    **{
        f"coverage_decile{number}": of_deciles(
            f"coverage_decile{number}", of=partial(regression.decile_coverage, number=number)
        )
        for number in range(1, regression.DECILES + 1)
    },
)
