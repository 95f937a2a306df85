"""A parsed study against the tables: names, limits, combinations. Nothing runs, nothing is read."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from study.components.activations import ACTIVATIONS
from study.components.augmentation import Augmentation
from study.components.datasets import DATASETS
from study.components.datasets.splits import check_sizes
from study.components.losses import LOSSES
from study.components.metrics import METRICS, full_names, metric
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS
from study.components.routine import Routine
from study.components.schedules import SCHEDULES
from study.errors import StudyError, StudyFileError, UnknownName, one_line
from study.registry import Registry, nearest
from study.space import Categorical, Distribution, Float, Int, Scalar
from study.spec import Arm, StudySpec, flatten

# Corner cases of one arm are tried in full up to this many; past it, one hyperparameter at a time.
MAX_CORNERS = 4096


def dataset_arguments(
    *,
    train_size: Annotated[int, "images"] | None = None,
    validation_size: Annotated[int, "images"] | None = None,
) -> None:
    """The data set's arguments beside its name; their limits are the set's own (check_sizes)."""


@dataclass(frozen=True)
class Component:
    """Where a component's names and arguments are looked up; ``table`` is None where there is no name."""

    table: Registry[Any] | None
    arguments: Callable[[str], Callable[..., Any]]
    required: bool = True


def check(spec: StudySpec) -> None:
    """Raise StudyError, in one line, at the first rule the study breaks."""
    _check_objective(spec)
    _check_claims(spec)
    _check_search(spec)
    for arm in spec.arms():
        try:
            _check_arm(spec, arm)
        except StudyFileError:
            raise
        except StudyError as error:
            raise StudyFileError(spec.name, f"arm {arm.name} cannot run: {error}") from error


# -- the study as a whole ----------------------------------------------------------------------------


def _check_objective(spec: StudySpec) -> None:
    name, place = spec.objective.metric, f"{spec.name}: objective.metric"
    if name.startswith("test_"):
        raise StudyFileError(
            place, "must not be of the test split, which tuning never sees", name, "e.g. val_" + name[5:]
        )
    validation = [each for each in full_names() if each.startswith("val_")]
    if name not in validation:
        raise StudyFileError(
            place, "must be a metric of the validation split", name, nearest(name, validation)
        )
    _, entry = metric(name)
    if spec.objective.direction != entry.direction:
        raise StudyFileError(
            f"{spec.name}: objective.direction",
            f"must be {entry.direction} for {name}",
            spec.objective.direction,
        )
    _check_independent(spec, place, name)


def _check_independent(spec: StudySpec, place: str, name: str) -> None:
    """The judge must not change with what is judged."""
    if not name.endswith("_loss"):
        return
    tables: list[Mapping[str, object]] = [flatten(spec.scientific), flatten(spec.nuisance)]
    tables += [flatten(section) for section in spec.conditional.values()]
    varied = [key for table in tables for key in table if key.startswith("loss.")]
    if varied:
        raise StudyFileError(
            place,
            f"must not depend on what the study varies, and {varied[0]} changes the loss",
            name,
            f"judge by a metric of its own, e.g. {name.replace('_loss', '_accuracy')}",
        )


def _check_claims(spec: StudySpec) -> None:
    for index, claim in enumerate(spec.claims):
        place = f"{spec.name}: claims[{index}].metric"
        if claim.metric not in full_names():
            raise StudyFileError(place, "unknown metric", claim.metric, nearest(claim.metric, full_names()))
        if claim.metric.startswith("val_"):
            raise StudyFileError(
                place,
                "must not be of the validation split, on which the winners were picked",
                claim.metric,
                "e.g. test_" + claim.metric[4:],
            )
        _check_independent(spec, place, claim.metric)


def _check_search(spec: StudySpec) -> None:
    for arm in spec.arms():
        space, sampler = arm.space, spec.search.sampler
        if not space.entries and spec.search.trials_per_arm > 1:
            raise StudyFileError(
                f"{spec.name}: search.trials_per_arm",
                f"must be 1 where nothing is tuned (arm {arm.name})",
                spec.search.trials_per_arm,
                "tune something under [nuisance], or set it to 1",
            )
        if sampler == "grid" and space.entries:
            _check_grid(spec, arm)
        numbers = [entry for entry in space.entries if not isinstance(entry.distribution, Categorical)]
        if sampler == "cmaes" and len(numbers) < 2:
            raise StudyFileError(
                f"{spec.name}: search.sampler", "cmaes needs at least two tuned numbers", None, "e.g. tpe"
            )


def _check_grid(spec: StudySpec, arm: Arm) -> None:
    size = 1
    for entry in arm.space.entries:
        place = _place(spec, entry.key)
        if entry.when is not None:
            raise StudyFileError(
                place, "cannot be conditional in a grid", None, "use another sampler, or hold it"
            )
        if not entry.distribution.grid():
            raise StudyFileError(place, "needs points for the grid sampler", None, "e.g. { ..., points = 6 }")
        size *= len(entry.distribution.grid())
    if spec.search.trials_per_arm > size:
        raise StudyFileError(
            f"{spec.name}: search.trials_per_arm",
            f"must not exceed the {size} points of arm {arm.name}'s grid",
            spec.search.trials_per_arm,
        )


# -- one arm -----------------------------------------------------------------------------------------


def _check_arm(spec: StudySpec, arm: Arm) -> None:
    for names in _name_combinations(spec, arm):
        possible = _possible_values(arm, names)
        for component in COMPONENTS:
            _check_component(spec, component, possible)
        for values in _corners(possible):
            _check_together(spec, arm, values)


def _name_combinations(spec: StudySpec, arm: Arm) -> Iterator[dict[str, Scalar]]:
    """Every choice of the components' names that the arm can draw: arguments depend on them."""
    keys = [key for key in arm.space.keys if key.endswith(".name")]
    choices = [
        [value for entry in arm.space.entries if entry.key == key for value in entry.distribution.ends]
        for key in keys
    ]
    for values in itertools.product(*choices):
        yield dict(zip(keys, values, strict=True))


def _possible_values(arm: Arm, names: Mapping[str, Scalar]) -> dict[str, Distribution]:
    """Every hyperparameter of the arm under these names, with all it can be."""
    drawn = {**arm.held, **names}
    possible: dict[str, Distribution] = {key: Categorical((value,)) for key, value in drawn.items()}
    for entry in arm.space.entries:
        settled = entry.when is None or entry.when.key not in drawn or entry.when.holds(drawn)
        if settled and entry.key not in names:
            possible[entry.key] = entry.distribution
    return possible


def _check_component(spec: StudySpec, component: str, possible: Mapping[str, Distribution]) -> None:
    entry = COMPONENTS[component]
    arguments = {
        key.split(".", 1)[1]: leaf for key, leaf in possible.items() if key.split(".", 1)[0] == component
    }
    name = ""
    if entry.table is not None:
        if "name" not in arguments:
            if entry.required:
                raise StudyFileError(
                    f"{spec.name}: fixed.{component}.name",
                    "is missing",
                    None,
                    f"known: {', '.join(sorted(entry.table))}",
                )
            return
        name = str(arguments.pop("name").ends[0])
        if name not in entry.table:
            place = _place(spec, f"{component}.name")
            raise StudyFileError(place, f"unknown {entry.table.noun}", name, nearest(name, entry.table))
    hints = argument_types(entry.arguments(name))
    for argument, leaf in arguments.items():
        _check_argument(spec, f"{component}.{argument}", name, hints, leaf)
    for argument in required_arguments(entry.arguments(name)) - set(arguments):
        raise StudyFileError(
            f"{spec.name}: {component}.{argument}", "is missing", None, "set it under [fixed] or [nuisance]"
        )


def _check_argument(
    spec: StudySpec, key: str, name: str, hints: Mapping[str, Any], leaf: Distribution
) -> None:
    component, argument = key.split(".", 1)
    place = _place(spec, key)
    if argument not in hints:
        owner = f"{component} {name}" if name else component
        known = [*hints, "name"] if COMPONENTS[component].table is not None else [*hints]
        raise StudyFileError(
            place, f"{owner} has no argument {argument}", None, nearest(argument, known) if known else ""
        )
    hint = hints[argument]
    if isinstance(leaf, Int) and _base(hint) is float:
        raise StudyFileError(
            place, "is a real number, so its range needs a decimal point", leaf.low, f"e.g. {leaf.low}.0"
        )
    if isinstance(leaf, Float) and _base(hint) is int:
        raise StudyFileError(place, "is a whole number, so its range must not have a decimal point", leaf.low)
    adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))
    for value in leaf.ends:
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            message = one_line(error.errors(include_url=False)[0]["msg"])
            raise StudyFileError(place, message.replace("Input should", "must"), value) from error


def _corners(possible: Mapping[str, Distribution]) -> Iterator[dict[str, Scalar]]:
    ends = {key: leaf.ends for key, leaf in possible.items()}
    count = 1
    for values in ends.values():
        count *= len(values)
    if count <= MAX_CORNERS:
        for values in itertools.product(*ends.values()):
            yield dict(zip(ends, values, strict=True))
        return
    middle = {key: values[0] for key, values in ends.items()}
    for key, values in ends.items():
        for value in values:
            yield {**middle, key: value}


def _check_together(spec: StudySpec, arm: Arm, values: Mapping[str, Scalar]) -> None:
    """Rules between hyperparameters that are each within their limits."""
    info = DATASETS[str(values["dataset.name"])]
    train_size, validation_size = values.get("dataset.train_size"), values.get("dataset.validation_size")
    try:
        check_sizes(
            info,
            None if train_size is None else int(train_size),
            None if validation_size is None else int(validation_size),
        )
    except StudyError as error:
        raise StudyFileError(f"{spec.name}: dataset", str(error)) from error
    optimizer = {key.split(".")[1]: value for key, value in values.items() if key.startswith("optimizer.")}
    broken = OPTIMIZERS[str(optimizer.pop("name"))].rule(optimizer)
    if broken:
        raise StudyFileError(f"{spec.name}: optimizer (arm {arm.name})", broken)
    model = {key.split(".")[1]: value for key, value in values.items() if key.startswith("model.")}
    need = MODELS[str(model.pop("name"))].minimum_size(**model)
    if min(info.shape[:2]) < need:
        raise StudyFileError(
            f"{spec.name}: arm {arm.name} cannot run",
            f"its model needs pictures of at least {need}x{need} pixels",
            f"{info.shape[0]}x{info.shape[1]} ({info.name})",
            "e.g. model.pad7 = true" if "pad7" in model else "",
        )


def argument_types(build: Callable[..., Any]) -> dict[str, Any]:
    """The annotated types of a builder's hyperparameters: keyword-only parameters of a function, all
    fields of a dataclass."""
    target = build.__init__ if inspect.isclass(build) else build
    hints = get_type_hints(target, include_extras=True)
    return {name: hints[name] for name in _hyperparameters(build)}


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


def _base(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _place(spec: StudySpec, key: str) -> str:
    """``cifar10-acts: nuisance.optimizer.lr``: where in the study file the key stands."""
    for section in ("scientific", "nuisance", "fixed"):
        if key in flatten(getattr(spec, section)):
            return f"{spec.name}: {section}.{key}"
    for text, section_table in spec.conditional.items():
        if key in flatten(section_table):
            return f'{spec.name}: conditional."{text}".{key}'
    return f"{spec.name}: {key}"


def worst_value(name: str, classes: int) -> float:
    """What a trial that learned nothing scores by the metric ``name``, on balanced classes."""
    return METRICS[metric(name)[1].name].worst(range(classes))


COMPONENTS: dict[str, Component] = {
    "dataset": Component(DATASETS, lambda name: dataset_arguments),
    "model": Component(MODELS, lambda name: MODELS[name].build),
    "activation": Component(ACTIVATIONS, lambda name: ACTIVATIONS[name].build),
    "loss": Component(LOSSES, lambda name: LOSSES[name].build, required=False),
    "optimizer": Component(OPTIMIZERS, lambda name: OPTIMIZERS[name].build),
    "schedule": Component(SCHEDULES, lambda name: SCHEDULES[name].build, required=False),
    "augmentation": Component(None, lambda name: Augmentation),
    "training": Component(None, lambda name: Routine),
}

__all__ = ["UnknownName", "check", "worst_value"]
