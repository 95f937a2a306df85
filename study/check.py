"""A parsed study against the tables: names, limits, combinations. Nothing runs, nothing is read."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from annotated_types import Ge, Interval
from numpy.typing import ArrayLike
from pydantic import TypeAdapter, ValidationError

from study.claims import (
    HAPPENINGS,
    IN_TRAINING,
    LAYERWISE,
    MINUS,
    SHARE,
    STABLE_LR,
    STRICT,
    Claim,
    Trend,
)
from study.components.activations import ACTIVATIONS
from study.components.augmentation import Augmentation
from study.components.datasets import DATASETS, DatasetInfo, LoadedData
from study.components.datasets.classes import chosen_classes
from study.components.datasets.selecting import Selection
from study.components.datasets.splits import check_sizes
from study.components.losses import LOSSES
from study.components.metrics import full_names, metric
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS, Need
from study.components.routine import Routine
from study.components.schedules import SCHEDULES
from study.components.tasks import Levels
from study.components.thresholds import Thresholds
from study.errors import StudyError, StudyFileError, shorten
from study.judges import check_gradient_scale, check_metrics, check_task, judge, varied
from study.needs import NEEDS
from study.registry import Registry, nearest
from study.space import Categorical, Distribution, Float, Int, Scalar
from study.spec import Arm, StudySpec, dotted, flatten
from study.studyfile import rule

# Combinations are tried in full up to this many; past it, one hyperparameter at a time.
MAX_COMBINATIONS = 4096
# The most trials an arm can have, and as many points as Optuna's grid lists without running out of memory.
MAX_GRID = 100_000


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


@dataclass(frozen=True)
class Component:
    """Where a component's names and arguments are looked up; ``table`` is None where there is no name.

    ``builders(name)``: their keyword-only parameters (of a dataclass, its fields) are the arguments.
    """

    table: Registry[Any] | None
    builders: Callable[[str], tuple[Callable[..., Any], ...]]
    required: bool = True


def check(spec: StudySpec, place: str = "") -> None:
    """Raise StudyFileError, in one line, at the first rule the study breaks. ``place`` is what the line
    calls the study, by default its file."""
    place = place or f"{spec.name}.toml"
    try:
        _check_objective(spec)
        _check_claims(spec)
        _check_data_set(spec)
        check_metrics(spec)
        check_gradient_scale(spec)
        _check_search(spec)
        _ArmChecks(spec).run()
    except StudyFileError as error:
        where = f"{place}: {error.place}"
        raise StudyFileError(where, error.rule, error.value, error.way_out) from error


def check_against(spec: StudySpec, data: LoadedData) -> None:
    """Raise StudyFileError where a checked study does not fit a user's own file, now that it was read."""
    info = replace(
        DATASETS[data.name],
        classes=data.classes,
        shape=data.train_inputs.shape[1:],
        train_examples=len(data.train_targets),
        test_examples=len(data.test_targets),
    )
    _ArmChecks(spec, info).run()


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


def _check_claims(spec: StudySpec) -> None:
    for index, claim in enumerate(spec.claims):
        key = f"claims[{index}].metric"
        if claim.metric == STABLE_LR:
            _check_edge_claim(spec, claim, f"claims[{index}]")
            continue
        if claim.metric == SHARE:
            _check_share_claim(claim, f"claims[{index}]")
            continue
        if claim.metric in LAYERWISE:
            _check_layerwise_claim(spec, claim, key)
            continue
        for name in claim.metric.split(MINUS):
            _check_claimed(key, name)
        _check_difference(claim, key)
        if claim.trend:
            _check_trend(spec, claim, claim.trend, f"claims[{index}].trend")


def _check_difference(claim: Claim, key: str) -> None:
    """A claim may be about the difference of two metrics, which says nothing of which arm is better."""
    minuses = claim.metric.count(MINUS)
    if minuses > 1 or (minuses and claim.kind == "ranking"):
        raise StudyFileError(
            key,
            "must be one metric, or one minus another where the claim is not a ranking",
            claim.metric,
            'e.g. "test_error - train_eval_error"',
        )


def _check_claimed(key: str, name: str) -> None:
    """One metric that a claim is about."""
    known = (*full_names(), *IN_TRAINING)
    if name not in known:
        raise StudyFileError(key, f"unknown metric {shorten(name)}", None, nearest(name, known))
    if name.startswith("val_"):
        raise StudyFileError(
            key,
            "must not be of the validation split, on which the winners were picked",
            name,
            "e.g. test_" + name[4:],
        )


def _check_trend(spec: StudySpec, claim: Claim, trend: Trend, key: str) -> None:
    """A trend runs along a compared hyperparameter, and is of the claim's metric or another compared one."""
    numbers = [
        name
        for name, choices in spec.compared.items()
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in choices)
        and len(choices) > 1
    ]
    if trend.along not in numbers:
        raise StudyFileError(
            f"{key}.along",
            "must be a hyperparameter under [scientific] with two numbers or more",
            trend.along,
            nearest(trend.along, numbers) if numbers else "compare one",
        )
    known = [claim.metric, *(name for name in numbers if name != trend.along)]
    if trend.of not in known:
        raise StudyFileError(
            f"{key}.of",
            "must be the claim's metric, or another hyperparameter with numbers under [scientific]",
            trend.of,
            nearest(trend.of, known),
        )


def _check_edge_claim(spec: StudySpec, claim: Claim, key: str) -> None:
    """A claim about the largest stable learning rates."""
    if spec.search.sampler != "bisect":
        raise StudyFileError(
            f"{key}.metric",
            f"{STABLE_LR} is what bisect measures, and the sampler is {spec.search.sampler}",
            None,
            'set search.sampler = "bisect", or claim another metric',
        )
    if claim.kind not in ("value", "ratio", "difference"):
        raise StudyFileError(
            key,
            f"a claim about {STABLE_LR} is a value, a ratio or a difference",
            claim.kind,
            "e.g. ratio = { arms = [A, B], at_least = 2.0 }",
        )


def _check_share_claim(claim: Claim, key: str) -> None:
    """A claim about what share of the trials something happens in."""
    if claim.proportion is None:
        raise StudyFileError(
            key,
            f"a claim about {SHARE} is a proportion",
            claim.kind,
            'e.g. proportion = { of = "diverged", ... }',
        )
    for name, happening in (("of", claim.proportion.of), ("among", claim.proportion.among)):
        if happening is not None and happening not in HAPPENINGS:
            raise StudyFileError(
                f"{key}.proportion.{name}",
                f"nothing that happens in a trial is called {shorten(happening)}",
                None,
                nearest(happening, HAPPENINGS),
            )


def _check_layerwise_claim(spec: StudySpec, claim: Claim, key: str) -> None:
    """A claim about what layers do, which has to be measured in every replicate."""
    measured = spec.held.get("training.layerwise", 0)
    if not isinstance(measured, int) or measured < spec.search.replicates:
        raise StudyFileError(
            key,
            f"needs training.layerwise to be at least search.replicates = {spec.search.replicates}",
            claim.metric,
            f"set fixed.training.layerwise = {spec.search.replicates}",
        )


def _check_data_set(spec: StudySpec) -> None:
    """All trials are of one data set, and judged on the same images of it."""
    for key in varied(spec):
        if key in HELD:
            raise StudyFileError(
                _place(spec, key), f"must be held: {HELD[key]}", None, "put it under [fixed]"
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
            _place(spec, "training.epochs"),
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
            raise StudyFileError(_place(spec, entry.key), "needs points for the grid sampler", None, way_out)
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


# -- each arm ----------------------------------------------------------------------------------------


class _ArmChecks:
    """The checks of every arm. Arms share most of what they hold and tune, so what was found to be
    right is remembered: a study of a thousand arms is checked in about a second."""

    def __init__(self, spec: StudySpec, info: DatasetInfo | None = None) -> None:
        self.spec, self.info = spec, info
        self.right: set[tuple[str, ...]] = set()

    def run(self) -> None:
        for arm in self.spec.arms():
            for decided in _decisions(arm):
                possible = _possible_values(arm, decided)
                for component in COMPONENTS:
                    self._check_component(component, possible)
                self._check_together(arm, possible)

    def _check_component(self, component: str, possible: Mapping[str, Distribution]) -> None:
        arguments = _of(component, possible)
        if self._was_right(component, arguments):
            return
        entry, name = COMPONENTS[component], ""
        if entry.table is not None:
            if "name" not in arguments:
                if entry.required:
                    raise StudyFileError(
                        f"fixed.{component}.name",
                        "is missing",
                        None,
                        f"known: {', '.join(sorted(entry.table.names()))}",
                    )
                if arguments:
                    key = f"{component}.{min(arguments)}"
                    raise StudyFileError(
                        _place(self.spec, key), f"needs {component}.name", None, f"set fixed.{component}.name"
                    )
                return
            name = str(arguments.pop("name").ends[0])
            if name not in entry.table:
                place = _place(self.spec, f"{component}.name")
                unknown = f"unknown {entry.table.noun} {shorten(name)}"
                raise StudyFileError(place, unknown, None, nearest(name, entry.table.names()))
        builders = entry.builders(name)
        for argument, leaf in arguments.items():
            self._check_argument(component, argument, name, leaf)
        needed = set[str]().union(*map(required_arguments, builders))
        for argument in sorted(needed - set(arguments)):
            raise StudyFileError(
                f"{component}.{argument}", "is missing", None, "set it under [fixed] or [nuisance]"
            )

    def _check_argument(self, component: str, argument: str, name: str, leaf: Distribution) -> None:
        place = _place(self.spec, f"{component}.{argument}")
        builders = COMPONENTS[component].builders(name)
        hints = {key: hint for each in builders for key, hint in argument_types(each).items()}
        if argument not in hints:
            owner = f"{component} {name}" if name else component
            raise StudyFileError(
                place,
                f"{owner} has no argument {shorten(argument)}",
                None,
                nearest(argument, hints) if hints else "it takes none",
            )
        base = _base(hints[argument])
        if isinstance(leaf, Int) and base is float:
            raise StudyFileError(
                place,
                "is a real number, so its range needs a decimal point",
                leaf.low,
                f"e.g. low = {leaf.low}.0",
            )
        if isinstance(leaf, Float) and base is int:
            rule_ = "is a whole number, so its range must not have a decimal point"
            raise StudyFileError(place, rule_, leaf.low, f"e.g. low = {leaf.low:.0f}")
        adapter: TypeAdapter[Any] = TypeAdapter(hints[argument], config=STRICT)
        for value in leaf.ends:
            try:
                adapter.validate_python(value)
            except ValidationError as error:
                # One message for each kind that the argument may be of.
                rules = [rule(details["msg"]) for details in error.errors(include_url=False)]
                said = " or ".join([rules[0], *(each.removeprefix("must be ") for each in rules[1:])])
                raise StudyFileError(place, said, value) from error

    # -- rules between hyperparameters that are each within their limits ---------------------------

    def _check_together(self, arm: Arm, possible: Mapping[str, Distribution]) -> None:
        info = self.info or DATASETS[str(possible["dataset.name"].ends[0])]
        dataset, optimizer, model = (_of(part, possible) for part in ("dataset", "optimizer", "model"))
        self._check_loss(arm, info, _of("loss", possible))
        if not self._was_right("optimizer rule", optimizer):
            for values in _combinations(optimizer):
                broken = OPTIMIZERS[str(values.pop("name"))].rule(values)
                if broken:
                    raise StudyFileError(f"optimizer (arm {arm.name})", broken)
        if not info.shape:
            return  # a user's own file: looked at again when it is read
        self._check_augmentation(info, _of("augmentation", possible))
        if not self._was_right("dataset sizes", dataset):
            for values in _combinations(dataset):
                self._check_sizes(info, values)
        for need in OPTIMIZERS[str(optimizer["name"].ends[0])].needs:
            self._check_need(arm, info, need, possible)
        if not self._was_right(f"model on {info.name}", model):
            for values in _combinations(model):
                self._check_model(arm, info, values)

    def _check_need(
        self, arm: Arm, info: DatasetInfo, need: Need, possible: Mapping[str, Distribution]
    ) -> None:
        asked = NEEDS[need]
        seen = {key: leaf for key, leaf in possible.items() if asked.looks_at(key)}
        if self._was_right(f"{need} on {info.name}", seen):
            return
        for values in _combinations(seen):
            broken = asked.broken(values, info)
            if broken:
                name = possible["optimizer.name"].ends[0]
                raise StudyFileError(f"optimizer (arm {arm.name})", f"{name} {broken}")

    def _check_choice(self, info: DatasetInfo, values: Mapping[str, Scalar]) -> None:
        """What chooses among labels needs labels, and what looks at pictures needs pictures."""
        labels = info.task == "classification"
        for argument, possible, needs in (
            ("classes", labels, "labels"),
            ("label_noise", labels, "labels"),
            ("selection", labels and len(info.shape) == 3, "labelled pictures"),
        ):
            if values.get(argument, "random") not in (0, "random") and not possible:
                raise StudyFileError(
                    _place(self.spec, f"dataset.{argument}"), f"needs {needs}, and {info.name} has none"
                )

    def _check_sizes(self, info: DatasetInfo, values: Mapping[str, Scalar]) -> None:
        self._check_choice(info, values)
        train_size, validation_size = values.get("train_size"), values.get("validation_size")
        if train_size is None and values.get("selection", "random") != "random":
            raise StudyFileError(
                _place(self.spec, "dataset.selection"),
                "selects nothing where all images are taken",
                None,
                "set dataset.train_size",
            )
        try:
            classes = chosen_classes(values.get("classes"), info.classes)
        except StudyError as error:
            raise StudyFileError(_place(self.spec, "dataset.classes"), str(error)) from error
        try:
            check_sizes(
                info,
                None if train_size is None else int(train_size),
                None if validation_size is None else int(validation_size),
                len(classes),
            )
        except StudyError as error:
            key = "validation_size" if train_size is None and validation_size else "train_size"
            raise StudyFileError(_place(self.spec, f"dataset.{key}"), str(error)) from error

    def _check_loss(self, arm: Arm, info: DatasetInfo, possible: Mapping[str, Distribution]) -> None:
        for name in possible["name"].ends if "name" in possible else ():
            if LOSSES[str(name)].task != info.task:
                fitting = [each for each, entry in LOSSES.items() if entry.task == info.task]
                raise StudyFileError(
                    f"loss (arm {arm.name})",
                    f"{name} is for {LOSSES[str(name)].task}, and {info.name} asks for {info.task}",
                    None,
                    f"e.g. {fitting[0]}",
                )

    def _check_model(self, arm: Arm, info: DatasetInfo, values: dict[str, Scalar]) -> None:
        name = str(values.pop("name"))
        if len(info.shape) == 1:
            self._check_vectors(arm, info, name)
            return
        need, height, width = MODELS[name].minimum_size(**values), *info.shape[:2]
        if min(height, width) < need:
            raise StudyFileError(
                f"model (arm {arm.name})",
                f"{name} needs pictures of {need}x{need} pixels, and {info.name} has {height}x{width}",
                None,
                "e.g. model.pad7 = true" if values.get("pad7") is False else "",
            )

    def _check_augmentation(self, info: DatasetInfo, possible: Mapping[str, Distribution]) -> None:
        if len(info.shape) > 1:
            return
        for argument, leaf in possible.items():
            if any(leaf.ends):
                raise StudyFileError(
                    _place(self.spec, f"augmentation.{argument}"),
                    f"is for pictures, and {info.name} has vectors of {info.shape[0]}",
                    None,
                    "leave it out",
                )

    def _check_vectors(self, arm: Arm, info: DatasetInfo, name: str) -> None:
        if not MODELS[name].vectors:
            able = [each for each, entry in MODELS.items() if entry.vectors]
            raise StudyFileError(
                f"model (arm {arm.name})",
                f"{name} needs pictures, and {info.name} has vectors of {info.shape[0]}",
                None,
                f"e.g. {able[0]}",
            )

    def _was_right(self, what: str, possible: Mapping[str, Distribution]) -> bool:
        """Whether this was asked before. As errors end the check, it was right then."""
        # Not the distributions themselves: to Python, Categorical((1,)) equals Categorical((True,)).
        key = (what, *(f"{argument} {leaf!r}" for argument, leaf in possible.items()))
        known = key in self.right
        self.right.add(key)
        return known


def _decisions(arm: Arm) -> Iterator[dict[str, Scalar]]:
    """Every choice that the arm can draw of what other things depend on: the components' names, on which
    their arguments depend, and what conditions ask for."""
    asked = {entry.when.key: entry.when.value for entry in arm.space.entries if entry.when}
    choices: dict[str, dict[str, Scalar]] = {}
    for entry in arm.space.entries:
        if entry.key.endswith(".name") or entry.key in asked:
            values = choices.setdefault(entry.key, {})
            values |= {repr(value): value for value in entry.distribution.ends}
    for key, value in asked.items():
        if key in choices:
            choices[key][repr(value)] = value
    return _combinations({key: Categorical(tuple(values.values())) for key, values in choices.items()})


def _possible_values(arm: Arm, decided: Mapping[str, Scalar]) -> dict[str, Distribution]:
    """Every hyperparameter of the arm under these decisions, with all it can be."""
    drawn = {**arm.held, **decided}
    possible: dict[str, Distribution] = {key: Categorical((value,)) for key, value in drawn.items()}
    for entry in arm.space.entries:
        if entry.key not in decided and (entry.when is None or entry.when.holds(drawn)):
            possible[entry.key] = entry.distribution
    return possible


def _of(component: str, possible: Mapping[str, Distribution]) -> dict[str, Distribution]:
    """The component's arguments, by their own names."""
    keys = [key.split(".", 1) for key in possible]
    return {argument: possible[f"{part}.{argument}"] for part, argument in keys if part == component}


def _combinations(possible: Mapping[str, Distribution]) -> Iterator[dict[str, Scalar]]:
    """The extreme values, each with each; where those are too many, each with the others' first."""
    ends = {key: leaf.ends for key, leaf in possible.items()}
    if math.prod(len(values) for values in ends.values()) <= MAX_COMBINATIONS:
        for values in itertools.product(*ends.values()):
            yield dict(zip(ends, values, strict=True))
        return
    first = {key: values[0] for key, values in ends.items()}
    for key, values in ends.items():
        for value in values:
            yield {**first, key: value}


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


def _base(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _place(spec: StudySpec, key: str) -> str:
    """``nuisance.optimizer.lr``: where in the study file the key stands."""
    written = dotted(key.split(".", 1))
    for section in ("scientific", "nuisance", "fixed"):
        if key in flatten(getattr(spec, section)):
            return f"{section}.{written}"
    for text, section_table in spec.conditional.items():
        if key in flatten(section_table):
            return f'conditional."{text}".{written}'
    return written


def worst_value(name: str, targets: ArrayLike, levels: Levels = ()) -> float | None:
    """What a trial that learned nothing scores by the metric ``name`` on these targets, ``range(K)`` for K
    balanced classes; None where nothing can be said. ``levels``: of the loss's quantiles."""
    return metric(name)[1].worst_on(targets, levels)


# What all trials of a study must share, and why.
HELD = {
    "dataset.name": "a study compares on one data set",
    "dataset.path": "a study compares on one data set",
    "dataset.classes": "to tell other classes apart is another task",
    "dataset.validation_size": "what trials are judged on must not change with what is judged",
}

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
