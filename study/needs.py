"""What optimizers need of the rest of a trial, and what their steps cost, told before anything runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from study.batches import cuts
from study.components.augmentation import Augmentation
from study.components.datasets import DatasetInfo
from study.components.datasets.classes import chosen_classes
from study.components.datasets.splits import default_validation_size
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS, Need
from study.components.routine import Routine
from study.space import Scalar

Values = Mapping[str, Scalar]
"""A trial's hyperparameters, by *component.argument*; what is not in it has its default."""


@dataclass(frozen=True)
class Rule:
    """``broken(values, info)`` says in one line what the trial lacks and the way out, None where nothing.
    It looks at nothing but the hyperparameters ``of``: components, or single arguments of them."""

    of: tuple[str, ...]
    broken: Callable[[Values, DatasetInfo], str | None]

    def looks_at(self, key: str) -> bool:
        return key in self.of or key.partition(".")[0] in self.of


def steps(values: Values, info: DatasetInfo) -> int:
    """How many steps a trial makes."""
    return int(values["training.epochs"]) * len(cuts(examples(values, info), batch_size(values, info)))


def gradient_evaluations(values: Values, info: DatasetInfo) -> int:
    """The most gradients that a trial takes."""
    optimizer = OPTIMIZERS[str(values["optimizer.name"])]
    return steps(values, info) * optimizer.evaluations(**arguments_of("optimizer", values))


def examples(values: Values, info: DatasetInfo) -> int:
    """How many examples a trial trains on; of some classes alone, as many as if all were of one size."""
    classes = chosen_classes(values.get("dataset.classes"), info.classes)
    available = info.train_examples * max(1, len(classes)) // max(1, len(info.classes))
    held_out = int(values.get("dataset.validation_size") or default_validation_size(available))
    return int(values.get("dataset.train_size") or available - held_out)


def batch_size(values: Values, info: DatasetInfo) -> int:
    size = argument(values, "training.batch_size", Routine)
    return examples(values, info) if size == "full" else int(size)


def argument(values: Values, key: str, build: Callable[..., Any]) -> Any:
    """The value of ``key``, or else its default in ``build``'s signature; None where there is none."""
    parameter = inspect.signature(build).parameters.get(key.partition(".")[2])
    return values.get(key, parameter.default if parameter else None)


# -- the rules; each completes the sentence "optimizer NAME ..." ----------------------------------------


def full_batch(values: Values, info: DatasetInfo) -> str | None:
    size, whole = batch_size(values, info), examples(values, info)
    if size >= whole or values.get("optimizer.mini_batches"):
        return None
    build = OPTIMIZERS[str(values["optimizer.name"])].build
    knowingly = argument(values, "optimizer.mini_batches", build) is not None
    return (
        f"needs batches of all {whole} training examples, and training.batch_size is {size}; "
        'set training.batch_size = "full"'
        + (", or optimizer.mini_batches = true to see what comes of it" if knowingly else "")
    )


def steady_loss(values: Values, info: DatasetInfo) -> str | None:
    """A line search compares losses of the same batch at other weights."""
    build = MODELS[str(values["model.name"])].build
    for key, part, steady, why in (
        ("model.dropout", build, False, "draws anew at each evaluation"),
        ("model.batch_norm", build, False, "keeps statistics of the weights that are only tried"),
        ("augmentation.flip", Augmentation, False, "draws anew at each step"),
        ("augmentation.crop", Augmentation, 0, "draws anew at each step"),
        ("training.precision", Routine, "fp32", "may round losses to three digits"),
    ):
        value = argument(values, key, part)
        if value is not None and value != steady:
            return (
                "needs a loss that changes with the weights alone, and "
                f"{key} = {shown(value)} {why}; set {key} = {shown(steady)}"
            )
    return None


def constant_rate(values: Values, info: DatasetInfo) -> str | None:
    schedule = values.get("schedule.name", "constant")
    if schedule == "constant":
        return None
    return (
        f"sets its own steps from the first one on, so schedule {schedule} would do nothing; "
        'set schedule.name = "constant"'
    )


def steps_to_average(values: Values, info: DatasetInfo) -> str | None:
    if argument(values, "training.ema", Routine):
        return "is judged on its own average of the weights, so training.ema would do nothing; leave it out"
    build = OPTIMIZERS[str(values["optimizer.name"])].build
    start, whole = float(argument(values, "optimizer.t0", build)), steps(values, info)
    if start < whole:
        return None
    return f"averages from step t0 = {start:g} on, and a trial has {whole}; lower optimizer.t0"


def sparse_gradients(values: Values, info: DatasetInfo) -> str | None:
    name = str(values["model.name"])
    if MODELS[name].sparse_gradients:
        return None
    return f"needs sparse gradients, and those of {name} are dense; choose adam"


def hidden_weights(values: Values, info: DatasetInfo) -> str | None:
    name = str(values["model.name"])
    if MODELS[name].hidden_weights(**arguments_of("model", values)):
        return None
    return f"is for weights between the first and the last layer, and {name} has none; choose adamw"


def arguments_of(component: str, values: Values) -> dict[str, Scalar]:
    """A component's arguments but its name."""
    found = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{component}.")}
    return {key: value for key, value in found.items() if key != "name"}


def shown(value: Scalar) -> str:
    """As a study file has it."""
    return json.dumps(value)


NEEDS: dict[Need, Rule] = {
    "full_batch": Rule(
        ("training.batch_size", "dataset", "optimizer.name", "optimizer.mini_batches"), full_batch
    ),
    "steady_loss": Rule(("model", "augmentation", "training.precision"), steady_loss),
    "constant_rate": Rule(("schedule.name",), constant_rate),
    "steps_to_average": Rule(
        (
            "training.epochs",
            "training.batch_size",
            "training.ema",
            "dataset",
            "optimizer.name",
            "optimizer.t0",
        ),
        steps_to_average,
    ),
    "sparse_gradients": Rule(("model.name",), sparse_gradients),
    "hidden_weights": Rule(("model",), hidden_weights),
}
