"""The autopsy: which layer of a training broke first, found by replaying its last steps.

A recorder that is always on keeps, at next to no cost, a snapshot every EVERY steps and the loss and
gradient norm of the last ones. A snapshot holds the generators and the position within the epoch, so
the batches since then can be made again: neither pictures nor indices are kept. Once a verdict falls,
the training is put back to a snapshot and replayed with hooks on every layer.
"""

from __future__ import annotations

import math
import re
import traceback
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from study.batches import Batch
from study.errors import one_line
from study.probe import First, Probe, hook_maxima
from study.snapshot import Snapshot, capture, restore
from study.steps import Gradient, Trial, as_judged, batches, differentiate, evaluate, update
from study.trial import Verdict

# One in 50 steps: a copy of weights and moments is then lost in the noise.
EVERY = 50
# From a few ten to a hundred times in a step: growth to infinity takes less than this.
LEAD = 20
# Steps whose maxima are kept, for the picture.
SHOWN = 20
# A sum of up to a million products of numbers beyond this share of sqrt(largest) may overflow.
OVERFLOWS = 1e-3

Autopsy = dict[str, Any]


class Recorder:
    """Keeps what an autopsy needs. ``before`` and ``after`` are called around every step's first half;
    on CUDA neither waits for the device, and the copies stay there."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.snapshots: deque[Snapshot] = deque(maxlen=2)
        # Verdicts may come a few steps late.
        self.seen: deque[tuple[int, Gradient]] = deque(maxlen=2 * EVERY)
        self._handles: list[RemovableHandle] = []

    def before(self) -> None:
        if self.snapshots and self.trial.steps % EVERY:
            return
        self.snapshots.append(capture(self.trial, monitor=False))
        if not self.trial.initial:
            self._handles = hook_maxima(self.trial.model, self.trial.initial)

    def after(self, gradient: Gradient) -> None:
        if self._handles:
            for handle in self._handles:
                handle.remove()
            self._handles = []
        self.seen.append((self.trial.steps, gradient))


def examine(trial: Trial, recorder: Recorder, verdict: Verdict) -> Autopsy:
    """What broke first, as plain JSON types; the training is spent afterwards.

    ``reproduced``: whether the replay ended as the training did; the rest is there only if it did, but
    for ``steps``, ``loss`` and ``gradient_norm`` (the last ones). ``replayed``: its first and last step.
    ``firsts``: see study.probe.First, in the order of their happening; where all was finite when a
    diverging training was stopped, it is driven on for a while, and what breaks then is ``beyond``.
    ``cause``: ``growth`` or ``invalid operation``, of the first number that was not finite;
    ``operation``: the autograd function that made it, where a backward pass did. ``layers``: names in the
    order of execution; ``initial`` and ``zeros`` (the share at the last step) go with them, and
    ``maxima`` has a list for each, over the steps. Non-finite numbers are the strings inf and nan.

    An autopsy that fails is ``{"error": ..., "traceback": ...}``: the verdict stands without it.
    """
    try:
        return replay(trial, recorder, verdict)
    except Exception as error:  # noqa: BLE001 -- a verdict must not become a crash
        text = "".join(traceback.format_exception(error))
        return {"error": one_line(f"{type(error).__name__}: {error}"), "traceback": text}
    finally:
        trial.optimizer.zero_grad(set_to_none=True)


def replay(trial: Trial, recorder: Recorder, verdict: Verdict) -> Autopsy:
    snapshot, start, last = span(trial, recorder, verdict)
    updated = trial.steps > last
    seen = {step: (float(each.loss), float(each.norm)) for step, each in recorder.seen if step <= last}
    initial = {name: float(value) for name, value in trial.initial.items()}
    restore(trial, snapshot)
    trial = replace(trial, compiled=None)  # what was compiled has no hooks
    with Probe(trial.model, trial.optimizer, initial) as probe:
        steps = list(again(trial, probe, last, updated))
        zeros = dict(probe.zeros)
        evaluation = "evaluation" in (verdict.kind or "")
        ended = not evaluation or broken_evaluation(trial, probe)
        known = len(probe.firsts)
        operation = steps[-1].operation
        if verdict.status == "diverged" and not broken(probe.firsts) and not evaluation:
            operation = [*beyond(trial, probe, updated), steps[-1]][0].operation
    shown = steps[-SHOWN:]
    autopsy: Autopsy = {
        "reproduced": ended and all(agree(seen[each.step], each.numbers) for each in steps),
        "replayed": [start, last],
        "steps": [each.step for each in shown],
        "loss": [plain(seen[each.step][0]) for each in shown],
        "gradient_norm": [plain(seen[each.step][1]) for each in shown],
    }
    if not autopsy["reproduced"]:
        return autopsy
    return {
        **autopsy,
        **explain(probe.firsts, known, operation),
        "from_the_start": start == 0,
        "layers": list(zeros),
        "initial": [plain(initial.get(name)) for name in zeros],
        "zeros": [plain(share) for share in zeros.values()],
        "maxima": [[plain(each.peaks.get(name)) for each in shown] for name in zeros],
    }


def span(trial: Trial, recorder: Recorder, verdict: Verdict) -> tuple[Snapshot, int, int]:
    """What to replay: the snapshot to begin with, its step and the last step.

    The end is the verdict's own step (it may have come a few steps late), or the newest where the
    verdict is about the distant past. The snapshot is the newest that is LEAD steps older, or else the
    oldest there is.
    """
    if not recorder.snapshots:
        raise LookupError("no step was made since the training was taken up again: nothing to replay")
    starts = [(each.epoch - 1) * trial.training.steps + each.batch for each in recorder.snapshots]
    newest = recorder.seen[-1][0]
    last = newest if verdict.step is None or verdict.step < starts[0] else min(verdict.step, newest)
    chosen = max((number for number, start in enumerate(starts) if start <= last - LEAD), default=0)
    return recorder.snapshots[chosen], starts[chosen], last


@dataclass(frozen=True)
class Replayed:
    """A step of the replay: its loss and gradient norm, each layer's max|activation|, and the autograd
    function that made the first NaN, if it was one."""

    step: int
    numbers: tuple[float, float]
    peaks: Mapping[str, float]
    operation: str | None


def again(trial: Trial, probe: Probe, last: int, updated: bool) -> Iterator[Replayed]:
    """The steps from the trial's position to ``last``; ``updated``: it was made whole, the weights moved."""
    while True:
        trial.model.train()
        for batch in batches(trial):
            step = trial.steps
            probe.begin(step)
            generators = global_generators(trial.device)
            gradient = differentiate(trial, *batch)
            numbers = float(gradient.loss), float(gradient.norm)
            probe.check_loss(*numbers, trial.loss)
            nan = step == last and nan_in_backward(probe)
            operation = name_operation(trial, probe, batch, generators) if nan else None
            yield Replayed(step, numbers, probe.peaks, operation)
            if step < last or updated:
                move(trial, probe)
            if step == last:
                return
        trial.position.turn()


def move(trial: Trial, probe: Probe) -> None:
    # A line search may pass through points that are not finite.
    probe.listening = False
    update(trial)
    probe.listening = True
    probe.check_parameters()


def beyond(trial: Trial, probe: Probe, updated: bool) -> Iterator[Replayed]:
    """Where all was finite when the training was stopped: the step at which it would not have been any
    more, had it gone on for up to LEAD steps; empty where there is none."""
    if not updated:
        move(trial, probe)
    for _ in range(LEAD):
        if trial.position.batch == trial.training.steps:
            trial.position.turn()
        step = list(again(trial, probe, trial.steps, updated=False))[-1]
        if broken(probe.firsts):
            yield step
            return
        move(trial, probe)


def agree(seen: tuple[float, float], replayed: tuple[float, float]) -> bool:
    """Whether a replayed step had the recorded loss and gradient norm. On one machine they are equal to
    the bit; a thousandth is left for kernels that add up in another order."""
    return all(
        (math.isnan(one) and math.isnan(other)) or one == other or math.isclose(one, other, rel_tol=1e-3)
        for one, other in zip(seen, replayed, strict=True)
    )


def broken_evaluation(trial: Trial, probe: Probe) -> bool:
    """Evaluate as at an epoch's end; whether a number was not finite."""
    probe.begin(probe.step)
    with as_judged(trial):
        for name in trial.parts:
            values = evaluate(trial, name)
            if not all(math.isfinite(value) for value in values.values()):
                probe.check_loss(values[f"{name}_loss"], 0.0, trial.loss)
                return True
    return False


def broken(firsts: list[First]) -> list[First]:
    """Those with a number that is not finite."""
    return [first for first in firsts if first.stage != "grown"]


def nan_in_backward(probe: Probe) -> bool:
    """Whether the first number that was not finite was a NaN of a gradient."""
    found = broken(probe.firsts)
    return bool(found) and found[0].stage == "gradient" and math.isnan(found[0].value)


def global_generators(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def name_operation(trial: Trial, probe: Probe, batch: Batch, generators: list[Tensor]) -> str | None:
    """The autograd function whose backward pass makes the first NaN: the step again, in anomaly mode.
    Gradients and buffers are left as they were."""
    gradients = [parameter.grad for parameter in trial.parameters]
    buffers = [buffer.clone() for buffer in trial.model.buffers()]
    probe.listening = False
    torch.set_rng_state(generators[0])
    if len(generators) > 1:
        torch.cuda.set_rng_state(generators[1], trial.device)
    trial.optimizer.zero_grad(set_to_none=True)
    try:
        with warnings.catch_warnings():
            # It warns of itself, and of the traceback that its error carries too.
            warnings.simplefilter("ignore")
            with torch.autograd.set_detect_anomaly(True, check_nan=True):
                differentiate(trial, *batch)
    except RuntimeError as error:
        named = re.match(r"Function '(\w+)' returned nan values", str(error))
        if named is None:
            raise
        return named[1]
    finally:
        probe.listening = True
        for parameter, gradient in zip(trial.parameters, gradients, strict=True):
            parameter.grad = gradient
        for buffer, value in zip(trial.model.buffers(), buffers, strict=True):
            buffer.copy_(value)
    return None


def explain(firsts: list[First], known: int, operation: str | None) -> Autopsy:
    """The firsts as plain types, and the cause of the first number that was not finite. Those from number
    ``known`` on came after the training's end."""
    found = broken(firsts)
    grown = any(first.stage == "grown" and math.isfinite(first.value) for first in firsts)
    return {
        "cause": cause(found[0], grown) if found else "growth" if grown else None,
        "operation": operation,
        "firsts": [
            {
                "stage": first.stage,
                "layer": first.layer,
                "type": first.type,
                "of": first.of,
                "step": first.step,
                "value": plain(first.value),
                "initial" if first.stage == "grown" else "operand": plain(first.operand),
                "beyond": number >= known,
            }
            for number, first in enumerate(firsts)
        ],
    }


def cause(first: First, grown: bool) -> str:
    """``growth``: numbers so large that their products overflow, or an Inf after a layer had grown.
    ``invalid operation``: ordinary numbers have no finite result (0/0, log 0, inf - inf, 0 * inf).

    A convolution of huge numbers can give NaN at once, from sums of both signs, and log 0 gives -Inf:
    so NaN or Inf alone does not decide it.
    """
    large = first.operand > OVERFLOWS * math.sqrt(torch.finfo(first.dtype).max)
    infinite = math.isinf(first.value) and first.stage != "parameter"
    return "growth" if large or (grown and infinite) else "invalid operation"


def plain(value: float | None) -> float | str | None:
    """Four digits, or the name of what is not finite, for JSON."""
    if value is None or math.isfinite(value):
        return None if value is None else float(f"{value:.4g}")
    return str(float(value))
