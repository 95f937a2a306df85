"""What a study file can name of each component: its entries, and their arguments with their limits."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from annotated_types import Ge, Interval

from study.components.activations import ACTIVATIONS
from study.components.augmentation import Augmentation
from study.components.datasets import DATASETS
from study.components.datasets.selecting import Selection
from study.components.losses import LOSSES
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS
from study.components.routine import Routine
from study.components.schedules import SCHEDULES
from study.components.thresholds import Thresholds
from study.registry import Registry


@dataclass(frozen=True)
class Component:
    """Where a component's names and arguments are looked up; ``table`` is None where there is no name.

    ``builders(name)``: their keyword-only parameters (of a dataclass, its fields) are the arguments.
    """

    table: Registry[Any] | None
    builders: Callable[[str], tuple[Callable[..., Any], ...]]
    required: bool = True


def dataset_arguments(
    *,
    train_size: Annotated[int, Ge(1)] | None = None,
    validation_size: Annotated[int, Ge(1)] | None = None,
    classes: Annotated[int, Ge(2)] | str | None = None,
    label_noise: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    selection: Selection = "random",
) -> None:
    """The data set's arguments beside its name; how many images and classes there are is the set's own
    matter. ``classes``: how many of the first, or which ("cat+dog"). ``label_noise``: the probability that
    a training label is made wrong. ``selection``: which images make up the ``train_size``."""


@functools.cache
def argument_types(build: Callable[..., Any]) -> dict[str, Any]:
    """The annotated types of a builder's hyperparameters: keyword-only parameters of a function, all
    fields of a dataclass."""
    target = build.__init__ if inspect.isclass(build) else build
    hints = get_type_hints(target, include_extras=True)
    return {name: hints[name] for name in _hyperparameters(build)}


@functools.cache
def required_arguments(build: Callable[..., Any]) -> set[str]:
    """Those hyperparameters of a builder that have no default."""
    return {name for name, each in _hyperparameters(build).items() if each.default is inspect.Parameter.empty}


def _hyperparameters(build: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(build).parameters
    wanted = (
        (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if inspect.isclass(build)
        else (inspect.Parameter.KEYWORD_ONLY,)
    )
    return {name: each for name, each in parameters.items() if each.kind in wanted}


def base_type(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


COMPONENTS: dict[str, Component] = {
    "dataset": Component(DATASETS, lambda name: (dataset_arguments, DATASETS[name].arguments)),
    "model": Component(MODELS, lambda name: (MODELS[name].build,)),
    "activation": Component(ACTIVATIONS, lambda name: (ACTIVATIONS[name].build,)),
    "loss": Component(LOSSES, lambda name: (LOSSES[name].build,), required=False),
    "optimizer": Component(OPTIMIZERS, lambda name: (OPTIMIZERS[name].build,)),
    "schedule": Component(SCHEDULES, lambda name: (SCHEDULES[name].build,), required=False),
    "augmentation": Component(None, lambda name: (Augmentation,)),
    "training": Component(None, lambda name: (Routine,)),
    "divergence": Component(None, lambda name: (Thresholds,), required=False),
}
