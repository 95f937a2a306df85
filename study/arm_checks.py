"""Each arm of a study against the tables: names, limits, combinations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from study.arguments import COMPONENTS, argument_types, base_type, required_arguments
from study.claims import STRICT
from study.components.datasets import DATASETS, DatasetInfo
from study.components.datasets.classes import chosen_classes
from study.components.datasets.splits import check_sizes
from study.components.losses import LOSSES
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS, Need
from study.errors import StudyError, StudyFileError, shorten
from study.keys import dotted, flatten
from study.needs import NEEDS, batch_size, examples
from study.registry import nearest
from study.space import Categorical, Distribution, Float, Int, Scalar
from study.spec import Arm, StudySpec
from study.studyfile import rule

# Combinations are tried in full up to this many; past it, one hyperparameter at a time.
MAX_COMBINATIONS = 4096


class ArmChecks:
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
                        place_of(self.spec, key),
                        f"needs {component}.name",
                        None,
                        f"set fixed.{component}.name",
                    )
                return
            name = str(arguments.pop("name").ends[0])
            if name not in entry.table:
                place = place_of(self.spec, f"{component}.name")
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
        place = place_of(self.spec, f"{component}.{argument}")
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
        base = base_type(hints[argument])
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
        self._check_batch_size(arm, info, possible)
        for need in OPTIMIZERS[str(optimizer["name"].ends[0])].needs:
            self._check_need(arm, info, need, possible)
        if not self._was_right(f"model on {info.name}", model):
            for values in _combinations(model):
                self._check_model(arm, info, values)

    def _check_batch_size(self, arm: Arm, info: DatasetInfo, possible: Mapping[str, Distribution]) -> None:
        """The default is no mistake of the user's: it takes all there is."""
        key = "training.batch_size"
        seen = {name: leaf for name, leaf in possible.items() if name == key or name.startswith("dataset.")}
        if key not in possible or self._was_right(f"batch size on {info.name}", seen):
            return
        for values in _combinations(seen):
            size, whole = batch_size(values, info), examples(values, info)
            if size > whole:
                raise StudyFileError(
                    place_of(self.spec, key),
                    f"must not exceed the {whole:,} training examples (arm {arm.name})",
                    size,
                    'lower it, or set it to "full"',
                )

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
                    place_of(self.spec, f"dataset.{argument}"), f"needs {needs}, and {info.name} has none"
                )

    def _check_sizes(self, info: DatasetInfo, values: Mapping[str, Scalar]) -> None:
        self._check_choice(info, values)
        train_size, validation_size = values.get("train_size"), values.get("validation_size")
        if train_size is None and values.get("selection", "random") != "random":
            raise StudyFileError(
                place_of(self.spec, "dataset.selection"),
                "selects nothing where all images are taken",
                None,
                "set dataset.train_size",
            )
        try:
            classes = chosen_classes(values.get("classes"), info.classes)
        except StudyError as error:
            raise StudyFileError(place_of(self.spec, "dataset.classes"), str(error)) from error
        try:
            check_sizes(
                info,
                None if train_size is None else int(train_size),
                None if validation_size is None else int(validation_size),
                len(classes),
            )
        except StudyError as error:
            key = "validation_size" if train_size is None and validation_size else "train_size"
            raise StudyFileError(place_of(self.spec, f"dataset.{key}"), str(error)) from error

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
                    place_of(self.spec, f"augmentation.{argument}"),
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


def place_of(spec: StudySpec, key: str) -> str:
    """``nuisance.optimizer.lr``: where in the study file the key stands."""
    written = dotted(key.split(".", 1))
    for section in ("scientific", "nuisance", "fixed"):
        if key in flatten(getattr(spec, section)):
            return f"{section}.{written}"
    for text, section_table in spec.conditional.items():
        if key in flatten(section_table):
            return f'conditional."{text}".{written}'
    return written
