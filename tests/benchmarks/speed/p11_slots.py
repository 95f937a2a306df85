"""P11: how busy the slots are until the last trials, and how the machine's threads are best given to trials.

Busy: the trials' time over the slots' time, from the beginning of the first trial until no other was left to
be started. Left out are the last trials of a phase, when a slot can have nothing to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from study.devices import pick_device, reproducible, resolve_precision
from study.steps import differentiate, update
from tests.benchmarks.monitor_overhead import Case, endless, trial_of
from tests.benchmarks.speed.contestants import natural, rounds, slots
from tests.benchmarks.speed.driven import in_its_own_process
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.peers.workload import Trained
from tests.benchmarks.speed.sizes import Bench

BATCH = 128


def measure(bench: Bench) -> list[Line]:
    shares = []
    for _, ours in rounds(bench, bench.size.short):
        tuned = [each for each in ours.trained if each.test_accuracy is None]
        shares.append(100 * busy(tuned, slots()))
    return [
        Line(
            "busy until the last trials",
            Spread.of(shares),
            " %",
            Bound(">=", 95),
            "Ray's turns between trials",
        ),
        threads(bench),
    ]


def busy(trained: Sequence[Trained], lanes: int) -> float:
    begins = sorted(each.began for each in trained)
    start, last = begins[0], begins[-1]
    worked = sum(max(0.0, min(each.ended, last) - each.began) for each in trained)
    return worked / (lanes * (last - start)) if last > start else 1.0


def threads(bench: Bench) -> Line:
    """The same work by as many one-thread trials as there are cores, and by one trial with all of them."""
    cores = os.cpu_count() or 1
    alone = in_its_own_process(images_per_second, cores, bench.size.steps)
    together = sum(side_by_side(cores, bench.size.steps))
    note = (
        f"{together:,.0f} beside {alone:,.0f} images/s, {natural()}; a study's default is one thread a trial"
    )
    what = f"{cores} one-thread trials, beside one of {cores} threads"
    return Line(what, Spread.of([together / alone]), "x", Bound(">=", 1.0), note=note)


def side_by_side(processes: int, steps: int) -> list[float]:
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(images_per_second, [1] * processes, [steps] * processes))


def images_per_second(count: int, steps: int) -> float:
    """Of training ALL-CNN-C, a quarter of its width, on ``count`` threads."""
    device = pick_device("cpu")
    precision = resolve_precision("auto", device)
    case = Case(width=0.25, pixels=32, batch_size=BATCH, precision=precision, pairs=0, rounds=0)
    with reproducible(device, 0, count):
        trial = trial_of(case, torch.device("cpu"))
        trial.model.train()
        source = endless(trial)
        for number in range(-2, max(6, steps)):
            if number == 0:
                began = time.perf_counter()
            differentiate(trial, *next(source))
            update(trial)
        return BATCH * max(6, steps) / (time.perf_counter() - began)
