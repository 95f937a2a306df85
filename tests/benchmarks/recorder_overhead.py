"""What the always-on recorder costs a healthy training, as a share of its step time.

    python -m tests.benchmarks.recorder_overhead
    python -m tests.benchmarks.recorder_overhead --widths 1 --steps 100 --device cuda

Two numbers for each model. ``inside``: the processor's time spent in the recorder over that of all steps;
on CUDA the host's alone. ``paired``: how much longer a block of EVERY steps
(so one snapshot) takes with the recorder than the block without it next to it, the median over the pairs,
with its interval from the pairs' order statistics (95 %); it includes what the recorder does to the
caches and to the device.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from study.autopsy import EVERY, Recorder
from study.components.datasets import LoadedData
from study.devices import environment, pick_device, reproducible
from study.space import Scalar
from study.steps import Trial, batches, differentiate, update
from study.training import prepare
from study.trial import TrialConfig

BOUND = 0.01


@dataclass(frozen=True)
class Cost:
    """Milliseconds a step, and the two shares (see above) with the paired one's interval."""

    step_ms: float
    inside: float
    paired: float
    low: float
    high: float


def noise(size: int, number: int) -> LoadedData:
    """Pictures of noise: what is measured does not depend on what they show."""
    images = np.random.default_rng(0).integers(0, 256, (number, size, size, 3), dtype=np.uint8)
    labels = np.arange(number, dtype=np.int64) % 10
    names = tuple(map(str, range(10)))
    third = (0.5, 0.5, 0.5)
    return LoadedData("noise", names, images, labels, images, labels, third, third, "", False, "made here")


def trial_of(width: float, size: int, batch_size: int, optimizer: str, device: torch.device) -> Trial:
    data = noise(size, 10 * batch_size + 20)
    hyperparameters: dict[str, Scalar] = {
        "dataset.validation_size": 10,
        "model.name": "all_cnn_c",
        "model.width": width,
        "model.batch_norm": True,
        "activation.name": "relu",
        "optimizer.name": optimizer,
        "optimizer.lr": 1e-3,
        **({"optimizer.momentum": 0.9} if optimizer == "sgd" else {}),
        "training.epochs": 10**6,
        "training.batch_size": batch_size,
        "training.precision": "fp32",
        "training.evaluation_size": 10,
    }
    return prepare(TrialConfig("noise", "noise", "tune", 0, hyperparameters, 1, 2), data, device)


class Loop:
    """A training's steps without its evaluations; with a recorder or without. ``inside`` and ``total`` are
    seconds of this thread's own: they do not grow when the machine is busy with something else."""

    def __init__(self, trial: Trial, recorder: Recorder | None) -> None:
        self.trial, self.recorder = trial, recorder
        self.inside = self.total = 0.0
        self._batches = batches(trial)
        trial.model.train()

    def block(self, steps: int) -> float:
        """Seconds that ``steps`` steps take."""
        began, own = time.perf_counter(), time.thread_time()
        for _ in range(steps):
            self._step()
        self.total += time.thread_time() - own
        if self.trial.device.type == "cuda":
            torch.cuda.synchronize(self.trial.device)
        return time.perf_counter() - began

    def _step(self) -> None:
        batch = next(self._batches, None)
        if batch is None:
            self.trial.position.turn()
            self._batches = batches(self.trial)
            batch = next(self._batches)
        start = time.thread_time()
        if self.recorder is not None:
            self.recorder.before()
        middle = time.thread_time()
        gradient = differentiate(self.trial, *batch)
        after = time.thread_time()
        if self.recorder is not None:
            self.recorder.after(gradient)
        self.inside += middle - start + time.thread_time() - after
        # Every training reads its loss.
        gradient.loss.item()
        update(self.trial)


def measure(make: Callable[[], Trial], steps: int) -> Cost:
    trials = [make(), make()]
    with_it, without = Loop(trials[0], Recorder(trials[0])), Loop(trials[1], None)
    for loop in (with_it, without):
        loop.block(min(EVERY, steps))
        loop.inside = loop.total = 0.0
    pairs = []
    for number in range(math.ceil(steps / EVERY)):
        order = (with_it, without) if number % 2 else (without, with_it)
        seconds = {loop: loop.block(EVERY) for loop in order}
        pairs.append((seconds[with_it], seconds[without]))
    ratios = sorted(one / other - 1 for one, other in pairs)
    low, high = median_interval(ratios)
    step_ms = 1e3 * sum(pair[0] for pair in pairs) / (EVERY * len(pairs))
    return Cost(step_ms, with_it.inside / with_it.total, statistics.median(ratios), low, high)


def median_interval(ordered: list[float]) -> tuple[float, float]:
    """The normal approximation to the binomial: ranks n/2 -+ 0.98 sqrt(n)."""
    centre, reach = (len(ordered) - 1) / 2, 0.98 * math.sqrt(len(ordered))
    return ordered[max(0, math.floor(centre - reach))], ordered[
        min(len(ordered) - 1, math.ceil(centre + reach))
    ]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--widths", type=float, nargs="+", default=[0.1, 0.25])
    parser.add_argument("--size", type=int, default=16, help="pixels a side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--optimizers", nargs="+", default=["sgd", "adam"])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    device = pick_device(asked.device)
    with reproducible(device, 0, 1):
        where = environment(device, "fp32")
        say(f"{where['device_name']}, {where['threads']} thread, torch {where['torch']}")
        say(f"{asked.steps} steps, batch {asked.batch_size}, {asked.size}x{asked.size} pixels")
        say("optimizer   width   ms/step   inside   paired (95 %)")
        worst = 0.0
        for optimizer in asked.optimizers:
            for width in asked.widths:
                make = partial(trial_of, width, asked.size, asked.batch_size, optimizer, device)
                cost = measure(make, asked.steps)
                worst = max(worst, cost.inside)
                interval = f"{cost.paired:7.2%} ({cost.low:.2%} to {cost.high:.2%})"
                say(f"{optimizer:<9} {width:7g} {cost.step_ms:9.2f} {cost.inside:8.3%} {interval}")
    sys.exit(f"above {BOUND:.0%}: {worst:.2%}" if worst > BOUND else 0)


if __name__ == "__main__":
    main()
