"""Optuna with ``n_jobs``: the trials are threads of one process."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
import torch
from torch import Tensor

from tests.benchmarks.speed.peers.training import accuracy, laid_out, tensors, trained_network
from tests.benchmarks.speed.peers.workload import Trained, Workload, clock, main, pictures

RANGE = (1e-4, 1.0)


def objective(trial: optuna.Trial, workload: Workload, parts: Sequence[tuple[Tensor, Tensor]]) -> float:
    torch.set_num_threads(1)
    (images, labels), validation = parts
    lr = trial.suggest_float("lr", *RANGE, log=True)
    trial.set_user_attr("began", clock())
    for epoch, network in enumerate(trained_network(workload, lr, trial.number, images, labels)):
        validated = accuracy(workload, network, *validation)
        trial.report(validated, epoch)
    return validated


def trained(study: optuna.Study) -> list[Trained]:
    return [
        Trained(each.params["lr"], each.value, each.user_attrs["began"], each.datetime_complete.timestamp())
        for each in study.get_trials()
        if each.datetime_complete is not None and each.value is not None
    ]


def threads(workload: Workload) -> Sequence[Trained]:
    parts = [tensors(part, laid_out(workload)) for part in pictures(workload)[:2]]
    study = optuna.create_study(direction="maximize")
    for lr in workload.lrs:
        study.enqueue_trial({"lr": lr})
    study.optimize(
        lambda trial: objective(trial, workload, parts), n_trials=len(workload.lrs), n_jobs=workload.processes
    )
    return trained(study)


if __name__ == "__main__":
    main(threads)
