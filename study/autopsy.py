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
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from study.errors import one_line
from study.probe import First, Probe, hook_maxima
from study.snapshot import Snapshot, capture, restore
from study.steps import Gradient, Trial, batches, differentiate, evaluate, update
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
        self._countdown = 0
        self._handles: list[RemovableHandle] = []

    def before(self) -> None:
        if self._countdown == 0:
            self.snapshots.append(capture(self.trial, monitor=False))
            self._countdown = EVERY
            if not self.trial.initial:
                self._handles = hook_maxima(self.trial.model, self.trial.initial)
        self._countdown -= 1

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
    ``firsts``: see study.probe.First, in the order of their happening. ``cause``: ``growth`` or ``invalid
    operation``, of the first number that was not finite; ``operation``: the autograd function that
    made it, where a backward pass did. ``layers``: names in the order of execution; ``types``,
    ``initial`` and ``zeros`` (the share at the last step) go with them, and ``maxima`` has a list for
    each, over the steps. Non-finite numbers are the strings inf and nan.

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
    last = trial.steps - 1 if verdict.step is None else verdict.step
    updated = trial.steps > last
    seen = {step: (float(each.loss), float(each.norm)) for step, each in recorder.seen if step <= last}
    snapshot = before(recorder.snapshots, last, trial.training.steps)
    start = done(snapshot, trial.training.steps)
    initial = {name: float(value) for name, value in trial.initial.items()}
    restore(trial, snapshot)
    history: list[dict[str, float]] = []
    replayed: dict[int, tuple[float, float]] = {}
    operation = None
    shown = range(max(start, last + 1 - SHOWN), last + 1)
    with Probe(trial.model, trial.optimizer, initial) as probe:
        while trial.steps <= last and last not in replayed:
            trial.model.train()
            for images, labels in batches(trial):
                step = trial.steps
                probe.begin(step)
                generators = global_generators(trial.device)
                gradient = differentiate(trial, images, labels)
                replayed[step] = (float(gradient.loss), float(gradient.norm))
                probe.check_loss(*replayed[step], trial.loss)
                if step in shown:
                    history.append(probe.peaks)
                if step == last and nan_first(probe, "gradient"):
                    operation = name_operation(trial, probe, images, labels, generators)
                if step == last and not updated:
                    break
                update(trial)
                probe.check_parameters()
                if step == last:
                    break
            else:
                trial.position.turn()
        zeros = dict(probe.zeros)
        evaluated = "evaluation" not in (verdict.kind or "") or broken_evaluation(trial, probe)
    autopsy: Autopsy = {
        "reproduced": evaluated and agree(seen, replayed),
        "replayed": [start, last],
        "steps": list(shown),
        "loss": [plain(seen[step][0]) for step in shown],
        "gradient_norm": [plain(seen[step][1]) for step in shown],
    }
    if not autopsy["reproduced"]:
        return autopsy
    return {
        **autopsy,
        **explain(probe.firsts, operation),
        "from_the_start": start == 0,
        "layers": list(zeros),
        "types": [
            type(trial.model.get_submodule(name if name != "model" else "")).__name__ for name in zeros
        ],
        "initial": [plain(initial.get(name)) for name in zeros],
        "zeros": [plain(share) for share in zeros.values()],
        "maxima": [[plain(peaks.get(name)) for peaks in history] for name in zeros],
    }


def before(snapshots: deque[Snapshot], last: int, steps: int) -> Snapshot:
    """The newest snapshot that is LEAD steps older than ``last``, or else the oldest there is."""
    if not snapshots:
        raise LookupError("no step was made since the training was taken up again: nothing to replay")
    old = [each for each in snapshots if done(each, steps) <= last - LEAD]
    return old[-1] if old else snapshots[0]


def done(snapshot: Snapshot, steps: int) -> int:
    """Optimizer steps done when the snapshot was taken, at ``steps`` an epoch."""
    return (snapshot.epoch - 1) * steps + snapshot.batch


def agree(seen: Mapping[int, tuple[float, float]], replayed: Mapping[int, tuple[float, float]]) -> bool:
    """Whether every replayed step had the recorded loss and gradient norm: on the CPU to the bit; within
    a thousandth elsewhere, where a sum's order may differ."""
    return all(
        (math.isnan(one) and math.isnan(other)) or one == other or math.isclose(one, other, rel_tol=1e-3)
        for step in replayed
        for one, other in zip(seen[step], replayed[step], strict=True)
    )


def broken_evaluation(trial: Trial, probe: Probe) -> bool:
    """Evaluate as at an epoch's end; whether a number was not finite."""
    probe.begin(probe.step)
    for name in trial.parts:
        values = evaluate(trial, name)
        if not all(math.isfinite(value) for value in values.values()):
            probe.check_loss(values[f"{name}_loss"], 0.0, trial.loss)
            return True
    return False


def nan_first(probe: Probe, stage: str) -> bool:
    broken = [first for first in probe.firsts if first.stage != "grown"]
    return bool(broken) and broken[0].stage == stage and math.isnan(broken[0].value)


def global_generators(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def name_operation(
    trial: Trial, probe: Probe, images: Tensor, labels: Tensor, generators: list[Tensor]
) -> str | None:
    """The autograd function whose backward pass makes the first NaN: the step again, in anomaly mode."""
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
                differentiate(trial, images, labels)
    except RuntimeError as error:
        named = re.match(r"Function '(\w+)' returned nan values", str(error))
        if named is None:
            raise
        return named[1]
    finally:
        probe.listening = True
    return None


def explain(firsts: list[First], operation: str | None) -> Autopsy:
    """The firsts as plain types, and the cause of the first number that was not finite."""
    broken = [first for first in firsts if first.stage != "grown"]
    grown = any(first.stage == "grown" and math.isfinite(first.value) for first in firsts)
    return {
        "cause": cause(broken[0], grown) if broken else "growth" if grown else None,
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
            }
            for first in firsts
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
