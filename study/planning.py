"""What a study will ask for: trials, gradient evaluations, and time from a short measured warm-up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from study.assembly import by_component
from study.choosing import restricted, selection_rank
from study.components.datasets import LoadedData
from study.components.datasets.splits import default_validation_size
from study.components.routine import Routine
from study.devices import pick_device, reproducible
from study.errors import StudyError
from study.space import Scalar
from study.spec import Arm, StudySpec
from study.training import train
from study.trial import Row, TrialConfig, TrialResult
from study.typical import example

# Enough steps to be past the first slow ones, few enough to take a second or two an arm.
WARM_UP_STEPS = 8
WARM_UP_EVALUATIONS = 512
# A step takes as long at any learning rate; at this one nothing moves, so nothing diverges.
STANDSTILL: Mapping[str, Scalar] = {"optimizer.lr": 1e-12}


@dataclass(frozen=True)
class Speed:
    """What an arm was measured at, in examples a second on one slot, and a trial's time from it.

    ``diverged``: the verdict on a warm-up that did in the middle of the arm's ranges, after which it was made
    again at a standstill; empty where it did not. ``compiling_s`` is what torch.compile takes of a trial,
    where the study asks for it.
    """

    arm: str
    training: float
    evaluation: float
    trial_s: float
    diverged: str = ""
    compiling_s: float = 0.0


def measure(spec: StudySpec, arm: Arm, config: TrialConfig, data: LoadedData) -> Speed:
    """Train a few steps of ``config`` and evaluate a little, then scale to the whole trial.

    The estimate assumes that the trial neither diverges nor is stopped early. Raises StudyError where it
    diverges within the warm-up at any learning rate.
    """
    values = dict(config.hyperparameters)
    routine = Routine(**by_component(values)["training"])
    validation, size = validation_size(values, data), training_size(values, data)
    few = size if routine.batch_size == "full" else min(size, WARM_UP_STEPS * routine.batch_size)
    short = {**on_few(few, WARM_UP_EVALUATIONS, data), "training.epochs": 2}
    evaluated = int(short["training.evaluation_size"])
    found = _warm_up(spec, config, {**values, **short}, data)
    diverged = _cut_short(found)
    if diverged:
        found = _warm_up(spec, config, {**values, **short, **STANDSTILL}, data)
        if reason := _cut_short(found):
            raise StudyError(
                f"{spec.name}: the warm-up of arm {arm.name} ended at a standstill too ({reason}), so there "
                "is no telling how long its trials take"
            )
    curve = found.curve
    training = _number(curve[1], "images_per_second")
    spent = _number(curve[1], "seconds") - _number(curve[0], "seconds") - few / training
    evaluation = 2 * evaluated / max(spent, 1e-6)
    each_epoch = size / training + (validation + min(routine.evaluation_size, size)) / evaluation
    compiling_s = float(found.environment.get("compile", {}).get("seconds", 0.0))
    trial_s = compiling_s + routine.epochs * each_epoch
    return Speed(arm.name, training, evaluation, trial_s, diverged, compiling_s)


def _warm_up(
    spec: StudySpec, config: TrialConfig, values: Mapping[str, Scalar], data: LoadedData
) -> TrialResult:
    """Two short epochs."""
    short = replace(config, hyperparameters=dict(values))
    return train(short, data, threads=spec.resources.cpus_per_trial)


def _cut_short(found: TrialResult) -> str:
    """The verdict on a warm-up that ended before its two epochs, else nothing."""
    return "" if len(found.curve) == 2 else str(found.verdict)


def on_few(few: int, evaluated: int, data: LoadedData) -> dict[str, Scalar]:
    """Hyperparameters that let a trial train on ``few`` examples, and be evaluated on ``evaluated`` of them
    and as many others at the most."""
    evaluated = min(evaluated, len(data.train_inputs) - few, few)
    sizes = {"dataset.train_size": few, "dataset.validation_size": evaluated}
    return {**sizes, "training.evaluation_size": evaluated, "dataset.selection": "random"}


def training_size(values: Mapping[str, Scalar], data: LoadedData) -> int:
    return int(values.get("dataset.train_size") or len(data.train_inputs) - validation_size(values, data))


def validation_size(values: Mapping[str, Scalar], data: LoadedData) -> int:
    return int(values.get("dataset.validation_size") or default_validation_size(len(data.train_inputs)))


def split_sizes(spec: StudySpec, data: LoadedData) -> dict[str, tuple[int, int]]:
    """How many examples trials train on, tuning is judged by, and test each replicate: the fewest and the
    most of all arms."""
    parts: dict[Scalar | None, LoadedData] = {}
    found = []
    for arm in spec.arms():
        values = example(spec, arm, 0).hyperparameters
        classes = values.get("dataset.classes")
        part = parts[classes] = parts[classes] if classes in parts else restricted(data, values)
        found.append((training_size(values, part), validation_size(values, part), len(part.test_inputs)))
    return {
        split: (min(each), max(each)) for split, each in zip(PURPOSES, zip(*found, strict=True), strict=True)
    }


def told_sizes(sizes: Mapping[str, tuple[int, int]]) -> str:
    """``4,000 to train on, 1,000 for validation, 10,000 for the test``."""
    return ", ".join(
        f"{f'{fewest:,}' if fewest == most else f'{fewest:,} to {most:,}'} {PURPOSES[split]}"
        for split, (fewest, most) in sizes.items()
    )


def selecting_seconds(spec: StudySpec, configs: Iterable[TrialConfig], data: LoadedData) -> float:
    """How long the study takes to select images, each way timed once: for each split anew, that of tuning and
    each replicate's, and once for all arms (study.choosing)."""
    ways = {str(each.hyperparameters.get("dataset.selection", "random")): each for each in configs}
    splits = 1 + spec.search.replicates
    return splits * sum(_selecting(spec, each, data) for way, each in ways.items() if way != "random")


def _selecting(spec: StudySpec, config: TrialConfig, data: LoadedData) -> float:
    data = restricted(data, config.hyperparameters)
    rank = selection_rank(config, data, None)
    assert rank is not None, "it selects"
    left = np.arange(len(data.train_inputs) - validation_size(config.hyperparameters, data))
    with reproducible(pick_device("cpu"), 0, spec.resources.cpus_per_trial):
        began = time.perf_counter()
        rank(left)
        return time.perf_counter() - began


def _number(row: Row, key: str) -> float:
    value = row[key]
    assert value is not None, f"{key} is finite"
    return float(value)


def study_seconds(
    spec: StudySpec, speeds: list[Speed], test_examples: int, concurrent: int, selecting_s: float = 0.0
) -> float:
    """Wall time of the whole study on ``concurrent`` slots, starting and stopping left out."""
    search = spec.search
    tuning = sum(speed.trial_s for speed in speeds) * search.trials_per_arm
    confirming = sum(speed.trial_s + test_examples / speed.evaluation for speed in speeds) * search.replicates
    return tuning / spec.tuning_at_once(concurrent) + (confirming + selecting_s) / concurrent


PURPOSES = {"train": "to train on", "validation": "for validation", "test": "for the test"}
