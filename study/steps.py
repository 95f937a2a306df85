"""One training's moving parts, and its single steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from study.batches import Batch, Part, TrainingPart
from study.components.losses import PerExample
from study.components.metrics import of_task, right
from study.components.tasks import Answers, Task
from study.devices import Precision, autocast
from study.divergence import Monitor


@dataclass
class Position:
    """Where a training stands.

    ``epoch`` counts from 1; ``batch`` is how many of its batches are done. ``sums`` (3,) float64 are the
    epoch's so far: of the losses and the right answers over its examples, of the gradient norms over its
    steps. ``lr`` is its last step's rate. ``drawn_from`` are the states that the generators of order and
    augmentation had when the epoch began; None where it has not begun.
    """

    sums: Tensor
    epoch: int = 1
    batch: int = 0
    lr: float = math.nan
    drawn_from: dict[str, Tensor] | None = None

    def turn(self) -> None:
        """Go to the next epoch's beginning."""
        self.epoch += 1
        self.batch = 0
        self.lr = math.nan
        self.sums = torch.zeros_like(self.sums)
        self.drawn_from = None


@dataclass(frozen=True)
class Trial:
    """Everything that one training moves.

    ``levels`` are those of the quantiles that the loss estimates (study.components.losses). ``initial``
    is each layer's max|activation| at the very first step, where somebody noted it.
    """

    task: Task
    levels: tuple[float, ...]
    epochs: int
    training: TrainingPart
    parts: Mapping[str, Part]
    device: torch.device
    precision: Precision
    model: nn.Module
    parameters: tuple[nn.Parameter, ...]
    loss: PerExample
    optimizer: Optimizer
    schedule: LRScheduler
    monitor: Monitor
    position: Position
    initial: dict[str, Tensor] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many optimizer steps are done."""
        return (self.position.epoch - 1) * self.training.steps + self.position.batch


def batches(trial: Trial) -> Iterator[Batch]:
    """The epoch's batches, from the trial's position on; the same ones when asked for again."""
    if trial.position.drawn_from is None:
        trial.position.drawn_from = trial.training.generators()
    trial.training.set_generators(trial.position.drawn_from)
    yield from trial.training.epoch(trial.position.batch)


def forward(trial: Trial, inputs: Tensor) -> Tensor:
    """The model's outputs (b, k), in float32: logits or numbers."""
    with autocast(trial.device, trial.precision):
        outputs: Tensor = trial.model(inputs)
    return outputs.float()


@dataclass(frozen=True)
class Gradient:
    """What a step is told by: the batch's mean loss, its right answers (0 in regression), the global
    gradient norm; all scalars on the device."""

    loss: Tensor
    right: Tensor
    norm: Tensor


def differentiate(trial: Trial, inputs: Tensor, targets: Tensor) -> Gradient:
    """The first half of a step: the parameters' gradients on one batch."""
    outputs = forward(trial, inputs)
    loss = trial.loss(outputs, targets).mean()
    loss.backward()
    norm = get_total_norm([p.grad for p in trial.parameters if p.grad is not None])
    return Gradient(loss.detach(), right_answers(trial, outputs.detach(), targets), norm)


def right_answers(trial: Trial, outputs: Tensor, targets: Tensor) -> Tensor:
    """Their number, a scalar on the device; 0 in regression, where no answer is."""
    return right(outputs, targets).sum() if trial.task == "classification" else outputs.new_zeros(())


def update(trial: Trial) -> None:
    """The second half: the parameters move, and the position with them."""
    trial.position.lr = float(trial.schedule.get_last_lr()[0])
    trial.optimizer.step()
    trial.optimizer.zero_grad(set_to_none=True)
    trial.schedule.step()
    trial.position.batch += 1


def evaluate(trial: Trial, name: str, spread: float | None = None) -> dict[str, float]:
    """Every metric of the task on the part ``name``, in eval mode; the device is waited for once.

    ``spread``: the residuals' standard deviation on training examples, for intervals; None where these are
    the training examples.
    """
    metrics = of_task(trial.task)
    trial.model.eval()
    with torch.inference_mode():
        found = answers(trial, trial.parts[name], spread)
        values = torch.stack([metric.of(found) for metric in metrics.values()]).tolist()
    return {f"{name}_{metric}": value for metric, value in zip(metrics, values, strict=True)}


def answers(trial: Trial, part: Part, spread: float | None) -> Answers:
    """What the model, as it is, answers to all of ``part``."""
    outputs, losses = [], []
    for inputs, targets in part:
        outputs.append(forward(trial, inputs))
        losses.append(trial.loss(outputs[-1], targets))
    return Answers(torch.cat(outputs), part.targets, torch.cat(losses), trial.levels, spread, part.features)
