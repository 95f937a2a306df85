"""P9: pictures from the resident copy, and how many copies there are."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from study.batches import TrainingPart, resident, seeded
from study.components.augmentation import Augmentation
from tests.benchmarks.speed.contestants import slots
from tests.benchmarks.speed.driven import PICTURES, Drive, NoWork, driven, nothing_to_learn
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.p05_reports import reporting
from tests.benchmarks.speed.sizes import Bench

BATCH = 128
DATA_MB = 3072 * PICTURES / 2**20
LIMIT = "gathering bytes one by one where pictures are moved"


def measure(bench: Bench) -> list[Line]:
    return [
        *(speed(name, moves, bench.size.epochs_of_data) for name, moves in MOVES.items()),
        copies(bench),
    ]


def speed(name: str, augmentation: Augmentation, epochs: int) -> Line:
    """Pictures a second on one thread, with all that is done to them before the network."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = [PICTURES / seconds for seconds in epoch_seconds(augmentation, epochs + 1)]
    finally:
        torch.set_num_threads(threads)
    # The first epoch pays for what is made once.
    return Line(f"{name}, batches of {BATCH}", Spread.of(found[1:]), " /s", Bound(">=", 100_000), LIMIT)


def epoch_seconds(augmentation: Augmentation, epochs: int) -> Iterator[float]:
    data = nothing_to_learn(pictures=PICTURES)
    source = resident(data.train_inputs, data.train_targets, data, torch.device("cpu"))
    part = TrainingPart(
        source, torch.arange(PICTURES), BATCH, augmentation, seeded(0, "order"), seeded(0, "augmentation")
    )
    for _ in range(epochs):
        began = time.perf_counter()
        for _ in part.epoch():
            pass
        yield time.perf_counter() - began


def copies(bench: Bench) -> Line:
    """By how much a worker's own memory grows with the data, as a share of it. P5's workers have next to
    none. The driver has put it into Ray's store once; each worker has read all of it."""
    reading = NoWork(1, pause_s=0.5, reads=True)
    large = driven(bench.folder, Drive(2 * slots(), reading, pictures=PICTURES))
    small, own = (max(one["own_mb"] for one in run.seen) for run in (reporting(bench), large))
    note = f"{own:.0f} MB of its own with {DATA_MB:.0f} MB of data, {small:.0f} MB without"
    share = 100 * (own - small) / DATA_MB
    return Line("copied by each worker", Spread.of([share]), " % of the data", Bound("<=", 5), note=note)


MOVES = {
    "as they are": Augmentation(),
    "flipped and shifted": Augmentation(flip=True, crop=4),
}
