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
from study.components.metrics import METRICS
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

    ``initial`` is each layer's max|activation| at the very first step, where somebody noted it.
    """

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


def forward(trial: Trial, images: Tensor) -> Tensor:
    """The model's logits, in float32."""
    with autocast(trial.device, trial.precision):
        logits: Tensor = trial.model(images)
    return logits.float()


@dataclass(frozen=True)
class Gradient:
    """What a step is told by: the batch's mean loss, its right answers, the global gradient norm; all
    scalars on the device."""

    loss: Tensor
    right: Tensor
    norm: Tensor


def differentiate(trial: Trial, images: Tensor, labels: Tensor) -> Gradient:
    """The first half of a step: the parameters' gradients on one batch."""
    logits = forward(trial, images)
    loss = trial.loss(logits, labels).mean()
    loss.backward()
    norm = get_total_norm([p.grad for p in trial.parameters if p.grad is not None])
    return Gradient(loss.detach(), METRICS["accuracy"].of(logits.detach(), labels).sum(), norm)


def update(trial: Trial) -> None:
    """The second half: the parameters move, and the position with them."""
    trial.position.lr = float(trial.schedule.get_last_lr()[0])
    trial.optimizer.step()
    trial.optimizer.zero_grad(set_to_none=True)
    trial.schedule.step()
    trial.position.batch += 1


def evaluate(trial: Trial, name: str) -> dict[str, float]:
    """Every metric's mean over the part ``name``, in eval mode; the device is waited for once."""
    part = trial.parts[name]
    sums = torch.zeros(len(METRICS), dtype=torch.float64, device=trial.device)
    trial.model.eval()
    with torch.inference_mode():
        for images, labels in part:
            logits = forward(trial, images)
            sums += torch.stack([metric.of(logits, labels).sum() for metric in METRICS.values()])
    means = (sums / len(part.index)).tolist()
    return {f"{name}_{metric}": mean for metric, mean in zip(METRICS, means, strict=True)}
