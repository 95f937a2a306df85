"""What a study will ask for: trials, gradient evaluations, and time from a short measured warm-up."""

from __future__ import annotations

from dataclasses import dataclass, replace

from study.components.datasets import LoadedData
from study.components.datasets.splits import default_validation_size
from study.components.routine import Routine
from study.errors import StudyError
from study.space import Scalar
from study.spec import Arm, StudySpec
from study.training import by_component, train
from study.trial import Row, TrialConfig

# Enough steps to be past the first slow ones, few enough to take a second or two an arm.
WARM_UP_STEPS = 8
WARM_UP_EVALUATIONS = 512


@dataclass(frozen=True)
class Speed:
    """What an arm was measured at, in examples a second on one slot, and a trial's time from it."""

    arm: str
    training: float
    evaluation: float
    trial_s: float


def measure(spec: StudySpec, arm: Arm, config: TrialConfig, data: LoadedData) -> Speed:
    """Train a few steps of ``config`` and evaluate a little, then scale to the whole trial.

    The estimate assumes that the trial neither diverges nor is stopped early. Raises StudyError where it
    diverges within the warm-up.
    """
    values = dict(config.hyperparameters)
    routine = Routine(**by_component(values)["training"])
    images = len(data.train_inputs)
    validation = int(values.get("dataset.validation_size") or default_validation_size(images))
    size = int(values.get("dataset.train_size") or images - validation)
    few = size if routine.batch_size == "full" else min(size, WARM_UP_STEPS * routine.batch_size)
    evaluated = min(WARM_UP_EVALUATIONS, images - few, few)
    short: dict[str, Scalar] = {"dataset.train_size": few, "dataset.validation_size": evaluated}
    short |= {"training.epochs": 2, "training.evaluation_size": evaluated, "dataset.selection": "random"}
    result = train(
        replace(config, hyperparameters={**values, **short}), data, threads=spec.resources.cpus_per_trial
    )
    if len(result.curve) < 2:
        raise StudyError(
            f"{spec.name}: the warm-up of arm {arm.name} diverged ({result.verdict.reason}), so there is no "
            "telling how long its trials take; its range of optimizer.lr may lie too high"
        )
    training = _number(result.curve[1], "images_per_second")
    spent = _number(result.curve[1], "seconds") - _number(result.curve[0], "seconds") - few / training
    evaluation = 2 * evaluated / max(spent, 1e-6)
    each_epoch = size / training + (validation + min(routine.evaluation_size, size)) / evaluation
    return Speed(arm.name, training, evaluation, routine.epochs * each_epoch)


def _number(row: Row, key: str) -> float:
    value = row[key]
    assert value is not None, f"{key} is finite"
    return float(value)


def study_seconds(spec: StudySpec, speeds: list[Speed], test_examples: int, concurrent: int) -> float:
    """Wall time of the whole study on ``concurrent`` slots, starting and stopping left out."""
    search = spec.search
    total = sum(
        speed.trial_s * (search.trials_per_arm + search.replicates)
        + search.replicates * test_examples / speed.evaluation
        for speed in speeds
    )
    return total / concurrent
