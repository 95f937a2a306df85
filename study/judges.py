"""Whether what judges a study fits what it judges: metrics against the task, the data set and the losses."""

from __future__ import annotations

from collections.abc import Iterator

from study.claims import IN_TRAINING, MINUS
from study.components.datasets import DATASETS, DatasetInfo
from study.components.losses import LOSSES
from study.components.metrics import full_names, metric
from study.components.regression import INTERVAL
from study.components.tasks import Levels
from study.errors import StudyFileError, shorten
from study.keys import flatten
from study.spec import Arm, StudySpec


def varied(spec: StudySpec) -> Iterator[str]:
    """The hyperparameters that are not the same in all trials."""
    yield from flatten(spec.scientific)
    yield from flatten(spec.nuisance)
    for section in spec.conditional.values():
        yield from flatten(section)


def data_set(spec: StudySpec) -> DatasetInfo | None:
    """The data set, where it is a known one."""
    return DATASETS.get(str(spec.held.get("dataset.name")))


def check_metrics(spec: StudySpec) -> None:
    """StudyFileError unless every metric that the study names means something on its data set, and does
    not change with the losses that it compares or tunes."""
    names = [("objective.metric", spec.objective.metric)]
    for number, claim in enumerate(spec.claims):
        names += [(f"claims[{number}].metric", name) for name in claim.metric.split(MINUS)]
    for key, name in names:
        if name in full_names():
            check_task(spec, key, name)
            check_independent(spec, key, name)
        elif name in IN_TRAINING:
            _check_in_training(spec, key, name)


def check_task(spec: StudySpec, key: str, name: str) -> None:
    info, (split, entry) = data_set(spec), metric(name)
    if info is None:
        return
    if info.task not in entry.tasks:
        raise StudyFileError(
            key,
            f"must be a metric of {info.task}, for that is what {info.name} asks for",
            name,
            f"e.g. {split}_{judge(spec)}",
        )
    if split.endswith("_clean") and not info.clean:
        rule = f"must be of targets with their noise, for {info.name} knows no others"
        raise StudyFileError(key, rule, name, f"e.g. {split.removesuffix('_clean')}_{entry.name}")


def judge(spec: StudySpec) -> str:
    """A metric that depends on no hyperparameter."""
    info = data_set(spec)
    return "rmse" if info is not None and info.task == "regression" else "accuracy"


def check_independent(spec: StudySpec, key: str, name: str) -> None:
    """The judge must not change with what is judged."""
    split, entry = metric(name)
    if entry.of_levels:
        _check_levels(spec, key, name)
    if entry.name == "loss":
        _check_same_loss(spec, key, name, f"{split}_{judge(spec)}")


def _check_in_training(spec: StudySpec, key: str, name: str) -> None:
    """What the training itself shows: its accuracy in classification alone, its loss in every task."""
    info = data_set(spec)
    if name == "train_loss":
        _check_same_loss(spec, key, name, f"test_{judge(spec)}")
    elif info is not None and info.task != "classification":
        rule = f"must be a metric of {info.task}, for that is what {info.name} asks for"
        raise StudyFileError(key, rule, name, "e.g. train_loss")


def _check_same_loss(spec: StudySpec, key: str, name: str, other: str) -> None:
    changing = [each for each in varied(spec) if each.startswith("loss.")]
    if changing:
        raise StudyFileError(
            key,
            f"must not depend on what the study varies, and {changing[0]} changes the loss",
            name,
            f"judge by a metric of its own, e.g. {other}",
        )


def _check_levels(spec: StudySpec, key: str, name: str) -> None:
    """Quantiles are compared with quantiles of the same levels, and two of them make an interval."""
    first, asked = None, None
    for arm in spec.arms():
        levels = _levels(arm, key, name)
        if len(levels) == 1 and metric(name)[1].undefined:
            raise StudyFileError(
                key,
                f"is of intervals, and the loss of arm {arm.name} estimates a single quantile",
                None,
                'e.g. loss = { name = "quantiles", levels = "0.05-0.95" }',
            )
        if asked not in (None, levels):
            raise StudyFileError(
                key,
                f"is of quantiles, whose levels must be those of all arms: {asked} in arm {first}, "
                f"{levels} in arm {shorten(arm.name)}",
                None,
                f"judge by a metric that has none, e.g. {metric(name)[0]}_{judge(spec)}",
            )
        first, asked = first or arm.name, levels


def _levels(arm: Arm, key: str, name: str) -> Levels:
    """Of the arm's quantiles, or of the interval around its centre."""
    loss, own = str(arm.held.get("loss.name", "mse")), ("loss.name", "loss.levels", "loss.gamma")
    for tuned in own:
        if tuned in arm.space.keys:
            rule = f"must not depend on what is tuned, and {tuned} changes its levels (arm {arm.name})"
            raise StudyFileError(key, rule, name, "judge by a metric without levels, e.g. val_rmse")
    keys = [each for each in own[1:] if each in arm.held]
    arguments = {each.removeprefix("loss."): arm.held[each] for each in keys}
    known = loss in LOSSES and (loss != "quantiles" or "levels" in arguments)
    return (LOSSES[loss].levels(**arguments) if known else ()) or INTERVAL


def check_gradient_scale(spec: StudySpec) -> None:
    """Huber's delta bounds the gradient: at one learning rate, to vary it is to vary the rate."""
    for arm in spec.arms():
        varies = "loss.delta" in arm.space.keys or "loss.delta" in arm.values
        if not varies or "optimizer.lr" in arm.space.keys or arm.held.get("loss.normalise") is True:
            continue
        raise StudyFileError(
            "loss.delta",
            f"also scales the gradient, so that to vary it is to vary the learning rate (arm {arm.name})",
            None,
            "tune optimizer.lr beside it under [nuisance], or set loss.normalise = true",
        )
