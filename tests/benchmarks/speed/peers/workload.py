"""What every contestant trains: the same trials on the same pictures, read from one file; and what it says
of them.

    python -m tests.benchmarks.speed.peers.NAME WORKLOAD.json RESULT.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOMENTUM, WEIGHT_DECAY, BATCH = 0.9, 5e-4, 128


@dataclass(frozen=True)
class Workload:
    """Trials that differ in their learning rate; after them ``replicates`` of the best with other seeds, also
    judged on the test pictures. ``pictures`` is an .npz with train and test, uint8 (n, 32, 32, 3), and their
    labels; trained on are the first ``train_size``, validated on the next ``validation_size``."""

    pictures: str
    lrs: tuple[float, ...]
    replicates: int
    epochs: int
    train_size: int
    validation_size: int
    width: float
    channels_last: bool
    bf16: bool
    processes: int


@dataclass(frozen=True)
class Trained:
    """One trial: its accuracies, and when it began and ended, in seconds since 1970."""

    lr: float
    accuracy: float
    began: float
    ended: float
    test_accuracy: float | None = None


class Pictures(NamedTuple):
    """uint8 (n, 32, 32, 3) and int64 (n,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def pictures(workload: Workload) -> tuple[Pictures, Pictures, Pictures]:
    """To train on, to validate on, to test on."""
    with np.load(workload.pictures) as file:
        train = Pictures(file["train_images"], file["train_labels"])
        test = Pictures(file["test_images"], file["test_labels"])
    end = workload.train_size + workload.validation_size
    return (
        Pictures(train.images[: workload.train_size], train.labels[: workload.train_size]),
        Pictures(train.images[workload.train_size : end], train.labels[workload.train_size : end]),
        test,
    )


def best(trained: Sequence[Trained]) -> float:
    """The learning rate that the replicates take."""
    return max(trained, key=lambda each: each.accuracy).lr


def run(contestant: Callable[[Workload], Sequence[Trained]], source: Path, target: Path) -> None:
    """Read the workload, have it trained, write what came of it and how many seconds that took."""
    began = time.monotonic()
    given = json.loads(source.read_text())
    workload = Workload(**{**given, "lrs": tuple(given["lrs"])})
    trained = [asdict(each) for each in contestant(workload)]
    target.write_text(json.dumps({"trained": trained, "seconds": time.monotonic() - began}))


def main(contestant: Callable[[Workload], Sequence[Trained]]) -> None:
    """``run`` with the files that the command line names."""
    run(contestant, *map(Path, sys.argv[1:]))


def clock() -> float:
    return time.time()
