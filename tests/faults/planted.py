"""Activations that break in a way that is known: which layer, at which step, how."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType

import torch
from torch import Tensor, nn

# The toy network has as many channels from its fourth layer on.
CHANNELS = 12
FIRST_LAYER = "act4"

Fault = Callable[[Tensor], Tensor]


class Planted(nn.Module):
    """ReLU and, where there are CHANNELS channels, from training step ``begin`` to ``end`` ``fault`` of it.

    The step is a buffer, so that a replay finds it as it was.
    """

    step: Tensor

    def __init__(self, fault: Fault, begin: int, end: int, channels: int) -> None:
        super().__init__()
        self.fault, self.begin, self.end, self.channels = fault, begin, end, channels
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.step += 1
        x = x.relu()
        due = self.channels == CHANNELS and self.begin <= int(self.step) - 1 < self.end
        return self.fault(x) if due else x


def explode(x: Tensor) -> Tensor:
    return 300 * x


def divide_zero_by_zero(x: Tensor) -> Tensor:
    return (x * 0) / 0


def die(x: Tensor) -> Tensor:
    return x * 0


def confuse(x: Tensor) -> Tensor:
    """The channels in another order, which the weights cannot learn from."""
    return x + (x.flip(1) - x).detach()


def hang(x: Tensor) -> Tensor:
    time.sleep(3600)
    return x


def crash(x: Tensor) -> Tensor:
    raise RuntimeError("planted")


def plant(activations: ModuleType) -> None:
    """Add them to the table of the module study.components.activations."""
    gain = activations.ACTIVATIONS["relu"].gain
    for name, (fault, begin, end) in FAULTS.items():
        build = partial(_build, fault, begin, end)
        activations.ACTIVATIONS[name] = activations.Activation(build, gain)


def _build(fault: Fault, begin: int, end: int, channels: int) -> nn.Module:
    return Planted(fault, begin, end, channels)


FOREVER = 10**9
FAULTS: dict[str, tuple[Fault, int, int]] = {
    "explodes": (explode, 30, FOREVER),
    "nan": (divide_zero_by_zero, 4, FOREVER),
    "dies": (die, 120, FOREVER),
    "spikes": (confuse, 150, 152),
    "hangs": (hang, 50, FOREVER),
    "crashes": (crash, 50, FOREVER),
}
