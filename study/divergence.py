"""The divergence monitor: stops a training at the first number that is not finite.

Three lines in any loop:

    monitor = Monitor()
    ...
        loss.backward()
        if verdict := monitor.step(loss, get_total_norm([p.grad for p in model.parameters()])):
            break
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from study.trial import Verdict, finite_or_none

LATE_STEPS = 2


class Arrival(Protocol):
    """A device's event: torch.cuda.Event, torch.cpu.Event (which is always there)."""

    def query(self) -> bool: ...
    def synchronize(self) -> None: ...


@dataclass(frozen=True)
class Reading:
    """One step's loss and gradient norm on their way to the host; there once ``arrival`` is."""

    step: int
    values: Tensor
    arrival: Arrival


class Monitor:
    """Watches the loss and the global gradient norm, from the first step on, without a device sync.

    Growth to infinity is double-exponential and takes a handful of steps, so every step is looked
    at. On the CPU a verdict comes at once, before the optimizer's step if asked before it. On CUDA
    the values are copied to pinned memory and read when they have arrived, at most ``LATE_STEPS``
    steps late; the verdict names the step itself, however late it comes.

    A monitor that has given its verdict gives it again.
    """

    def __init__(self) -> None:
        self.verdict: Verdict | None = None
        self.steps = 0
        self._waiting: deque[Reading] = deque()

    def step(self, loss: Tensor, gradient_norm: Tensor) -> Verdict | None:
        """Take one step's loss and gradient norm (scalars, one device); the verdict, if it is known."""
        return self.take(send(self.steps, loss, gradient_norm))

    def take(self, reading: Reading) -> Verdict | None:
        """As ``step``, with numbers that are on their way already."""
        self._waiting.append(reading)
        self.steps += 1
        return self._read(LATE_STEPS)

    def finish(self) -> Verdict | None:
        """Wait for what is still on its way: to be asked where steps pause (an epoch's end)."""
        return self._read(0)

    def _read(self, allowed: int) -> Verdict | None:
        while self._waiting and self.verdict is None:
            arrival = self._waiting[0].arrival
            if not arrival.query():
                if len(self._waiting) <= allowed:
                    break
                arrival.synchronize()
            self.verdict = judge(self._waiting.popleft())
        return self.verdict


def send(step: int, loss: Tensor, gradient_norm: Tensor) -> Reading:
    """Start the copy to the host; on CUDA, whose memory must be pinned for it, nobody waits."""
    values = torch.stack((loss.detach().float(), gradient_norm.detach().float()))
    host = torch.empty(2, pin_memory=values.is_cuda).copy_(values, non_blocking=True)
    device = torch.get_device_module(values.device)
    arrival = device.Event()
    arrival.record(device.current_stream(values.device))
    return Reading(step, host, arrival)


def judge(reading: Reading) -> Verdict | None:
    """Diverged where the loss or the gradient norm is not finite."""
    loss, gradient_norm = reading.values.tolist()
    if math.isfinite(loss) and math.isfinite(gradient_norm):
        return None
    kind = "nonfinite_gradient" if math.isfinite(loss) else "nonfinite_loss"
    return Verdict(
        "diverged",
        kind=kind,
        step=reading.step,
        reason=f"loss {loss:.4g} and gradient norm {gradient_norm:.4g} at step {reading.step}",
        numbers={"loss": finite_or_none(loss), "gradient_norm": finite_or_none(gradient_norm)},
    )
