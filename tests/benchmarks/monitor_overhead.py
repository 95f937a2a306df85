"""What the watch over a healthy training costs, as a share of its step time.

    python -m tests.benchmarks.monitor_overhead                     (make bench-monitor)
    python -m tests.benchmarks.monitor_overhead --only small --rounds 100 --device cuda

Watched are all steps of a study: the recorder that keeps what an autopsy needs, the global gradient norm,
the monitor's rules and, every so many steps, its look at all parameters and buffers. Bare steps have none of
them and read their loss, as every training does. The two take turns, step by step, in random order.

``watched``: how much longer the watched steps of a round took than its bare ones; the median over the rounds
with its 95 % interval from their order statistics. It has to stay below 2 % of the usual step; the small
one, of a network for the demos, shows that the cost is a fraction of a millisecond whatever a step takes.
The other columns are shares of a watched step, each piece's own time: what a piece leaves in the caches for
the next is not taken off, so they may add up to more. Times are the processor's, this thread's alone; on CUDA
they are the host's, and nobody waits for the device.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from study.assembly import prepare
from study.autopsy import EVERY, Recorder
from study.batches import Batch
from study.components.datasets import LoadedData
from study.devices import environment, pick_device, reproducible
from study.space import Scalar
from study.steps import Gradient, Halfway, Trial, backward, batches, gradient_norm, right_answers, update
from study.training import rate
from study.trial import TrialConfig

BOUND = 0.02
WARM_UP = 20
PIECES = ("norm", "rules", "recorder")


@dataclass(frozen=True)
class Case:
    """An ALL-CNN-C with batch norm under SGD; ``pairs`` of steps, one watched and one bare, make a round.

    With as many pairs as the recorder waits between two snapshots, a round has one on average.
    """

    width: float
    pixels: int
    batch_size: int
    precision: str
    pairs: int
    rounds: int

    def __str__(self) -> str:
        shape = f"{self.pixels}x{self.pixels}"
        return f"width {self.width:g}, batch {self.batch_size}, {shape}, {self.precision}"


@dataclass
class Round:
    """Seconds of a round's steps, and of the pieces within the watched ones."""

    watched: float = 0.0
    bare: float = 0.0
    pieces: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PIECES, 0.0))

    @property
    def added(self) -> float:
        """What the watch itself took, as a share of the rest of its steps."""
        own = sum(self.pieces.values())
        return own / (self.watched - own)


def noise(case: Case) -> LoadedData:
    """Pictures of noise: what is measured does not depend on what they show."""
    number = 10 * case.batch_size + 20
    shape = (number, case.pixels, case.pixels, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = np.arange(number, dtype=np.int64) % 10
    names = tuple(map(str, range(10)))
    third = (0.5, 0.5, 0.5)
    return LoadedData("noise", names, images, labels, images, labels, third, third, "", False, "made here")


def trial_of(case: Case, device: torch.device, *, batch_norm: bool = True) -> Trial:
    hyperparameters: dict[str, Scalar] = {
        "dataset.validation_size": 10,
        "model.name": "all_cnn_c",
        "model.width": case.width,
        "model.batch_norm": batch_norm,
        "activation.name": "relu",
        "optimizer.name": "sgd",
        "optimizer.lr": 1e-3,
        "optimizer.momentum": 0.9,
        "training.epochs": 10**6,
        "training.batch_size": case.batch_size,
        "training.precision": case.precision,
        "training.evaluation_size": 10,
    }
    return prepare(TrialConfig("noise", "noise", "tune", 0, hyperparameters, 1, 2), noise(case), device)


def endless(trial: Trial) -> Iterator[Batch]:
    while True:
        yield from batches(trial)
        trial.position.turn()


def watched_step(trial: Trial, recorder: Recorder, batch: Batch, spent: dict[str, float]) -> None:
    """As study.training has it."""
    times = [time.thread_time()]
    recorder.before()
    times.append(time.thread_time())
    loss, right = forward_and_back(trial, batch)
    times.append(time.thread_time())
    gradient = Gradient(loss, right, gradient_norm(trial.parameters))
    times.append(time.thread_time())
    recorder.after(gradient)
    times.append(time.thread_time())
    trial.monitor.step(gradient.loss, gradient.norm, rate(trial))
    times.append(time.thread_time())
    update(trial)
    before, _, norm, after, rules = (end - start for start, end in itertools.pairwise(times))
    for name, seconds in zip(PIECES, (norm, rules, before + after), strict=True):
        spent[name] += seconds


def bare_step(trial: Trial, batch: Batch) -> None:
    loss, _ = forward_and_back(trial, batch)
    loss.item()
    update(trial)


def forward_and_back(trial: Trial, batch: Batch) -> tuple[Tensor, Tensor]:
    """As study.steps.differentiate, without the norm; the loss and the right answers."""
    loss, outputs = backward(trial, *batch)
    trial.position.halfway = Halfway(*batch, loss)
    return loss, right_answers(trial, outputs, batch[1])


def measure(case: Case, device: torch.device) -> Iterator[Round]:
    trial, order = trial_of(case, device), random.Random(0)
    trial.model.train()
    recorder, source = Recorder(trial), endless(trial)
    for number in range(-1, case.rounds):
        told = Round()
        for _ in range(case.pairs if number >= 0 else WARM_UP):
            for watched in order.sample([True, False], 2):
                before = time.thread_time()
                batch = next(source)
                if watched:
                    watched_step(trial, recorder, batch, told.pieces)
                    told.watched += time.thread_time() - before
                else:
                    bare_step(trial, batch)
                    told.bare += time.thread_time() - before
        if number >= 0:
            yield told


def median_interval(ordered: list[float]) -> tuple[float, float]:
    """The normal approximation to the binomial: ranks n/2 -+ 0.98 sqrt(n)."""
    centre, reach = (len(ordered) - 1) / 2, 0.98 * math.sqrt(len(ordered))
    lowest, highest = math.floor(centre - reach), math.ceil(centre + reach)
    return ordered[max(0, lowest)], ordered[min(len(ordered) - 1, highest)]


def report(case: Case, rounds: list[Round]) -> float:
    """Print a case's line; the overhead."""
    ratios = sorted(each.watched / each.bare - 1 for each in rounds)
    overhead, (low, high) = statistics.median(ratios), median_interval(ratios)
    milliseconds = 1e3 * statistics.median(each.watched for each in rounds) / case.pairs
    shares = (statistics.median(each.pieces[name] / each.watched for each in rounds) for name in PIECES)
    interval = f"{overhead:7.2%} ({low:.2%} to {high:.2%})"
    say(f"{case!s:<38} {milliseconds:8.2f}   {interval:<29}{'  '.join(f'{share:7.3%}' for share in shares)}")
    return overhead


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=CASES, help="one of the cases")
    parser.add_argument("--rounds", type=int, help="so many of each")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    device = pick_device(asked.device)
    usual = 0.0
    with reproducible(device, 0, 1):
        where = environment(device, "fp32")
        say(f"{where['device_name']}, {where['threads']} thread, torch {where['torch']}")
        pieces = "  ".join(name.rjust(7) for name in PIECES)
        say(f"{'ALL-CNN-C, batch norm':<38}  ms/step   {'watched (95 %)':<29}{pieces}")
        for name in [asked.only] if asked.only else CASES:
            case = CASES[name]
            if asked.rounds:
                case = replace(case, rounds=asked.rounds)
            overhead = report(case, list(measure(case, device)))
            usual = overhead if name == "usual" else usual
    sys.exit(f"above {BOUND:.0%}: {usual:.2%}" if usual > BOUND else 0)


CASES = {
    "usual": Case(width=0.25, pixels=32, batch_size=128, precision="bf16", pairs=EVERY, rounds=12),
    "small": Case(width=0.1, pixels=16, batch_size=32, precision="fp32", pairs=EVERY, rounds=40),
}

if __name__ == "__main__":
    main()
