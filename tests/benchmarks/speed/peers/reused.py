"""Ray Tune with what its user guides advise for short trials: processes that are kept (``reuse_actors``) and
data in the object store (``tune.with_parameters``)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from ray import tune

from tests.benchmarks.speed.peers.training import accuracy, laid_out, tensors, trained_network
from tests.benchmarks.speed.peers.tutorial import trained
from tests.benchmarks.speed.peers.workload import Pictures, Trained, Workload, clock, main, pictures


def train(config: dict[str, Any], workload: Workload, data: tuple[Pictures, Pictures]) -> None:
    torch.set_num_threads(1)
    began = clock()
    (images, labels), validation = (tensors(part, laid_out(workload)) for part in data)
    for network in trained_network(workload, config["lr"], config["seed"], images, labels):
        validated = accuracy(workload, network, *validation)
        tune.report({"accuracy": validated, "began": began, "ended": clock()})


def reused(workload: Workload) -> Sequence[Trained]:
    train_part, validation, _ = pictures(workload)
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(train, workload=workload, data=(train_part, validation)), {"cpu": 1}
            ),
            tune_config=tune.TuneConfig(metric="accuracy", mode="max", reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder),
            param_space={"lr": tune.grid_search(list(workload.lrs)), "seed": 0},
        ).fit()
    return [trained(results[number]) for number in range(len(results))]


if __name__ == "__main__":
    main(reused)
