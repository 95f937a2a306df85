"""The average of its weights that a trial is evaluated on, where it is not the weights themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

# The names that averages of a parameter go by in optimizers' states: ours, and torch.optim.ASGD's.
EMA = "ema"
AVERAGES = (EMA, "ax")


@dataclass(frozen=True)
class Average:
    """An average of each parameter, in the optimizer's state for it under ``name``; so whatever keeps the
    optimizer keeps the average too.

    The optimizer makes it itself, or, where there is a ``decay``, ``follow`` does: an exponential moving
    average, over no more than the last tenth of the steps, for the decay after step t (from 0) is at most
    (1 + t) / (10 + t), as in TensorFlow's ExponentialMovingAverage. It starts at the weights after the
    first step.
    """

    name: str
    decay: float | None = None

    def follow(self, optimizer: Optimizer, step: int) -> None:
        """Take in the weights after step number ``step``, counted from 0."""
        if self.decay is None:
            return
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for parameter in parameters:
            state, now = optimizer.state[parameter], parameter.detach()
            state[self.name] = now.clone() if step == 0 else state[self.name].lerp_(now, weight)

    def of(self, optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """The parameters' averages; after the first step."""
        return [optimizer.state[parameter][self.name] for parameter in parameters]
