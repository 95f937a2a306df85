"""Makes the detector bench's traces by training: some 300 small networks on digits and on CIFAR-10.

    python -m tests.benchmarks.detectors.make_traces                  (half an hour on one core)
    python -m tests.benchmarks.detectors.make_traces --sets cifar10 --to /tmp/some.npz

Six sets. ``sane``: sane rates at every activation, with and without batch norm, under SGD, Adam and AdamW;
``optimizers``: under others. ``edge``: rates drawn near and beyond the edge of stability, where trainings
spike, recover, die and blow up; ``beyond``: Adam, far beyond it.
``plateau``: the deep sigmoid network without batch norm, which stays at chance for hundreds of steps, and
then learns or not. ``cifar10``: real pictures, from STUDY_DATA_DIR, at the rates of the bundled study
cifar10-spikes. Nobody stops a training but its first number that is not finite. How it ended (``kind``) is
told by hindsight, without any detector.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from study.assembly import prepare
from study.components.datasets import LoadedData, load_dataset
from study.components.losses import entropy
from study.components.metrics import chance
from study.devices import reproducible
from study.divergence import Monitor
from study.space import Scalar
from study.symptoms import WINDOW
from study.training import Diverged, run
from study.trial import TrialConfig, Verdict
from tests.benchmarks.detectors.traces import PATH, Trace, save

EXAMPLES = 1000
SANE_EPOCHS = 12
SEEDS = 2
EDGE_TRIALS = 110
EPOCHS_AT_EDGE = {16: 12, 32: 18, 64: 30}  # by batch size: 550 to 750 steps
FIRST_STEPS = 100  # of a training: nothing in them counts as a spike
DEAD_EPOCHS = 5

ACTIVATIONS = ("crelu", "elu", "gelu", "leaky_relu", "prelu", "relu", "selu", "sigmoid", "silu", "tanh")

# Sane rates of optimizers that take single batches and are judged on their weights.
OTHERS = {
    "adadelta": 1.0,
    "adagrad": 0.02,
    "adamax": 0.005,
    "muon": 0.02,
    "nadam": 0.002,
    "radam": 0.003,
    "rmsprop": 0.001,
}

Plan = tuple[str, str, int, dict[str, Scalar]]
"""A name, a set, a seed and the hyperparameters."""

# By data set: a training has learned below this share of the best constant, and above this accuracy.
LEARNED = {"digits": (0.5, 0.7), "cifar10": (0.9, 0.25)}


class Recorder(Monitor):
    """A monitor that takes everything down and stops only where a number is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.accuracies: list[float] = []
        self.alike: list[bool] = []
        self.evaluations: list[float] = []

    def step(self, loss: Tensor, gradient_norm: Tensor, lr: float | None = None) -> Verdict | None:
        self.losses.append(float(loss))
        self.norms.append(float(gradient_norm))
        return super().step(loss, gradient_norm, lr)

    def epoch(
        self,
        accuracy: float | None,
        examples: int,
        *,
        alike: Callable[[], bool] | None = None,
        last: bool = False,
    ) -> Verdict | None:
        self.accuracies.append(accuracy or 0.0)
        # A monitor is asked about an evaluation only where that is finite.
        self.evaluations += [math.nan] * (len(self.accuracies) - len(self.evaluations))
        self.alike.append(alike is not None and alike())
        return None

    def evaluation_alone(self, loss: float) -> bool:
        self.evaluations.append(loss)
        return False


def plans() -> Iterator[Plan]:
    yield from sane()
    yield from optimizers()
    yield from edge()
    yield from beyond()
    yield from pictures()


def sane() -> Iterator[Plan]:
    rates = {("sgd", False): 0.02, ("sgd", True): 0.1, ("adam", False): 0.003, ("adam", True): 0.01}
    for activation in ACTIVATIONS:
        for optimizer in ("sgd", "adam", "adamw"):
            for batch_norm in (False, True):
                lr = rates["sgd" if optimizer == "sgd" else "adam", batch_norm]
                for seed in range(SEEDS):
                    plateau = activation == "sigmoid" and not batch_norm
                    epochs = SANE_EPOCHS * (2 if plateau else 1)
                    chosen = hyperparameters(activation, batch_norm, optimizer, lr, size=32, epochs=epochs)
                    yield f"{label(chosen)} seed {seed}", "plateau" if plateau else "sane", seed, chosen


def optimizers() -> Iterator[Plan]:
    for optimizer, lr in OTHERS.items():
        for activation in ("relu", "tanh"):
            for batch_norm in (False, True):
                chosen = hyperparameters(activation, batch_norm, optimizer, lr, size=32, epochs=SANE_EPOCHS)
                yield f"{label(chosen)} seed 0", "optimizers", 0, chosen


def edge() -> Iterator[Plan]:
    draw = random.Random(5)
    for seed in range(EDGE_TRIALS):
        activation = draw.choice([name for name in ACTIVATIONS if name != "sigmoid"])
        batch_norm = draw.random() < 0.5
        optimizer = draw.choice(["sgd", "sgd", "adam", "adamw"])
        momentum = draw.choice([0.0, 0.9, 0.95]) if optimizer == "sgd" else None
        low, high = (-2.3, -1.0) if momentum is None else (-1.0, 0.6) if momentum == 0 else (-1.5, -0.3)
        lr = 10 ** draw.uniform(low, high) * (3 if batch_norm and momentum is not None else 1)
        size = draw.choice([16, 32, 64])
        lr = float(f"{lr:.3g}")
        chosen = hyperparameters(
            activation, batch_norm, optimizer, lr, size=size, epochs=EPOCHS_AT_EDGE[size]
        )
        if momentum is not None:
            chosen["optimizer.momentum"] = momentum
        yield f"{label(chosen)} seed {seed}", "edge", seed, chosen


def beyond() -> Iterator[Plan]:
    """Adam's steps are bounded, so where it goes too far the loss goes up in finite numbers."""
    for activation in ("elu", "leaky_relu", "prelu", "selu"):
        for lr in (0.05, 0.1):
            for seed in range(SEEDS):
                chosen = hyperparameters(activation, False, "adam", lr, size=32, epochs=EPOCHS_AT_EDGE[32])
                yield f"{label(chosen)} seed {seed}", "beyond", seed, chosen


def pictures() -> Iterator[Plan]:
    """The rates of cifar10-spikes' laptop profile on a thinner network; and batch norm at sane rates."""
    ranges = {"relu": (0.063, 0.23), "prelu": (0.028, 0.1), "elu": (0.026, 0.092)}
    for activation, (low, high) in ranges.items():
        for batch_norm, rates in ((False, np.geomspace(low, high, 4)), (True, np.array([0.1, 0.3]))):
            for seed, lr in enumerate(rates.round(3).tolist()):
                chosen = hyperparameters(activation, batch_norm, "sgd", lr, size=32, epochs=12)
                chosen |= {
                    "dataset.name": "cifar10",
                    "dataset.train_size": 1280,
                    "dataset.validation_size": 500,
                    "augmentation.flip": True,
                    "augmentation.crop": 0,
                    "training.precision": "auto",
                }
                yield f"cifar10 {label(chosen)} seed {seed}", "cifar10", seed, chosen


def hyperparameters(
    activation: str, batch_norm: bool, optimizer: str, lr: float, *, size: int, epochs: int
) -> dict[str, Scalar]:
    return {
        "dataset.name": "digits",
        "dataset.train_size": EXAMPLES,
        "dataset.validation_size": 100,
        "model.name": "all_cnn_c",
        "model.width": 0.1,
        "model.batch_norm": batch_norm,
        "activation.name": activation,
        "optimizer.name": optimizer,
        "optimizer.lr": lr,
        **({"optimizer.momentum": 0.9} if optimizer == "sgd" else {}),
        "training.epochs": epochs,
        "training.batch_size": size,
        "training.precision": "fp32",
        "training.evaluation_size": 250,
    }


def label(chosen: dict[str, Scalar]) -> str:
    batch_norm = "+bn" if chosen["model.batch_norm"] else ""
    return (
        f"{chosen['activation.name']}{batch_norm} {chosen['optimizer.name']} lr {chosen['optimizer.lr']:g} "
        f"batch {chosen['training.batch_size']}"
    )


def record(plan: Plan, data: LoadedData) -> Trace:
    name, group, seed, chosen = plan
    config = TrialConfig("detectors", name, "tune", 0, chosen, seed=seed, split_seed=0)
    device = torch.device("cpu")
    recorder = Recorder()
    with reproducible(device, seed, 1):
        trial = replace(prepare(config, data, device), monitor=recorder)
        labels = trial.training.source.targets[trial.training.index]
        try:
            for _ in run(trial, time.monotonic()):
                pass
        except Diverged:
            pass
    trace = Trace(
        name=name,
        kind="",
        onset=-1,
        scale=entropy(labels),
        chance=chance(labels),
        epoch_steps=trial.training.steps,
        examples=trial.training.examples,
        losses=np.array(recorder.losses),
        norms=np.array(recorder.norms),
        accuracies=np.array(recorder.accuracies),
        alike=np.array(recorder.alike, bool),
        evaluations=np.array(recorder.evaluations),
    )
    kind, onset = hindsight(trace, group, *LEARNED[data.name])
    return replace(trace, kind=kind, onset=onset)


def hindsight(trace: Trace, group: str, learned: float, accuracy: float) -> tuple[str, int]:
    """How the training ended, and the step at which its trouble began.

    nonfinite   its last loss or gradient norm
    no return   the median of its last 100 losses is above 1.5 best constants; since it has been so
    dead        its last DEAD_EPOCHS epochs at least were at chance, with a loss as of the best constant or
                above; since the first of them
    plateau     of that set, whether it has left its plateau or not
    recovered   spiked, and had learned in the end: a loss below so many best constants, and this accuracy
    healthy     ended so without a spike
    undecided   none of these, such as those that went bad in their last steps
    """
    losses, last = trace.losses, len(trace.losses) - 1
    if not (math.isfinite(losses[-1]) and math.isfinite(trace.norms[-1])):
        return "nonfinite", last
    if len(trace.evaluations) and not math.isfinite(trace.evaluations[-1]):
        return "undecided", -1
    if group == "plateau":
        return "plateau", -1
    if np.median(losses[-100:]) > 1.5 * trace.scale:
        low = np.flatnonzero(running_median(losses) <= 1.5 * trace.scale)
        return "no return", int(low[-1]) + 1 if len(low) else 0
    living = np.flatnonzero(above_chance(trace))
    epochs = len(trace.accuracies) - (int(living[-1]) + 1 if len(living) else 0)
    if epochs >= DEAD_EPOCHS and np.median(losses[-WINDOW:]) > 0.98 * trace.scale:
        return "dead", (len(trace.accuracies) - epochs) * trace.epoch_steps
    if np.median(losses[-WINDOW:]) > learned * trace.scale or trace.accuracies[-1] < accuracy:
        return "undecided", -1
    spike = first_spike(trace)
    return ("healthy", -1) if spike is None else ("recovered", spike)


def above_chance(trace: Trace) -> np.ndarray:
    deviation = math.sqrt(trace.chance * (1 - trace.chance) / trace.examples)
    above: np.ndarray = trace.accuracies > trace.chance + 3 * deviation
    return above


def first_spike(trace: Trace) -> int | None:
    """The first step at which five losses in a row begin whose mean is three times the median of the 50
    before them, and a quarter of the best constant above it."""
    losses = trace.losses
    for step in range(FIRST_STEPS, len(losses) - 5):
        before, now = np.median(losses[step - WINDOW : step]), losses[step : step + 5].mean()
        if now > 3 * before and now - before > 0.25 * trace.scale:
            return step
    return None


def running_median(losses: np.ndarray) -> np.ndarray:
    """Of the WINDOW losses up to each, fewer at the start."""
    return np.array([np.median(losses[max(0, end - WINDOW) : end]) for end in range(1, len(losses) + 1)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--to", type=Path, default=PATH)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    asked = parser.parse_args()
    picked, traces = [plan for plan in plans() if plan[1] in asked.sets], []
    for number, plan in enumerate(picked, start=1):
        traces.append(record(plan, data_set(str(plan[3]["dataset.name"]))))
        sys.stderr.write(f"{number}/{len(picked)} {traces[-1].name}: {traces[-1].kind}\n")
    save(asked.to, traces, "python -m tests.benchmarks.detectors.make_traces")
    sys.stdout.write(f"{asked.to}: {len(traces)} traces, {asked.to.stat().st_size / 1e6:.2f} MB\n")
    return 0


@cache
def data_set(name: str) -> LoadedData:
    given = os.environ.get("STUDY_DATA_DIR")
    return load_dataset(name, Path(given) if given else None)


SETS = ("sane", "plateau", "optimizers", "edge", "beyond", "cifar10")

if __name__ == "__main__":
    sys.exit(main())
