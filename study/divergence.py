"""The divergence monitor: tells a training that blows up, dies or spikes from a healthy one.

Three lines in any loop:

    monitor = Monitor(scale=math.log(10))  # the loss of the best constant predictor, here of 10 classes
    ...
        loss.backward()
        if verdict := monitor.step(loss, get_total_norm([p.grad for p in model.parameters()])):
            break

A fourth, at the end of each epoch, tells the dead too: ``monitor.epoch(accuracy, examples)``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm

from study.components.thresholds import Thresholds
from study.symptoms import Watch
from study.trial import Event, Verdict

LATE_STEPS = 2
CHECK_EVERY = 50  # steps between two looks at parameters and buffers


class Arrival(Protocol):
    """A device's event: torch.cuda.Event, torch.cpu.Event (which is always there)."""

    def query(self) -> bool: ...
    def synchronize(self) -> None: ...


@dataclass(frozen=True)
class Reading:
    """One step's loss and gradient norm on their way to the host; there once ``arrival`` is.

    A third value, every ``CHECK_EVERY`` steps, is the norm of all parameters and buffers.
    """

    step: int
    values: Tensor
    arrival: Arrival
    lr: float | None = None


class Monitor:
    """Watches the loss and the global gradient norm, from the first step on, without a device sync.

    Growth to infinity is double-exponential and takes a handful of steps, so every step is looked
    at. On the CPU a verdict comes at once, before the optimizer's step if asked before it. On CUDA
    the values are copied to pinned memory and read when they have arrived, at most ``LATE_STEPS``
    steps late; the verdict names the step itself, however late it comes.

    ``scale`` is the loss of the best constant predictor and ``chance`` its accuracy (None in regression,
    where the loss tells whether anything was learned); without a scale only numbers that are not finite
    count. ``epoch_steps`` is the number of steps an epoch has. With a ``model``, its parameters and
    buffers are looked at too. The rules are those of ``Thresholds``.

    A monitor that has given its verdict gives it again.
    """

    def __init__(
        self,
        scale: float | None = None,
        *,
        chance: float | None = 0.0,
        epoch_steps: int = 0,
        thresholds: Thresholds | None = None,
        model: nn.Module | None = None,
    ) -> None:
        self.verdict: Verdict | None = None
        self.steps = 0
        self._watch = Watch(thresholds or Thresholds(), scale, chance=chance, epoch_steps=epoch_steps)
        self._tensors = tensors(model) if model is not None else {}
        self._waiting: deque[Reading] = deque()

    def step(self, loss: Tensor, gradient_norm: Tensor, lr: float | None = None) -> Verdict | None:
        """Take one step's loss and gradient norm (scalars, one device); the verdict, if it is known.

        ``lr`` is the step's learning rate; where it rises, rules of comparison are warmed up anew.
        """
        values = [loss, gradient_norm]
        if self._tensors and self.steps % CHECK_EVERY == CHECK_EVERY - 1:
            values.append(total_norm(self._tensors.values()))
        if not loss.is_cpu:
            return self.take(send(self.steps, values, lr))
        self.steps += 1
        if self.verdict is None:
            self.verdict = self._judge(self.steps - 1, [value.item() for value in values], lr)
        return self.verdict

    def take(self, reading: Reading) -> Verdict | None:
        """As ``step``, with numbers that are on their way already."""
        self._waiting.append(reading)
        self.steps += 1
        return self._read(LATE_STEPS)

    def finish(self) -> Verdict | None:
        """Wait for what is still on its way: to be asked where steps pause (an epoch's end)."""
        return self._read(0)

    def epoch(
        self,
        accuracy: float | None,
        examples: int,
        *,
        alike: Callable[[], bool] | None = None,
        last: bool = False,
    ) -> Verdict | None:
        """An epoch's training accuracy over so many examples (None in regression); ``stalled`` where the
        model is dead.

        ``alike()`` says whether the model answers the same, or nearly, whatever it is shown; asked at chance
        only. ``last``: no epoch comes after this one, so what is sure need not be waited for.
        """
        if self.finish() is None:
            self.verdict = self._watch.epoch(accuracy, examples, alike=alike, last=last)
        return self.verdict

    def evaluation_alone(self, loss: float) -> bool:
        """Whether ``loss``, in eval mode on training examples, is out of all proportion to the training
        losses: batch norm's running statistics, mostly."""
        self.finish()
        return self._watch.evaluation_alone(loss)

    def note(self, kind: str, **numbers: float | None) -> None:
        """Add an event at the last step."""
        self._watch.note({"kind": kind, "step": self.steps - 1, **numbers})

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened and was no reason to stop; see TrialResult."""
        return self._watch.told()

    def state(self) -> dict[str, Any]:
        """All that moves, as plain Python types; waits for what is on its way."""
        self.finish()
        return self._watch.state()

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``, of a monitor that had no verdict."""
        self._waiting.clear()
        self.verdict = None
        self._watch.load(state)
        self.steps = self._watch.steps

    def _read(self, allowed: int) -> Verdict | None:
        while self._waiting and self.verdict is None:
            arrival = self._waiting[0].arrival
            if not arrival.query():
                if len(self._waiting) <= allowed:
                    break
                arrival.synchronize()
            reading = self._waiting.popleft()
            self.verdict = self._judge(reading.step, reading.values.tolist(), reading.lr)
        return self.verdict

    def _judge(self, step: int, values: list[float], lr: float | None) -> Verdict | None:
        verdict = self._watch.step(values[0], values[1], lr)
        suspect = verdict.kind == "explosion" if verdict else not all(map(math.isfinite, values[2:]))
        return self._spoilt(step, verdict) if suspect else verdict

    def _spoilt(self, step: int, verdict: Verdict | None) -> Verdict | None:
        """The verdict, or one on the first parameter or buffer that is not finite."""
        for name, tensor in self._tensors.items():
            if not tensor.isfinite().all():
                kind = "nonfinite_parameter" if isinstance(tensor, nn.Parameter) else "nonfinite_buffer"
                said = f"{name} is not finite at step {step}"
                if verdict is not None:
                    return replace(verdict, kind=kind, reason=f"{said}; {verdict.reason}")
                return Verdict("diverged", kind, step, reason=said)
        return verdict


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of ``model`` that can be non-finite, by name."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}


def total_norm(of: Iterable[Tensor]) -> Tensor:
    """The 2-norm of all of them, a scalar on the device: not finite where one number is not, or where the
    sum of squares overflows. (The largest magnitude cannot overflow, but takes 20 times as long.)"""
    with torch.no_grad():
        return get_total_norm(of)


def send(step: int, values: Iterable[Tensor], lr: float | None = None) -> Reading:
    """Start the copy of scalars to the host; on CUDA, whose memory must be pinned for it, nobody waits."""
    told = torch.stack([value.detach().float() for value in values])
    host = torch.empty(len(told), pin_memory=told.is_cuda).copy_(told, non_blocking=True)
    device = torch.get_device_module(told.device)
    arrival = device.Event()
    arrival.record(device.current_stream(told.device))
    return Reading(step, host, arrival, lr)


@contextmanager
def reestimated(
    model: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> Iterator[None]:
    """Inside, batch norm's running statistics are the plain means over ``batches`` of images, which
    ``forward`` puts through the model, the rest of it in eval mode. Afterwards they are as before, unless
    some were not finite, and never would have been again: then all stay as estimated.
    """
    layers = [each for each in model.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    before = [
        (each.momentum, {name: value.clone() for name, value in each.named_buffers()}) for each in layers
    ]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        for images in batches if layers else ():
            forward(images)
    model.eval()
    for layer, (momentum, _) in zip(layers, before, strict=True):
        layer.momentum = momentum
    yield
    if all(value.isfinite().all() for _, buffers in before for value in buffers.values()):
        for layer, (_, buffers) in zip(layers, before, strict=True):
            for name, value in layer.named_buffers():
                value.copy_(buffers[name])
