"""Optuna in several processes that share a journal: the way of its tutorial "Easy Parallelization"."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.benchmarks.speed.peers.optuna_threads import objective, trained
from tests.benchmarks.speed.peers.training import laid_out, tensors
from tests.benchmarks.speed.peers.workload import Trained, Workload, main, pictures

NAME = "eight"


def storage(journal: str) -> JournalStorage:
    return JournalStorage(JournalFileBackend(journal))


def work(workload: Workload, journal: str) -> None:
    parts = [tensors(part, laid_out(workload)) for part in pictures(workload)[:2]]
    study = optuna.load_study(study_name=NAME, storage=storage(journal))
    study.optimize(
        lambda trial: objective(trial, workload, parts), n_trials=len(workload.lrs) // workload.processes
    )


def processes(workload: Workload) -> Sequence[Trained]:
    with tempfile.TemporaryDirectory() as folder:
        journal = str(Path(folder) / "journal.log")
        study = optuna.create_study(direction="maximize", study_name=NAME, storage=storage(journal))
        for lr in workload.lrs:
            study.enqueue_trial({"lr": lr})
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=work, args=(workload, journal)) for _ in range(workload.processes)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return trained(study)


if __name__ == "__main__":
    main(processes)
