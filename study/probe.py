"""The probe: what every layer does in a step, seen through hooks, and where a number first broke."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from study.averaging import AVERAGES

Stage = Literal["grown", "activation", "gradient", "parameter"]

# Those that torch can take the maximum of.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# A layer that is past this many times its first maximum has grown; healthy ones stay within about ten.
GROWTH = 100.0


@dataclass(frozen=True)
class First:
    """The first thing of its ``stage`` that went wrong: ``grown`` (a layer's max|activation| past GROWTH
    times its first), or the first ``activation`` (in the order of execution), ``gradient`` (in reverse)
    or ``parameter`` with a number that is not finite.

    ``layer`` is the module's name; ``input``, ``loss`` and ``gradient norm`` are named as such. ``of``
    says what of it: its output, the gradient of its input or of one of its parameters, a parameter, a
    buffer, an optimizer's moment. ``value``: the maximum, NaN where no element is infinite. ``operand``:
    the largest finite number that went into it.
    """

    stage: Stage
    layer: str
    type: str
    of: str
    step: int
    value: float
    operand: float
    dtype: torch.dtype


def leaves(model: nn.Module) -> dict[str, nn.Module]:
    """The modules without children, by name; a model without any goes by ``model``."""
    return {name or "model": module for name, module in model.named_modules() if not any(module.children())}


def hook_maxima(model: nn.Module, into: dict[str, Tensor]) -> list[RemovableHandle]:
    """Note each leaf's max|output| over its calls, as a scalar on the device; nobody waits."""

    def note(name: str, module: nn.Module, given: Any, output: Any) -> None:
        for peak in map(maximum, tensors(output)):
            into[name] = torch.maximum(into[name], peak) if name in into else peak

    return [module.register_forward_hook(partial(note, name)) for name, module in leaves(model).items()]


@contextmanager
def silences(model: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, the share of zeros in what each leaf puts out is noted, as a scalar on the device. In the order
    of execution, from the first leaf with parameters on: what comes before is as empty as the inputs are."""
    shares: list[Tensor] = []
    weighed = False

    def note(module: nn.Module, given: Any, output: Any) -> None:
        nonlocal weighed
        weighed = weighed or any(True for _ in module.parameters())
        if weighed:
            shares.extend((each == 0).float().mean() for each in tensors(output))

    handles = [module.register_forward_hook(note) for module in leaves(model).values()]
    try:
        yield shares
    finally:
        for handle in handles:
            handle.remove()


class Probe:
    """Hooks on every leaf of a model, to be entered as a context.

    ``initial``: each layer's max|activation| when training began. ``peaks`` and ``zeros`` are the last
    step's max|activation| and share of zeros, in the order of execution; ``firsts`` what went wrong, in
    the order in which it did. The hooks wait for the device; the numbers of the training stay as they are.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, initial: Mapping[str, float]) -> None:
        self.model, self.optimizer, self.initial = model, optimizer, initial
        self.step = 0
        self.peaks: dict[str, float] = {}
        self.zeros: dict[str, float] = {}
        self.gradients: dict[tuple[str, str], float] = {}
        self.firsts: list[First] = []
        self.listening = True
        self.layers = leaves(model)
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        self._handles.append(self.model.register_forward_pre_hook(self._given))
        for name, layer in self.layers.items():
            self._handles.append(layer.register_forward_pre_hook(partial(self._entered, name)))
            self._handles.append(layer.register_forward_hook(partial(self._left, name)))
        self._handles.append(self.model.register_forward_hook(self._answered))
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                self._handles.append(parameter.register_hook(partial(self._gradient, *owner(name))))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def begin(self, step: int) -> None:
        """A new step: forget the last one's maxima."""
        self.step = step
        self.peaks, self.zeros, self.gradients = {}, {}, {}

    def found(self, stage: Stage) -> First | None:
        return next((first for first in self.firsts if first.stage == stage), None)

    def check_loss(self, loss: float, norm: float, function: object) -> None:
        """Where all layers were finite and these are not, the fault is theirs: of the loss itself, or of
        the gradients' squares."""
        if not math.isfinite(loss) and self.found("activation") is None:
            operand = max((peak for peak in self.peaks.values() if math.isfinite(peak)), default=0.0)
            # The loss was broken before any gradient was.
            place = next((n for n, each in enumerate(self.firsts) if each.stage == "gradient"), None)
            noun = getattr(function, "__name__", type(function).__name__)
            first = First("activation", "loss", noun, self._output(), self.step, loss, operand, torch.float32)
            self.firsts.insert(len(self.firsts) if place is None else place, first)
        if not math.isfinite(norm) and self.found("gradient") is None and self.gradients:
            # In reverse order, as they were made; where only their sum overflows, the largest.
            huge = [place for place, peak in self.gradients.items() if math.isinf(_squared(peak))]
            layer, own = huge[0] if huge else max(self.gradients, key=self.gradients.__getitem__)
            peak = self.gradients[layer, own]
            self._broke("gradient", layer, f"square of its {own}'s gradient", norm, [], besides=[peak])

    def check_parameters(self) -> None:
        """Look for the first parameter, moment or buffer that is not finite; after an optimizer's step."""
        if self.found("parameter") is not None:
            return
        for name, of, value, beside in self._state():
            if not bool(value.isfinite().all()):
                rates = [float(group["lr"]) for group in self.optimizer.param_groups]
                self._broke("parameter", name, of, whole_peak(value), [value, *beside], besides=rates)
                return

    def _state(self) -> Iterator[tuple[str, str, Tensor, list[Tensor]]]:
        """(layer, what of it, its value, what it was computed with): moments before their parameter, which
        is made of them, and averages after it."""
        for name, parameter in self.model.named_parameters():
            layer, own = owner(name)
            state = {
                moment: value
                for moment, value in self.optimizer.state.get(parameter, {}).items()
                if isinstance(value, Tensor) and value.is_floating_point()
            }
            averages = {name: state.pop(name) for name in AVERAGES if name in state}
            for moment, value in state.items():
                yield layer, f"{own}'s {moment}", value, [parameter.detach()]
            yield layer, own, parameter.detach(), list(state.values())
            for average, value in averages.items():
                yield layer, f"{own}'s {average}", value, [parameter.detach()]
        for name, buffer in self.model.named_buffers():
            yield *owner(name), buffer, []

    # -- the hooks --------------------------------------------------------------------------------

    def _given(self, module: nn.Module, given: Any) -> None:
        for each in tensors(given):
            if self.listening and not bool(each.isfinite().all()):
                self._broke("activation", "input", "pictures", whole_peak(each), [each])

    def _entered(self, name: str, module: nn.Module, given: Any) -> None:
        # A hook on the tensor, not on the module: it bears activations that work in place.
        for each in tensors(given):
            if each.requires_grad:
                each.register_hook(partial(self._gradient, name, "input"))

    def _left(self, name: str, module: nn.Module, given: Any, output: Any) -> None:
        if not self.listening:
            return
        outputs = list(tensors(output))
        if not outputs:
            return
        peak = max((whole_peak(each) for each in outputs), key=badness)
        self.peaks[name] = max(self.peaks.get(name, 0.0), peak, key=badness)
        self.zeros[name] = sum(zeros(each) for each in outputs) / sum(each.numel() for each in outputs)
        start = self.initial.get(name, math.nan)
        if peak > GROWTH * start > 0:
            self._broke("grown", name, self._output(), peak, outputs[:1], besides=[start])
        if not math.isfinite(peak):
            operands = [*tensors(given), *module.parameters(recurse=False)]
            self._broke("activation", name, self._output(), peak, operands)

    def _output(self) -> str:
        return "output" if self.model.training else "output in evaluation"

    def _answered(self, module: nn.Module, given: Any, output: Any) -> None:
        for each in tensors(output):
            if each.requires_grad:
                each.register_hook(partial(self._gradient, "loss", "input"))

    def _gradient(self, name: str, own: str, gradient: Tensor) -> None:
        if not self.listening or self.found("gradient") is not None:
            return
        peak = whole_peak(gradient)
        if math.isfinite(peak):
            self.gradients[name, own] = peak
            return
        around = [*self.peaks.values(), *self.gradients.values()]
        self._broke("gradient", name, f"gradient of its {own}", peak, [gradient], besides=around)

    def _broke(
        self,
        stage: Stage,
        layer: str,
        of: str,
        value: float,
        operands: Sequence[Tensor],
        *,
        besides: Iterable[float] = (),
    ) -> None:
        """Note the first of its stage. The largest of the finite ``operands`` and ``besides`` goes with
        it; but with growth, ``besides`` is what it has grown from."""
        if self.found(stage) is not None:
            return
        kind = type(self.layers[layer]).__name__ if layer in self.layers else ""
        peaks = [] if stage == "grown" else [finite_peak(each) for each in operands]
        operand = max([0.0, *peaks, *(each for each in besides if math.isfinite(each))])
        dtype = operands[0].dtype if operands else torch.float32
        self.firsts.append(First(stage, layer, kind, of, self.step, value, operand, dtype))


def owner(name: str) -> tuple[str, str]:
    """``conv1.weight`` to the module's name and its own."""
    layer, _, own = name.rpartition(".")
    return layer or "model", own


# -- numbers of tensors


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of ordinary floating-point numbers in what a module is given or gives."""
    if isinstance(value, Tensor):
        if value.dtype in FLOATS and value.layout is torch.strided and value.numel():
            yield value
    elif isinstance(value, Mapping):
        yield from tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)


def maximum(value: Tensor) -> Tensor:
    """max|value|, a float32 scalar on its device; NaN where there is one. No copy of the tensor is made."""
    low, high = torch.aminmax(value.detach())
    return torch.maximum(-low, high).float()


def whole_peak(value: Tensor) -> float:
    """max|value|: Inf where an element is infinite, else NaN where one is NaN."""
    value = value.detach()
    peak = float(maximum(value))
    return math.inf if math.isnan(peak) and bool(value.isinf().any()) else peak


def finite_peak(value: Tensor) -> float:
    """max|value| over the elements that are finite; 0 where none is."""
    value = value.detach()
    return float(torch.where(value.isfinite(), value, 0).abs().amax().float())


def zeros(value: Tensor) -> int:
    return int((value.detach() == 0).sum())


def _squared(value: float) -> float:
    """In float32, in which the gradient norm is made."""
    return float(torch.tensor(value, dtype=torch.float32).square())


def badness(value: float) -> tuple[int, float]:
    """Sorts NaN above every number, and Inf above NaN: it was there first."""
    return (1, 0.0) if math.isnan(value) else (2 if math.isinf(value) else 0, value)
