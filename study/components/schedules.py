"""Learning-rate schedules: a factor on the learning rate, set before every optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from study.registry import Registry


@dataclass(frozen=True)
class Schedule:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``build(optimizer, steps, **arguments)`` makes a scheduler over ``steps`` optimizer steps, to be
    stepped after each of them.
    """

    build: Callable[..., LRScheduler]


def constant(optimizer: Optimizer, steps: int) -> LRScheduler:
    """The learning rate as it is."""
    return LambdaLR(optimizer, lambda step: 1.0)


def cosine(
    optimizer: Optimizer, steps: int, *, final: Annotated[float, Interval(ge=0, le=1)] = 0.0
) -> LRScheduler:
    """Half a cosine from the learning rate down to ``final`` times it (Loshchilov & Hutter 2017, eq. 5)."""
    return LambdaLR(
        optimizer, lambda step: final + (1 - final) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2
    )


def step(
    optimizer: Optimizer,
    steps: int,
    *,
    factor: Annotated[float, Interval(gt=0, le=1)] = 0.1,
    drops: Annotated[int, Interval(ge=1, le=100)] = 3,
    first: Annotated[float, Interval(gt=0, lt=1)] = 4 / 7,
) -> LRScheduler:
    """Times ``factor`` at each of ``drops`` moments, evenly spaced from ``first`` (a share of the
    training) to its end. The defaults are ALL-CNN's: at 200, 250 and 300 of 350 epochs.
    """
    shares = [first + (1 - first) * drop / drops for drop in range(drops)]
    moments = [round(share * steps) for share in shares]
    return LambdaLR(optimizer, lambda done: factor ** sum(done >= moment for moment in moments))


SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    constant=Schedule(constant),
    cosine=Schedule(cosine),
    step=Schedule(step),
)
