"""Thousands of trials that take no time, with workers and drivers that die: nothing grows.

Case 31 of the faults.
"""

from __future__ import annotations

import ctypes
import gc
import random
import shutil
import tempfile
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import psutil
import pytest

from study.audit import audit
from study.record import StudyRecord
from study.tracking import Feeder, default_tracking_uri
from tests.faults.test_machine import MEMORY
from tests.faults.toy import a_study, compute, conducting, rows

pytestmark = pytest.mark.faults


def soak(root: Path, trials: int, with_mlflow: bool, answer: Connection) -> None:
    """Sends (trials done, bytes in use, descriptors, threads) after every thousand trials. What a driver
    has imported is imported: its memory is what growth is measured by."""
    import ray.tune  # noqa: F401

    spec = a_study(trials_per_arm=trials // 2, replicates=1)
    moments, me, done = random.Random(31), psutil.Process(), 0
    while done < trials:
        with conducting(root, spec, concurrent=4) as conductor:
            record = StudyRecord.latest(root, "toy")
            # On and off: a store that is away half of the time.
            uri = default_tracking_uri(root) if with_mlflow and moments.random() < 0.5 else None
            feeder = Feeder(record, uri, every_s=0.1) if uri else None
            if feeder:
                feeder.__enter__()
            for _ in range(500):
                config = conductor.next_trial()
                if config is None:
                    break
                if moments.random() < 0.05:  # its worker dies
                    conductor.started(config, f"{done} died")
                    conductor.reported(config, f"{done} died", rows(config)[0])
                compute(conductor, config, f"{done}")
                done += 1
            if feeder:
                feeder.close()
            conductor.journal.ended("the driver was killed")
        if done % 1000 == 0:
            gc.collect()  # connections in circles of references are closed when these are found
            ctypes.CDLL(None).malloc_trim(0)  # what is free is no growth, in whichever arena it lies
            answer.send((done, me.memory_info().rss, me.num_fds(), me.num_threads()))


def test_thousands_of_trials_leave_nothing_behind(processes: ForkServerContext) -> None:
    watch(processes, trials=3000, with_mlflow=False)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_thousand_trials_beside_mlflow_leave_nothing_behind(processes: ForkServerContext) -> None:
    watch(processes, trials=10_000, with_mlflow=True)


def watch(processes: ForkServerContext, trials: int, with_mlflow: bool) -> None:
    root = Path(tempfile.mkdtemp(dir=MEMORY))
    try:
        receive, send = processes.Pipe(duplex=False)
        process = processes.Process(target=soak, args=(root, trials, with_mlflow, send))
        process.start()
        seen = [receive.recv() for _ in range(trials // 1000)]
        process.join()
        assert audit(StudyRecord.latest(root, "toy")) == []
    finally:
        shutil.rmtree(root)
    # The first thousand warm up: libraries are imported, arenas are filled. The later ones are taken
    # together, for an arena more or less is 5 % of one of them.
    growth = (seen[-1][1] / seen[1][1]) ** (1 / (len(seen) - 2))
    assert growth < 1.05, f"memory grows by {growth - 1:.1%} in a thousand trials: {seen}"
    for at, what in ((2, "descriptors"), (3, "threads")):
        counts = [each[at] for each in seen[1:]]
        # One that is about to be closed, to a store or of a feeder, may be met.
        assert counts[-1] <= counts[0], f"{what}: {counts}"
        assert max(counts) <= counts[0] + 2, f"{what}: {counts}"
