"""P11: how busy the slots are until the last trials, and how the machine's threads are best given to trials.

Busy: the trials' time over the slots' time, from the beginning of the first trial until no other was left to
be started. Left out are the last trials of a phase, when a slot can have nothing to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from threading import Barrier

from study.batches import Batch
from study.devices import pick_device, reproducible, resolve_precision
from study.steps import Trial, differentiate, update
from tests.benchmarks.monitor_overhead import Case, endless, trial_of
from tests.benchmarks.speed.contestants import natural, rounds, slots
from tests.benchmarks.speed.driven import in_its_own_process
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.peers.workload import Trained
from tests.benchmarks.speed.sizes import Bench

BATCH = 128
WARM_UP, FEWEST_STEPS = 2, 20


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
    cores, steps = os.cpu_count() or 1, max(FEWEST_STEPS, bench.size.steps)
    alone = in_its_own_process(images_per_second, cores, steps)
    together = sum(side_by_side(cores, steps))
    note = (
        f"{together:,.0f} beside {alone:,.0f} images/s, {natural()}; a study's default is one thread a trial"
    )
    what = f"{cores} one-thread trials, beside one of {cores} threads"
    return Line(what, Spread.of([together / alone]), "x", Bound(">=", 1.0), note=note)


def side_by_side(processes: int, steps: int) -> list[float]:
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(processes, mp_context=context) as pool:
        together = manager.Barrier(processes)
        begun = [pool.submit(images_per_second, 1, steps, together) for _ in range(processes)]
        return [each.result() for each in begun]


def images_per_second(count: int, steps: int, together: Barrier | None = None) -> float:
    """Of training ALL-CNN-C, a quarter of its width, on ``count`` threads; timed from when all are ready."""
    device = pick_device("cpu")
    precision = resolve_precision("auto", device)
    case = Case(width=0.25, pixels=32, batch_size=BATCH, precision=precision, pairs=0, rounds=0)
    with reproducible(device, 0, count):
        trial = trial_of(case, device)
        trial.model.train()
        source = (batch for batch in endless(trial) if len(batch[1]) == BATCH)
        take(trial, source, WARM_UP)
        if together is not None:
            together.wait()
        began = time.perf_counter()
        take(trial, source, steps)
        return BATCH * steps / (time.perf_counter() - began)


def take(trial: Trial, source: Iterator[Batch], steps: int) -> None:
    for inputs, targets in islice(source, steps):
        differentiate(trial, inputs, targets)
        update(trial)
