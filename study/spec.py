"""StudySpec: a resolved study, its arms and its digest. Reading study files is in studyfile.py."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from study.claims import STRICT, ArmName, Claim
from study.registry import nearest
from study.space import Categorical, Condition, Distribution, Float, Int, Scalar, SearchSpace, Tuned

COMPONENTS = (
    "dataset",
    "model",
    "activation",
    "loss",
    "optimizer",
    "schedule",
    "augmentation",
    "training",
)
SAMPLERS = ("random", "tpe", "qmc", "grid", "cmaes", "gp")
MAX_ARMS = 1000

# Whole numbers stay where a double holds them exactly.
_Int = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
_Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Text = Annotated[str, Field(strict=True, max_length=200)]
_Bool = Annotated[bool, Field(strict=True)]


def _scalar_kind(value: object) -> str:
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "text")


_Scalar = Annotated[
    Annotated[_Bool, Tag("bool")]
    | Annotated[_Int, Tag("int")]
    | Annotated[_Float, Tag("float")]
    | Annotated[_Text, Tag("text")],
    Discriminator(_scalar_kind),
]


def _number_kind(value: object) -> str:
    return "int" if isinstance(value, int) else "float"


_Number = Annotated[
    Annotated[_Int, Tag("int")] | Annotated[_Float, Tag("float")], Discriminator(_number_kind)
]


class Range(BaseModel):
    """``{ low, high }``, with ``log = true`` for orders of magnitude, ``step`` for whole numbers, and
    ``points`` for how many values a grid takes. Whole numbers at both ends search whole numbers."""

    model_config = STRICT

    low: _Number
    high: _Number
    log: bool = False
    step: Annotated[int, Field(ge=1)] | None = None
    points: Annotated[int, Field(ge=1, le=10_000)] | None = None

    @model_validator(mode="after")
    def is_a_range(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high; low = {self.low}, high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 on a log range; low = {self.low}")
        if self.step and (self.log or not self.whole):
            raise ValueError("step goes with a range of whole numbers without log")
        if self.points and self.whole:
            raise ValueError("points goes with a range of real numbers; use step for whole numbers")
        return self

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def distribution(self) -> Distribution:
        if self.whole:
            return Int(int(self.low), int(self.high), self.log, self.step or 1)
        return Float(float(self.low), float(self.high), self.log, self.points)


def _distinct(choices: Any) -> Any:
    if not isinstance(choices, list):
        raise ValueError(f"must be a list of the values to choose from, not {choices!r}")
    seen = [(type(choice), choice) for choice in choices]
    for entry in seen:
        if seen.count(entry) > 1:
            raise ValueError(f"lists {entry[1]!r} twice")
    return choices


Choices = Annotated[list[_Scalar], Field(min_length=1, max_length=1000), BeforeValidator(_distinct)]


def _leaf_kind(value: object) -> str:
    return "range" if isinstance(value, dict | Range) else "choices" if isinstance(value, list) else "value"


def _not_held(value: object) -> object:
    raise ValueError("is a single value, which cannot be tuned; put it under [fixed]")


Searched = Annotated[
    Annotated[Range, Tag("range")]
    | Annotated[Choices, Tag("choices")]
    | Annotated[_Scalar, BeforeValidator(_not_held), Tag("value")],
    Discriminator(_leaf_kind),
]
SearchedOrHeld = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")] | Annotated[_Scalar, Tag("value")],
    Discriminator(_leaf_kind),
]


class Objective(BaseModel):
    """What tuning is judged by: a metric of the validation split, and which way is better."""

    model_config = STRICT

    metric: Annotated[str, Field(min_length=1)]
    direction: Literal["maximize", "minimize"]


class Search(BaseModel):
    """How each arm is tuned, and how often its best is retrained."""

    model_config = STRICT

    sampler: Literal["random", "tpe", "qmc", "grid", "cmaes", "gp"] = "tpe"
    trials_per_arm: Annotated[int, Field(ge=1, le=100_000)] = 16
    replicates: Annotated[int, Field(ge=0, le=10_000)] = 10
    early_stopping: Literal["none"] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Resources(BaseModel):
    """What one trial asks of the machine."""

    model_config = STRICT

    cpus_per_trial: Annotated[int, Field(ge=1, le=1024)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0, le=64)] = 0.0
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @model_validator(mode="after")
    def is_a_share_or_whole(self) -> Resources:
        if self.gpus_per_trial > 1 and self.gpus_per_trial != int(self.gpus_per_trial):
            raise ValueError(f"gpus_per_trial above 1 must be whole; it is {self.gpus_per_trial}")
        return self


def _lift_narrowing(table: Any) -> Any:
    """``arms`` and ``exclude`` may stand inside ``[scientific]``, where TOML lets one write them last."""
    scientific = table.get("scientific") if isinstance(table, dict) else None
    if not isinstance(scientific, dict):
        return table
    inside = {key: scientific[key] for key in ("arms", "exclude") if key in scientific}
    for key in inside:
        if key in table:
            raise ValueError(f"{key} is given twice, at the top and under [scientific]")
    rest = {key: value for key, value in scientific.items() if key not in inside}
    return {**table, **inside, "scientific": rest}


Section = dict[str, dict[str, Any]]


class StudySpec(BaseModel):
    """A study with its profile and overrides applied. Frozen; equal studies have equal digests."""

    model_config = STRICT

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]{1,64}$")]
    question: Annotated[str, Field(min_length=1, max_length=2000)]
    description: Annotated[str, Field(max_length=20_000)] = ""
    objective: Objective
    arms_only: list[ArmName] | None = Field(default=None, alias="arms", min_length=1)
    exclude: list[ArmName] = []
    scientific: dict[str, dict[str, Choices]] = {}
    nuisance: dict[str, dict[str, Searched]] = {}
    conditional: dict[str, dict[str, dict[str, SearchedOrHeld]]] = {}
    fixed: dict[str, dict[str, _Scalar]] = {}
    search: Search = Search()
    resources: Resources = Resources()
    claims: list[Claim] = []

    _lift = model_validator(mode="before")(_lift_narrowing)

    @model_validator(mode="after")
    def is_consistent(self) -> StudySpec:
        _check_sections(self)
        _check_arms(self)
        return self

    # -- what is compared, tuned and held ---------------------------------------------------------

    @property
    def held(self) -> dict[str, Scalar]:
        """The fixed hyperparameters, flat."""
        return flatten(self.fixed)

    @property
    def compared(self) -> dict[str, list[Scalar]]:
        """The scientific hyperparameters, flat."""
        return flatten(self.scientific)

    def all_arms(self) -> dict[str, dict[str, Scalar]]:
        """Every combination of the scientific values by its arm's name, before any narrowing."""
        keys = list(self.compared)
        if not keys:
            return {"all": {}}
        combinations = itertools.product(*self.compared.values())
        assignments = [dict(zip(keys, values, strict=True)) for values in combinations]
        return {arm_name(assignment): assignment for assignment in assignments}

    def arms(self) -> tuple[Arm, ...]:
        """The arms that run, in the order of the product (or of ``arms``)."""
        every = self.all_arms()
        names = self.arms_only or [name for name in every if name not in self.exclude]
        return tuple(self._arm(name, every[name]) for name in names)

    def _arm(self, name: str, values: Mapping[str, Scalar]) -> Arm:
        held = {**self.held, **values}
        tuned = [Tuned(key, as_distribution(leaf)) for key, leaf in flatten(self.nuisance).items()]
        for text, section in self.conditional.items():
            condition = parse_condition(text)
            if condition.key in held and not condition.holds(held):
                continue
            when = None if condition.key in held else condition
            for key, leaf in flatten(section).items():
                if when is None and not isinstance(leaf, Range | list):
                    held[key] = leaf
                    tuned = [entry for entry in tuned if entry.key != key]
                else:
                    tuned.append(Tuned(key, as_distribution(leaf), when))
        tuned.sort(key=lambda entry: entry.when is not None)
        return Arm(name, dict(values), held, SearchSpace(tuple(tuned)))

    # -- identity ---------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """12 hexadecimal digits over all that changes numbers: not the question, the claims, the
        concurrency or the share of a GPU."""
        table = self.model_dump(mode="json", by_alias=True, exclude={"question", "description", "claims"})
        table["resources"] = {"cpus_per_trial": self.resources.cpus_per_trial}
        return _sha256(table)[:12]

    @property
    def criterion(self) -> str:
        """The SHA-256 of the claims as they stand: stored before the run, so that nobody, we least
        of all, can move the posts afterwards."""
        return _sha256([claim.model_dump(mode="json") for claim in self.claims])

    def to_toml(self) -> str:
        """The resolved study as a study file; reading it again gives the same digest."""
        table = self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude_defaults=True, exclude={"name"}
        )
        return tomli_w.dumps(table)

    @property
    def trial_count(self) -> int:
        """How many trials the study asks for: tuning and confirmation."""
        return len(self.arms()) * (self.search.trials_per_arm + self.search.replicates)


@dataclass(frozen=True)
class Arm:
    """One assignment of the scientific hyperparameters.

    ``values`` are the scientific ones, ``held`` all that do not vary inside the arm (scientific,
    fixed and statically conditional), ``space`` what is tuned afresh inside it.
    """

    name: str
    values: Mapping[str, Scalar]
    held: Mapping[str, Scalar]
    space: SearchSpace

    def complete(self, tuned: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """All hyperparameters of a trial of this arm, given the tuned ones."""
        return {**self.held, **tuned}


def flatten(section: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """``{"optimizer": {"lr": x}}`` to ``{"optimizer.lr": x}``."""
    return {f"{part}.{argument}": leaf for part, table in section.items() for argument, leaf in table.items()}


def as_distribution(leaf: Any) -> Distribution:
    """A study file's range, list of choices or single value as a distribution."""
    if isinstance(leaf, Range):
        return leaf.distribution()
    return Categorical(tuple(leaf) if isinstance(leaf, list) else (leaf,))


def parse_condition(text: str) -> Condition:
    """``"optimizer.name=sgd"``; the value is read as TOML, bare words as text."""
    key, equals, value = text.partition("=")
    if not equals or not value or key.count(".") != 1:
        raise ValueError(f'conditional."{text}": must read [conditional."component.argument=value"]')
    return Condition(key.strip(), parse_scalar(value.strip()))


def parse_scalar(text: str) -> Scalar:
    """``true``, ``false``, a number, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("\"'")


SHORT = {"batch_norm": "bn", "train_size": "n"}


def arm_name(values: Mapping[str, Scalar]) -> str:
    """``{"activation.name": "relu", "model.batch_norm": True}`` to ``relu+bn``.

    Names stand for themselves, true switches for their (short) label, false ones for nothing, and
    other values follow their label: ``n1000``, ``width0.25``.
    """
    labels = {key: SHORT.get(key.split(".")[1], key.split(".")[1]) for key in values}
    parts = [_arm_part(key, labels[key], value) for key, value in values.items()]
    if any(parts):
        return "+".join(part for part in parts if part)
    return "+".join(f"no-{label}" for label in labels.values())


def _arm_part(key: str, label: str, value: Scalar) -> str:
    if isinstance(value, bool):
        return label if value else ""
    return str(value) if key.endswith(".name") else f"{label}{value}"


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


# -- rules that one field alone cannot check: each raises ValueError with a line for the user --------


def _check_sections(spec: StudySpec) -> None:
    for section in ("scientific", "nuisance", "fixed"):
        _check_components(section, getattr(spec, section))
    for text, table in spec.conditional.items():
        parse_condition(text)
        _check_components(f'conditional."{text}"', table)
    places: dict[str, str] = {}
    for section in ("scientific", "nuisance", "fixed"):
        for key in flatten(getattr(spec, section)):
            if key in places:
                raise ValueError(
                    f"{section}.{key}: stands in [{places[key]}] too; a hyperparameter is compared, tuned "
                    "or held, so keep one of them"
                )
            places[key] = section
    for text in spec.conditional:
        condition = parse_condition(text)
        if condition.key not in places:
            raise ValueError(
                f'conditional."{text}": {condition.key} is not set outside [conditional]; name it in '
                "[scientific], [nuisance] or [fixed]"
            )
        _check_condition_can_hold(spec, text, condition, places[condition.key])


def _check_components(section: str, table: Mapping[str, Mapping[str, object]]) -> None:
    for component in table:
        if component not in COMPONENTS:
            raise ValueError(f"{section}.{component}: unknown component; {nearest(component, COMPONENTS)}")


def _check_condition_can_hold(spec: StudySpec, text: str, condition: Condition, place: str) -> None:
    leaf = flatten(getattr(spec, place))[condition.key]
    possible = as_distribution(leaf)
    if condition.value not in possible and place != "fixed":
        values = ", ".join(map(str, possible.ends))
        raise ValueError(f'conditional."{text}": {condition.key} never has that value; it has {values}')
    for key in flatten(spec.conditional[text]):
        if key in spec.compared:
            raise ValueError(
                f'conditional."{text}".{key}: is compared in [scientific]; it cannot be conditional'
            )


def _check_arms(spec: StudySpec) -> None:
    count = 1
    for choices in spec.compared.values():
        count *= len(choices)
    if count > MAX_ARMS:
        raise ValueError(
            f"scientific: makes {count} arms, at most {MAX_ARMS} are allowed; compare fewer values"
        )
    every = spec.all_arms()
    if len(every) < count:
        raise ValueError("scientific: two combinations have the same name; rename or drop a value")
    for name, where in _named_arms(spec):
        if name not in every:
            raise ValueError(f"{where}: no arm is called {name!r}; {nearest(name, every)}")
    names = spec.arms_only or []
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"arms: names {name!r} twice; name each arm once")
        if name in spec.exclude:
            raise ValueError(f"arms: {name!r} is also in exclude; keep it in one of them")
    if not spec.arms():
        raise ValueError("exclude: leaves no arm; exclude fewer")


def _named_arms(spec: StudySpec) -> Iterator[tuple[str, str]]:
    yield from ((name, "arms") for name in spec.arms_only or ())
    yield from ((name, "exclude") for name in spec.exclude)
    for index, claim in enumerate(spec.claims):
        yield from ((name, f"claims[{index}].{claim.kind}") for name in claim.arms)
