"""Raw training loops, nothing else: a pool of as many processes as there are slots.

Each epoch it evaluates what a study evaluates (validation, and a thousand training pictures), and replicates
on the test pictures, so that equal work is compared.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from tests.benchmarks.speed.peers.training import (
    TRAIN_EVALUATED,
    accuracy,
    laid_out,
    tensors,
    trained_network,
)
from tests.benchmarks.speed.peers.workload import Trained, Workload, best, clock, main, pictures

Part = tuple[Tensor, Tensor]


@cache
def parts(workload: Workload) -> list[Part]:
    """Once a process."""
    return [tensors(part, laid_out(workload)) for part in pictures(workload)]


def train(workload: Workload, lr: float, seed: int, replicate: bool) -> Trained:
    torch.set_num_threads(1)
    (images, labels), validation, test = parts(workload)
    began, validated = clock(), 0.0
    for network in trained_network(workload, lr, seed, images, labels):
        validated = accuracy(workload, network, *validation)
        accuracy(workload, network, images[:TRAIN_EVALUATED], labels[:TRAIN_EVALUATED])
    tested = accuracy(workload, network, *test) if replicate else None
    return Trained(lr, validated, began, clock(), tested)


def raw(workload: Workload) -> Sequence[Trained]:
    with multiprocessing.get_context("spawn").Pool(workload.processes) as pool:
        tuning = [(workload, lr, seed, False) for seed, lr in enumerate(workload.lrs)]
        tuned = pool.starmap(train, tuning, chunksize=1)
        again = [(workload, best(tuned), 100 + seed, True) for seed in range(workload.replicates)]
        return tuned + pool.starmap(train, again, chunksize=1)


if __name__ == "__main__":
    main(raw)
