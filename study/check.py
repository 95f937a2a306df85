"""A parsed study against the tables: names, limits, combinations. Nothing runs, nothing is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from numpy.typing import ArrayLike

from study.arm_checks import ArmChecks, place_of
from study.claim_checks import check_claims
from study.components.datasets import DATASETS, DatasetInfo, LoadedData
from study.components.metrics import full_names, metric
from study.components.tasks import Levels
from study.errors import StudyFileError
from study.judges import check_gradient_scale, check_metrics, check_task, judge, varied
from study.registry import nearest
from study.space import Categorical, Float
from study.spec import Arm, StudySpec

# The most trials an arm can have, and as many points as Optuna's grid lists without running out of memory.
MAX_GRID = 100_000
# What all trials of a study must share, and why.
HELD = {
    "dataset.name": "a study compares on one data set",
    "dataset.path": "a study compares on one data set",
    "dataset.classes": "to tell other classes apart is another task",
    "dataset.validation_size": "what trials are judged on must not change with what is judged",
}


def check(spec: StudySpec, place: str = "") -> None:
    """Raise StudyFileError, in one line, at the first rule the study breaks. ``place`` is what the line
    calls the study, by default its file."""
    with _within(place or f"{spec.name}.toml"):
        _check_objective(spec)
        check_claims(spec)
        _check_data_set(spec)
        check_metrics(spec)
        check_gradient_scale(spec)
        _check_search(spec)
        ArmChecks(spec).run()


def check_against(spec: StudySpec, data: LoadedData) -> None:
    """Raise StudyFileError where a checked study does not fit a user's own file, now that it was read."""
    with _within(f"{spec.name}.toml"):
        ArmChecks(spec, info_of(data)).run()


def info_of(data: LoadedData) -> DatasetInfo:
    """What is known of a user's own file, now that it was read."""
    return replace(
        DATASETS[data.name],
        classes=data.classes,
        shape=data.train_inputs.shape[1:],
        train_examples=len(data.train_targets),
        test_examples=len(data.test_targets),
    )


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Errors say what they are in."""
    try:
        yield
    except StudyFileError as error:
        where = f"{place}: {error.place}"
        raise StudyFileError(where, error.rule, error.value, error.way_out) from error


# -- the study as a whole; the places of errors are keys, the file's name is put before them at the end -----


def _check_objective(spec: StudySpec) -> None:
    name, key = spec.objective.metric, "objective.metric"
    if name.startswith("test_"):
        raise StudyFileError(
            key, "must not be of the test split, which tuning never sees", name, "e.g. val_" + name[5:]
        )
    validation = [each for each in full_names() if each.startswith("val_")]
    if name not in validation:
        raise StudyFileError(key, "must be a metric of the validation split", name, nearest(name, validation))
    check_task(spec, key, name)
    _, entry = metric(name)
    if entry.direction is None:
        rule_ = "must say what is better, and this only describes"
        raise StudyFileError(key, rule_, name, f"e.g. val_{judge(spec)}")
    if spec.objective.direction != entry.direction:
        raise StudyFileError(
            "objective.direction",
            f"must be {entry.direction} for {name}",
            spec.objective.direction,
            f'set direction = "{entry.direction}", or judge by another metric',
        )


def _check_data_set(spec: StudySpec) -> None:
    """All trials are of one data set, and judged on the same images of it."""
    for key in varied(spec):
        if key in HELD:
            raise StudyFileError(
                place_of(spec, key), f"must be held: {HELD[key]}", None, "put it under [fixed]"
            )


def _check_search(spec: StudySpec) -> None:
    for arm in spec.arms():
        space, sampler = arm.space, spec.search.sampler
        if not space.entries and spec.search.trials_per_arm > 1:
            raise StudyFileError(
                "search.trials_per_arm",
                f"must be 1 where nothing is tuned (arm {arm.name})",
                spec.search.trials_per_arm,
                "tune something under [nuisance], or set it to 1",
            )
        _check_early_stopping(spec, arm)
        if sampler == "grid" and space.entries:
            _check_grid(spec, arm)
        if sampler == "bisect":
            _check_bisect(spec, arm)
        numbers = {entry.key for entry in space.entries if not isinstance(entry.distribution, Categorical)}
        if sampler == "cmaes" and len(numbers) < 2:
            raise StudyFileError(
                "search.sampler",
                f"cmaes needs at least two tuned ranges (arm {arm.name} has {len(numbers)})",
                None,
                "e.g. tpe",
            )


def _check_early_stopping(spec: StudySpec, arm: Arm) -> None:
    """Rungs stand at epochs, so an arm's trials must all have as many, and more than the grace."""
    if spec.search.early_stopping == "none":
        return
    if "training.epochs" in arm.space.keys:
        raise StudyFileError(
            place_of(spec, "training.epochs"),
            "must be held under early stopping, whose rungs are epochs",
            None,
            'hold it under [fixed], or set search.early_stopping = "none"',
        )
    epochs = arm.held.get("training.epochs")
    if isinstance(epochs, int) and epochs <= spec.search.grace_epochs:
        raise StudyFileError(
            "search.grace_epochs",
            f"must be below training.epochs = {epochs}, or nothing is ever stopped (arm {arm.name})",
            spec.search.grace_epochs,
            'lower it, or set search.early_stopping = "none"',
        )


def _check_grid(spec: StudySpec, arm: Arm) -> None:
    size = 1
    for entry in arm.space.entries:
        if entry.when is not None:
            raise StudyFileError(
                f'conditional."{entry.when}".{entry.key}',
                "cannot be in a grid: not every trial has it",
                None,
                "use another sampler, or hold it",
            )
        if not entry.distribution.grid_size:
            way_out = "e.g. { low = ..., high = ..., points = 6 }"
            raise StudyFileError(
                place_of(spec, entry.key), "needs points for the grid sampler", None, way_out
            )
        size *= entry.distribution.grid_size
    if size > MAX_GRID:
        raise StudyFileError(
            "search.sampler",
            f"a grid has at most {MAX_GRID:,} points (arm {arm.name})",
            size,
            "tune fewer values",
        )
    if spec.search.trials_per_arm > size:
        raise StudyFileError(
            "search.trials_per_arm",
            f"must not exceed the {size} points of the grid (arm {arm.name})",
            spec.search.trials_per_arm,
            f"set it to {size}, or add points",
        )


def _check_bisect(spec: StudySpec, arm: Arm) -> None:
    """Bisection asks one question of one number: from where on do trainings blow up?"""
    box = arm.space.active("optimizer.lr", arm.held) if arm.space.keys == ("optimizer.lr",) else None
    if not isinstance(box, Float) or not box.log or box.low == box.high:
        raise StudyFileError(
            "search.sampler",
            f"bisect needs optimizer.lr, and only that, tuned on a log scale (arm {arm.name})",
            None,
            "e.g. nuisance.optimizer.lr = { low = 1e-4, high = 1e-1, log = true }, all else held",
        )
    if spec.search.early_stopping != "none":
        raise StudyFileError(
            "search.early_stopping",
            "must be none with bisect: a probe that was stopped says nothing about stability",
            spec.search.early_stopping,
        )


def worst_value(name: str, targets: ArrayLike, levels: Levels = ()) -> float | None:
    """What a trial that learned nothing scores by the metric ``name`` on these targets, ``range(K)`` for K
    balanced classes; None where nothing can be said. ``levels``: of the loss's quantiles."""
    return metric(name)[1].worst_on(targets, levels)
