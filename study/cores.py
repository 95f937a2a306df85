"""How this machine's cores are best given to trials: a thread to each of several, or all of them to one."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

from study.assembly import by_component
from study.components.routine import Routine
from study.devices import pick_device
from study.errors import StudyError, one_line
from study.planning import STANDSTILL, on_few, training_size
from study.running import load_data
from study.spec import StudySpec
from study.training import train
from study.trial import Row, TrialConfig

# More cores than these tell nothing new, and take longer to start and more memory.
MOST_CORES = 4
# Enough to be timed within a few per cent, few enough to take a second or two.
STEPS, EVALUATIONS = 24, 256
# A process that has not come so far by then will not.
WAIT_S = 120.0


@dataclass(frozen=True)
class Division:
    """Training examples a second on ``cores`` cores: of as many trials of one thread at once, added up, and
    of one trial with all the threads."""

    cores: int
    apart: float
    together: float

    @property
    def ratio(self) -> float:
        """Above 1 trials of one thread are faster."""
        return self.apart / self.together

    @property
    def threads(self) -> int:
        """How many a trial should have here."""
        return 1 if self.ratio >= 1 else self.cores

    def crowding(self, alone: float) -> float:
        """How many times as long a trial of one thread takes beside others, with which it shares caches and
        memory, as one that trains ``alone`` so many examples a second."""
        return min(max(1.0, alone * self.cores / self.apart), self.cores)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "best_cpus_per_trial": self.threads}


def divide(spec: StudySpec, config: TrialConfig, data_dir: Path | None, cores: int) -> Division | None:
    """Measure both on some steps of ``config``, in processes of their own. None where there is one core only,
    or a GPU to train on. Raises StudyError where the data cannot be read, a trial ends at once, or a process
    dies."""
    cores = min(cores, MOST_CORES)
    if cores < 2 or pick_device().type != "cpu":
        return None
    context = get_context("spawn")
    try:
        with context.Manager() as manager, ProcessPoolExecutor(cores, mp_context=context) as pool:
            start, case = manager.Barrier(cores), (spec, config, data_dir)
            begun = [pool.submit(_examples_per_second, *case, 1, start) for _ in range(cores)]
            apart = sum(each.result() for each in begun)
            together = pool.submit(_examples_per_second, *case, cores, None).result()
    except (BrokenProcessPool, BrokenBarrierError) as error:  # memory has run out, say
        raise StudyError(f"{cores} trainings at once did not go well: {one_line(str(error))}") from error
    return Division(cores, apart, together)


def _examples_per_second(
    spec: StudySpec, config: TrialConfig, data_dir: Path | None, threads: int, start: Barrier | None
) -> float:
    """Of the second of two short epochs, which all begin at once."""
    data = load_data(spec, data_dir)
    values = dict(config.hyperparameters)
    routine, size = Routine(**by_component(values)["training"]), training_size(values, data)
    few = size if routine.batch_size == "full" else min(size, STEPS * routine.batch_size)
    short = {**values, **on_few(few, EVALUATIONS, data), "training.epochs": 2, **STANDSTILL}

    def report(row: Row) -> None:
        if start is not None and row["epoch"] == 1:
            start.wait(WAIT_S)

    found = train(replace(config, hyperparameters=short), data, threads=threads, report=report)
    if len(found.curve) < 2:
        raise StudyError(f"a short training ended {found.verdict}")
    return float(found.curve[1]["images_per_second"] or 0.0)
