"""One training's moving parts, and its single steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from study.averaging import Average
from study.batches import Batch, Part, TrainingPart
from study.compiling import Compiled
from study.components.losses import PerExample
from study.components.metrics import of_task, right
from study.components.tasks import Answers, Levels, Task
from study.devices import Precision, autocast
from study.divergence import Monitor, reestimated
from study.own import Step

# Batches of training examples that batch norm is estimated from anew.
REESTIMATION_BATCHES = 20


@dataclass(frozen=True)
class Halfway:
    """Between a step's halves: the batch whose gradients the parameters have, and its mean loss."""

    inputs: Tensor
    targets: Tensor
    loss: Tensor


@dataclass
class Position:
    """Where a training stands.

    ``epoch`` counts from 1; ``batch`` is how many of its batches are done. ``sums`` (3,) float64 are the
    epoch's so far: of the losses and the right answers over its examples, of the gradient norms over its
    steps. ``lr`` is its last step's rate. ``drawn_from`` are the states that the generators of order and
    augmentation had when the epoch began; None where it has not begun. ``reevaluations`` are the gradients
    that optimizers have asked for beyond one a step; ``halfway`` is None between steps.
    """

    sums: Tensor
    epoch: int = 1
    batch: int = 0
    lr: float = math.nan
    drawn_from: dict[str, Tensor] | None = None
    reevaluations: int = 0
    halfway: Halfway | None = None

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
    is each layer's max|activation| at the very first step, where somebody noted it. ``average``, if any,
    is what it is evaluated on in place of its weights; ``step``, if any, makes the loss in place of ours, and
    ``compiled``, if any, is what whole training batches go through.
    """

    task: Task
    levels: Levels
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
    average: Average | None = None
    step: Step | None = None
    compiled: Compiled | None = None

    @property
    def steps(self) -> int:
        """How many optimizer steps are done."""
        return (self.position.epoch - 1) * self.training.steps + self.position.batch

    @property
    def gradient_evaluations(self) -> int:
        """How many gradients these took."""
        return self.steps + self.position.reevaluations


def batches(trial: Trial) -> Iterator[Batch]:
    """The epoch's batches, from the trial's position on; the same ones when asked for again."""
    if trial.position.drawn_from is None:
        trial.position.drawn_from = trial.training.generators()
    trial.training.set_generators(trial.position.drawn_from)
    yield from trial.training.epoch(trial.position.batch)


def forward(trial: Trial, inputs: Tensor, through: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """The model's outputs (b, k), in float32: logits or numbers. ``through`` stands in for the model."""
    with autocast(trial.device, trial.precision):
        outputs: Tensor = (through or trial.model)(inputs)
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
    loss, outputs = backward(trial, inputs, targets)
    trial.position.halfway = Halfway(inputs, targets, loss)
    return Gradient(loss, right_answers(trial, outputs, targets), gradient_norm(trial.parameters))


def backward(trial: Trial, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Add the gradients of a batch's mean loss to the parameters'; the loss and the outputs."""
    compiled = trial.compiled
    if compiled is not None and not compiled.serves(inputs, trial.steps):
        compiled = None
    if trial.step is not None:
        with autocast(trial.device, trial.precision):
            loss, outputs = trial.step(trial.model, inputs, targets)
    else:
        outputs = forward(trial, inputs, compiled)
        loss = trial.loss(outputs, targets).mean()
    with compiled.making("backward") if compiled else nullcontext():
        loss.backward()
    return loss.detach(), outputs.detach()


def right_answers(trial: Trial, outputs: Tensor, targets: Tensor) -> Tensor:
    """Their number, a scalar on the device; 0 in regression, where no answer is."""
    return right(outputs, targets).sum() if trial.task == "classification" else outputs.new_zeros(())


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The 2-norm of all gradients there are, of one device and type: a scalar on the device.

    To the bit what torch.nn.utils.get_total_norm gives, which sorts them by device and type first; in a
    network of small layers that takes as long as the norms.
    """
    gradients = [gradient for each in parameters if (gradient := each.grad) is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


def update(trial: Trial) -> None:
    """The second half: the parameters move, and the position with them."""
    trial.position.lr = float(trial.schedule.get_last_lr()[0])
    trial.optimizer.step(reevaluation(trial))  # type: ignore[arg-type] # a tensor, so that nobody waits
    trial.optimizer.zero_grad(set_to_none=True)
    trial.schedule.step()
    if trial.average is not None:
        trial.average.follow(trial.optimizer, trial.steps)
    trial.position.batch += 1
    trial.position.halfway = None


def reevaluation(trial: Trial) -> Callable[[], Tensor]:
    """What an optimizer calls for the loss and the gradients at the weights as it has set them, on the
    step's batch. Its first call, which all of them make, is for what is known already.
    """
    position, half = trial.position, trial.position.halfway
    assert half is not None, "differentiate is the first half"
    known = [half.loss]

    def loss() -> Tensor:
        if known:
            return known.pop()
        position.reevaluations += 1
        trial.optimizer.zero_grad(set_to_none=True)
        return backward(trial, half.inputs, half.targets)[0]

    return loss


def evaluate(trial: Trial, name: str, spread: float | None = None) -> dict[str, float]:
    """Every metric of the task that the part ``name`` has, in eval mode; the device is waited for once.

    ``spread``: the residuals' standard deviation on training examples, for intervals; None where these are
    the training examples.
    """
    metrics = of_task(trial.task)
    trial.model.eval()
    with torch.inference_mode():
        found = answers(trial, trial.parts[name], spread)
        values = torch.stack([metric.of(found) for metric in metrics.values()]).tolist()
    told = zip(metrics.values(), values, strict=True)
    return {
        f"{name}_{each.name}": value for each, value in told if not (each.undefined and math.isnan(value))
    }


def answers(trial: Trial, part: Part, spread: float | None) -> Answers:
    """What the model, as it is, answers to all of ``part``."""
    outputs, losses = [], []
    for inputs, targets in part:
        outputs.append(forward(trial, inputs))
        losses.append(trial.loss(outputs[-1], targets))
    return Answers(torch.cat(outputs), part.targets, torch.cat(losses), trial.levels, spread, part.features)


@contextmanager
def as_judged(trial: Trial) -> Iterator[None]:
    """Inside, the model is what the trial is evaluated on: where that is the average of its weights, it has
    them, and batch norm's statistics are estimated for them (Izmailov et al. 2018, 1803.05407, section
    3.2). Afterwards it is as before, to the last bit."""
    if trial.average is None:
        yield
        return
    averages = trial.average.of(trial.optimizer, trial.parameters)
    weights = [parameter.detach().clone() for parameter in trial.parameters]
    assign(trial.parameters, averages)
    try:
        with renewed_statistics(trial):
            yield
    finally:
        assign(trial.parameters, weights)


def assign(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


def renewed_statistics(trial: Trial) -> AbstractContextManager[None]:
    """Inside, batch norm's running statistics are estimated anew on evaluated training examples."""
    inputs = (inputs for inputs, _ in itertools.islice(trial.parts["train_eval"], REESTIMATION_BATCHES))
    return reestimated(trial.model, partial(forward, trial), inputs)
