"""What share of a GPU each arm's trials get: measured on the cluster where the study says "auto".

A short training of an arm's typical trial, alone on a GPU, then two of them at once, four and so on
(study.packing), and each with the memory that torch and CUDA take. It is done once for each model of GPU
that the cluster has, and the record keeps it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from study.assembly import by_component
from study.batches import EVALUATION_BATCH, cuts
from study.components.datasets import LoadedData
from study.components.routine import Routine
from study.conductor import Conductor
from study.devices import device_name, memory_taken, peak_memory, pick_device, release_memory, watch_memory
from study.errors import StudyError, one_line
from study.packing import Load, Meter, Packing, pack, read_packings
from study.planning import STANDSTILL, WARM_UP_STEPS, on_few, training_size
from study.record import StudyRecord
from study.training import train
from study.trial import Row, TrialConfig
from study.typical import example

if TYPE_CHECKING:
    from study.tuning.group import AtOnce
    from study.tuning.session import Slots

# What a measurement lasts, from the end of the first epoch on: long enough for processes that begin a little
# apart to be at it together for most of it.
MEASURE_S = 4.0

# More of the short epochs than fit into that.
MANY_EPOCHS = 1000

OnGpu = Callable[[str, int], AbstractContextManager[Meter]]
"""(model, most): a meter on a GPU of this model (any, where it is empty), of up to so many trials at once."""


def give_shares(
    conductor: Conductor,
    record: StudyRecord,
    slots: Slots,
    on_gpu: OnGpu,
    say: Callable[[str], None],
) -> Slots:
    """Tell the conductor what each arm's trials ask for of a GPU, and return the slots that this makes.

    What the record has of this cluster's GPUs is not measured again. Where models differ, the largest share
    counts: a trial may come to any of them. Ends early where the study is to stop.
    """
    conductor.shares.of_arm = dict.fromkeys(conductor.arms, slots.gpus)
    if conductor.spec.resources.gpus_per_trial != "auto" or not slots.gpus:
        return slots
    models = slots.models or ("",)
    found = {key: each for key, each in read_packings(record.events()).items() if each.loads}
    for model in models:
        trials = [example(conductor.spec, each.arm, 0) for each in conductor.arms.values()]
        new = [trial for trial in trials if (model, trial.arm) not in found]
        for packing in measured(new, on_gpu, model, slots.on_a_gpu):
            conductor.journal.append("packed", on=model, **packing.to_json())
            found[model, packing.arm] = packing
            say(f"packing  {packing}")
            if conductor.stopping():
                return slots
    conductor.shares.of_arm = {
        arm: max((found[key].gpus for key in ((model, arm) for model in models) if key in found), default=1.0)
        for arm in conductor.arms
    }
    return slots.shared(min(conductor.shares.of_arm.values()))


def measured(trials: Sequence[TrialConfig], on_gpu: OnGpu, model: str, most: int) -> Iterator[Packing]:
    """Each trial's arm's packing. An arm that cannot be measured has a whole GPU for each of its trials."""
    left = list(trials)
    try:
        with ExitStack() as stack:
            meter = stack.enter_context(on_gpu(model, most)) if left else None
            while left and meter:
                yield _packing(left.pop(0), meter, most)
    except StudyError as error:
        yield from (_unmeasured(trial, model or "GPU", error) for trial in left)


def _packing(trial: TrialConfig, meter: Meter, most: int) -> Packing:
    try:
        return pack(trial, meter, most)
    except StudyError as error:
        return _unmeasured(trial, meter.device, error)


def _unmeasured(trial: TrialConfig, device: str, why: StudyError) -> Packing:
    return Packing(trial.arm, device, 1, f"not measured: {one_line(str(why))}", ())


# -- the cluster's GPUs ------------------------------------------------------------------------------


def cluster_gpu(data: LoadedData, slots: Slots) -> OnGpu:
    """Meters on the GPUs of this session's cluster."""

    @contextmanager
    def on_gpu(model: str, most: int) -> Iterator[Meter]:
        from study.tuning.group import on_one_gpu, share

        with on_one_gpu(slots, model, most) as at_once:
            yield GpuMeter(at_once, data, share(data), slots.cpus)

    return on_gpu


class GpuMeter:
    """Trains in processes that have a GPU to themselves. ``shared`` is ``data`` as they are handed it."""

    def __init__(self, at_once: AtOnce, data: LoadedData, shared: Any, threads: int) -> None:
        self._at_once, self._data, self._shared, self._threads = at_once, data, shared, threads
        ((self.device, self._taken, self._total),) = at_once(1, look)
        if not self._total:
            raise StudyError("the cluster counts GPUs, and torch finds none there")

    def __call__(self, trial: TrialConfig, together: int) -> Load | None:
        short, steps = shortened(trial, self._data)
        # Two epochs first: a process that loads its libraries and kernels would be late for the others.
        for measure_s in (0.0, MEASURE_S):
            found = self._at_once(together, train_a_while, short, self._shared, self._threads, measure_s)
            if None in found:
                return None
        # A replicate has the test examples there as well.
        own = max(peak for _, peak in found) + self._data.test_inputs.nbytes
        step_s = seconds_a_step([ends for ends, _ in found], steps)
        return Load(together, self._taken + own, self._total, step_s)


def look() -> tuple[str, int, int]:
    """The GPU of this process: its model, the bytes that are taken before anything is trained, and all."""
    device = pick_device()
    torch.zeros(1, device=device)
    return (device_name(device), *memory_taken(device))


def train_a_while(
    config: TrialConfig, data: LoadedData, threads: int, measure_s: float
) -> tuple[tuple[float, ...], int] | None:
    """When (unix seconds) each of the epochs ended that fit into ``measure_s``, and the most bytes that torch
    held of the GPU; None where they did not suffice."""
    device = pick_device()
    ends: list[float] = []

    def report(row: Row) -> None:
        ends.append(time.time())
        if ends[-1] - ends[0] > measure_s:
            raise Enough

    watch_memory(device)
    try:
        train(config, data, report=report, threads=threads)
    except Enough:
        pass
    except torch.OutOfMemoryError:
        return None
    peak = peak_memory(device)
    release_memory(device)
    return tuple(ends), peak


class Enough(Exception):
    """Ends a training that has been seen for long enough."""


def shortened(trial: TrialConfig, data: LoadedData) -> tuple[TrialConfig, int]:
    """The trial with few examples, many epochs and a learning rate at which nothing diverges; and how many
    steps an epoch has. A batch, trained on or evaluated, is as large as in the whole trial."""
    values = dict(trial.hyperparameters)
    routine = Routine(**by_component(values)["training"])
    evaluated = routine.evaluation_batch or EVALUATION_BATCH["cuda"]
    size = training_size(values, data)
    batch = size if routine.batch_size == "full" else routine.batch_size
    few = min(size, max(WARM_UP_STEPS * batch, evaluated))
    short = {**values, **on_few(few, evaluated, data), **STANDSTILL, "training.epochs": MANY_EPOCHS}
    return replace(trial, hyperparameters=short), len(cuts(few, batch))


def seconds_a_step(ends: Sequence[Sequence[float]], steps: int) -> float:
    """How long a step of each process took while all of them were at it, told by when (seconds) the epochs
    of each ended, which have so many ``steps``. StudyError where none ended within that time."""
    if not all(ends):
        raise StudyError("the warm-up ended within its first epoch")
    begin, end = max(each[0] for each in ends), min(each[-1] for each in ends)
    epochs = sum(begin < at <= end for each in ends for at in each)
    if not epochs:
        raise StudyError("the warm-up saw no whole epoch")
    return len(ends) * (end - begin) / (epochs * steps)
