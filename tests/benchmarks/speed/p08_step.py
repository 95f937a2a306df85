"""P8: a training step of ALL-CNN-C (the published one, without batch norm) on one thread, as a share of what
multiplying matrices reaches at that precision, and beside the best loop written by hand.

The study's step is the whole one: its batch from the resident bytes, gradient norm, monitor, recorder.
Operations are counted by torch (two a multiply-add, forward and backward).
"""

from __future__ import annotations

import copy
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from study.autopsy import Recorder
from study.devices import Precision, autocast, pick_device, reproducible, resolve_precision
from study.steps import Trial
from tests.benchmarks.monitor_overhead import Case, endless, trial_of, watched_step
from tests.benchmarks.speed.lines import Bound, Line, Spread, ratio
from tests.benchmarks.speed.sizes import Bench, Size

WARM_UP = 1
# Pictures enough to count a step's operations on.
FEW = 8
# Large enough for a core's best, small enough for its cache to hold tiles of it.
MATRIX = 1536
LIMIT = "oneDNN's convolutions of so few channels; batch norm, pooling and the optimizer multiply nothing"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Narrow networks' layers are too small to fill a core's multipliers.
BOUNDS = {1.0: Bound(">=", 85), 0.25: Bound(">=", 60)}


@dataclass(frozen=True)
class Steps:
    """Seconds of single steps, taken in turns: the study's and those of a loop by hand."""

    study: list[float]
    by_hand: list[float]


def measure(bench: Bench) -> list[Line]:
    device = pick_device("cpu")
    natural = resolve_precision("auto", device)
    lines = []
    with reproducible(device, 0, 1):
        for precision in dict.fromkeys(("fp32", natural)):
            peak = matmul_peak(DTYPES[precision])
            for width in bench.size.widths:
                lines += of_network(width, precision, peak, bench.size)
    return lines


def of_network(width: float, precision: Precision, peak: float, size: Size) -> list[Line]:
    batch = size.batch
    case = Case(width=width, pixels=32, batch_size=batch, precision=precision, pairs=0, rounds=0)
    trial = trial_of(case, torch.device("cpu"), batch_norm=False)
    taken = timed_steps(trial, precision, size.steps)
    operations = step_operations(trial)
    seconds = statistics.median(taken.study)
    share = [100 * operations / each / peak for each in taken.study]
    what = f"width {width:g}, {precision}"
    note = (
        f"batches of {batch}, {batch / seconds:,.0f} images/s of {operations / batch / 1e6:,.0f} MFLOP; "
        f"matmul {peak / 1e9:.0f} GFLOP/s"
    )
    return [
        Line(f"{what}: of the matmul peak", Spread.of(share), " %", BOUNDS.get(width), LIMIT, note),
        Line(
            f"{what}: beside the best loop by hand",
            ratio(taken.by_hand, taken.study),
            "x",
            Bound(">=", 0.97),
            "gradient norm, monitor and recorder (P13)",
        ),
    ]


def timed_steps(trial: Trial, precision: Precision, steps: int) -> Steps:
    trial.model.train()
    contestants = {"study": study_step(trial), "by_hand": hand_step(trial, precision)}
    found: dict[str, list[float]] = {name: [] for name in contestants}
    order = random.Random(0)
    for number in range(-WARM_UP, steps):
        for name in order.sample(list(contestants), 2):
            began = time.perf_counter()
            contestants[name]()
            if number >= 0:
                found[name].append(time.perf_counter() - began)
    return Steps(found["study"], found["by_hand"])


def study_step(trial: Trial) -> Callable[[], None]:
    recorder = Recorder(trial)
    source = (batch for batch in endless(trial) if len(batch[1]) == trial.training.batch_size)
    spent: dict[str, float] = dict.fromkeys(("norm", "rules", "recorder"), 0.0)
    return lambda: watched_step(trial, recorder, next(source), spent)


def hand_step(trial: Trial, precision: Precision) -> Callable[[], None]:
    """Pictures normalised once and for all, channels last, sliced; no norm, no checks, no record."""
    images, labels = trial.training.source.batch(trial.training.index)
    images = images.contiguous(memory_format=torch.channels_last)
    network: nn.Module = copy.deepcopy(trial.model).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    batches = endless_slices(images, labels, trial.training.batch_size)

    def step() -> None:
        some, wanted = next(batches)
        with autocast(trial.device, precision):
            loss = functional.cross_entropy(network(some).float(), wanted)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


def endless_slices(images: Tensor, labels: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        for index in torch.randperm(len(labels)).split(batch):
            if len(index) == batch:
                yield images[index], labels[index]


def step_operations(trial: Trial) -> float:
    """Floating-point operations of one batch, forward and backward: as many a picture in a small one."""
    inputs, targets = trial.training.source.batch(trial.training.index[:FEW])
    with FlopCounterMode(display=False) as counter:
        trial.loss(trial.model(inputs), targets).mean().backward()
    trial.optimizer.zero_grad(set_to_none=True)
    return float(counter.get_total_flops()) * trial.training.batch_size / FEW


def matmul_peak(dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Operations a second, the best of many products of two square matrices."""
    left, right = torch.randn(MATRIX, MATRIX).to(dtype), torch.randn(MATRIX, MATRIX).to(dtype)
    fastest, deadline = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        left @ right
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * MATRIX**3 / fastest
