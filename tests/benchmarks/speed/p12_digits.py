"""P12: the same trial, trained in four ways, gives the same digits: alone, beside others, over Ray, resumed.

Counted are the numbers of its curve and its metrics that differ in any bit; times are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from study.checkpoint import Checkpoints
from study.components.datasets import LoadedData, load_dataset
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord
from study.running import worst_objective
from study.spec import StudySpec
from study.studyfile import validate
from study.training import train
from study.trial import Row, TrialConfig, TrialResult
from study.tuning.attempt import Keeping
from study.tuning.session import ray_session
from tests.benchmarks.speed.driven import in_its_own_process
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.sizes import Bench

EPOCHS = 3
TIMES = ("seconds", "time", "images_per_second")
Digits = dict[str, float | int | None]


class Cut(Exception):
    """Ends a training after its first checkpoint."""


def measure(bench: Bench) -> list[Line]:
    data = load_dataset("digits", None)
    with ThreadPoolExecutor() as pool:  # nothing is timed
        over = pool.submit(in_its_own_process, over_ray, bench.folder)
        config = first_of_the_study(bench.folder, data)
        alone = digits(train(config, data, threads=1))
        others = {
            "beside others": packed(config, bench.size.same),
            "resumed": [resumed(config, data, bench.folder)],
            "over Ray": [over.result()],
        }
    note = f"{len(alone)} numbers of {EPOCHS} epochs, one thread"
    return [
        Line(
            f"{name}: differing numbers",
            Spread.of([apart(alone, each) for each in found]),
            "",
            Bound("<=", 0),
            note=note,
        )
        for name, found in others.items()
    ]


def a_study() -> StudySpec:
    """Everything that draws or remembers is on."""
    table = {
        "question": "Are they the same?",
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "nuisance": {"optimizer": {"lr": [0.02]}},
        "fixed": {
            "dataset": {"name": "digits", "train_size": 400, "validation_size": 200},
            "model": {"name": "all_cnn_c", "width": 0.125, "batch_norm": True, "dropout": True},
            "activation": {"name": "relu"},
            "optimizer": {"name": "sgd", "momentum": 0.9},
            "augmentation": {"flip": True, "crop": 1},
            "training": {"epochs": EPOCHS, "batch_size": 32, "evaluation_size": 200},
        },
        "search": {"sampler": "grid", "trials_per_arm": 1, "replicates": 0},
        "resources": {"checkpoint_s": 0.0, "max_concurrent": 1},
    }
    return validate(table, "digits", "digits.toml")


def digits(result: TrialResult) -> Digits:
    curve = {
        f"{row['epoch']}/{name}": value
        for row in result.curve
        for name, value in row.items()
        if name not in TIMES
    }
    return curve | {f"end/{name}": value for name, value in result.metrics.items()}


def apart(one: Digits, other: Digits) -> int:
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())


def packed(config: TrialConfig, number: int) -> list[Digits]:
    with ProcessPoolExecutor(number, mp_context=get_context("spawn")) as pool:
        return list(pool.map(in_a_process, [config] * number))


def in_a_process(config: TrialConfig) -> Digits:
    return digits(train(config, load_dataset("digits", None), threads=1))


@contextmanager
def conducted(folder: Path, data: LoadedData) -> Iterator[tuple[StudyRecord, Conductor]]:
    """The study, from its beginning: its record and what hands out its trials."""
    spec = a_study()
    record = StudyRecord.create(Path(tempfile.mkdtemp(dir=folder)), spec)
    with JournalWriter(record) as journal:
        yield record, Conductor(record, journal, worst=worst_objective(spec, data))


def first_of_the_study(folder: Path, data: LoadedData) -> TrialConfig:
    """Its trial, with the seeds that the study gives it."""
    with conducted(folder, data) as (_, conductor):
        config = conductor.next_trial()
    assert config is not None, "a study has a first trial"
    return config


def over_ray(folder: Path) -> Digits:
    data = load_dataset("digits", None)
    with (
        conducted(folder, data) as (record, conductor),
        ray_session(None, record.spec.resources, debug=False) as slots,
    ):
        from study.tuning.spread import spread

        conductor.concurrent = slots.concurrent
        record.checkpoints.mkdir()
        spread(conductor, data, slots, Keeping(record.checkpoints, 0.0))
    (result,) = record.results().values()
    return digits(result)


def resumed(config: TrialConfig, data: LoadedData, folder: Path) -> Digits:
    """Cut off after its first epoch, then gone on with from the checkpoint."""
    place = Path(tempfile.mkdtemp(dir=folder)) / "checkpoints"

    def again(report: Callable[[Row], None] | None = None) -> TrialResult:
        kept = Checkpoints(place, config, every_s=0.0)
        return train(config, data, threads=1, report=report, checkpoints=kept)

    def cut(row: Row) -> None:
        raise Cut

    try:
        again(cut)
    except Cut:
        return digits(again())
    raise AssertionError("it was not cut")
