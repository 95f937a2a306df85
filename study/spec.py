"""StudySpec: a resolved study, its arms and its digest. Reading study files is in studyfile.py."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    Field,
    model_validator,
)

from study.claims import MAX_ARMS, STRICT, ArmName, Claim
from study.consistency import check_arms, check_sections
from study.keys import arm_name, flatten, parse_condition
from study.leaves import Choices, Range, Searched, SearchedOrHeld, Value, as_distribution
from study.space import Scalar, SearchSpace, Tuned

# As Ray and Kubernetes have it; a key may have a DNS name before it.
LabelKey = Annotated[
    str, Field(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")]
SAMPLERS = ("random", "tpe", "qmc", "grid", "cmaes", "gp", "bisect")


class Objective(BaseModel):
    """What tuning is judged by: a metric of the validation split, and which way is better."""

    model_config = STRICT

    metric: Annotated[str, Field(min_length=1)]
    direction: Literal["maximize", "minimize"]


class Search(BaseModel):
    """How each arm is tuned, and how often its best is retrained.

    ``early_stopping`` judges an arm's tuning trials after epochs, from ``grace_epochs`` on; its rungs
    are ``reduction_factor`` apart. ``finish_share`` of the stopped ones are carried to the end anyway,
    to count how often stopping was wrong. ``lag``: an arm's trial is proposed, and judged early, from the
    trials before it but the last ``lag``, which it waits for, so that a study repeats itself whatever runs
    at once; without, from whichever have ended.
    """

    model_config = STRICT

    sampler: Literal["random", "tpe", "qmc", "grid", "cmaes", "gp", "bisect"] = "tpe"
    trials_per_arm: Annotated[int, Field(ge=1, le=100_000)] = 16
    replicates: Annotated[int, Field(ge=0, le=10_000)] = 10
    early_stopping: Literal["none", "asha", "hyperband", "median"] = "none"
    grace_epochs: Annotated[int, Field(ge=1, le=100_000)] = 1
    reduction_factor: Annotated[int, Field(ge=2, le=100)] = 3
    finish_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    lag: Annotated[int, Field(ge=0, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @property
    def startup(self) -> int:
        """An arm's random trials before a sampler that has a model fits one: Optuna's ten, or half the
        budget where that is less."""
        return max(1, min(10, self.trials_per_arm // 2))


class Resources(BaseModel):
    """What one trial asks of the machine."""

    model_config = STRICT

    cpus_per_trial: Annotated[int, Field(ge=1, le=1024)] = 1
    # Below 1 a share of one; "auto" measures how many trials of each arm share a GPU (study.packing).
    gpus_per_trial: Annotated[float, Field(ge=0, le=64)] | Literal["auto"] = 0.0
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] | None = None
    # Trials run on the cluster's nodes with these labels alone.
    nodes: dict[LabelKey, LabelValue] = {}
    # Seconds of training from one checkpoint to the next, at least; 0 for one after every epoch.
    checkpoint_s: Annotated[float, Field(ge=0, le=1e9)] = 10.0
    # A trial that is silent for ten times its longest epoch hangs; shorter silences than this never count.
    silence_s: Annotated[float, Field(gt=0, le=1e9)] = 60.0
    # CPU, memory and GPU of each trial's process, an epoch at a time, and of the driver's machine.
    system_metrics: bool = False
    # The network of each arm's best replicate is kept, and logged in MLflow.
    models: bool = False

    @model_validator(mode="after")
    def is_a_share_or_whole(self) -> Resources:
        gpus = self.gpus_per_trial
        if gpus != "auto" and gpus > 1 and gpus != int(gpus):
            raise ValueError(f"gpus_per_trial above 1 must be whole; it is {gpus}")
        return self

    def at_most(self, trials: int | None) -> Resources:
        """The same with another bound on how many trials run at once, where one is given."""
        return self if trials is None else self.model_copy(update={"max_concurrent": trials})


def _prepare(table: Any) -> Any:
    """What is looked at before the models: they would complain of something else first."""
    if isinstance(table, dict):
        conditional = table.get("conditional")
        for text in conditional if isinstance(conditional, dict) else ():
            parse_condition(text)
        return _lift_narrowing(table)
    return table


def _lift_narrowing(table: dict[str, Any]) -> dict[str, Any]:
    """``arms`` and ``exclude`` may stand inside ``[scientific]``, where TOML lets one write them last."""
    scientific = table.get("scientific")
    if not isinstance(scientific, dict):
        return table
    inside = {key: scientific[key] for key in ("arms", "exclude") if key in scientific}
    for key in inside:
        if key in table:
            raise ValueError(f"{key}: is given twice, at the top and under [scientific]; keep one of them")
    rest = {key: value for key, value in scientific.items() if key not in inside}
    return {**table, **inside, "scientific": rest}


class StudySpec(BaseModel):
    """A study with its profile and overrides applied. Frozen; equal studies have equal digests."""

    model_config = STRICT

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}$")]
    question: Annotated[str, Field(min_length=1, max_length=2000)]
    description: Annotated[str, Field(max_length=20_000)] = ""
    objective: Objective
    arms_only: list[ArmName] | None = Field(default=None, alias="arms", min_length=1, max_length=MAX_ARMS)
    exclude: Annotated[list[ArmName], Field(max_length=MAX_ARMS)] = []
    scientific: dict[str, dict[str, Choices]] = {}
    nuisance: dict[str, dict[str, Searched]] = {}
    conditional: dict[str, dict[str, dict[str, SearchedOrHeld]]] = {}
    fixed: dict[str, dict[str, Value]] = {}
    search: Search = Search()
    resources: Resources = Resources()
    claims: Annotated[list[Claim], Field(max_length=MAX_ARMS)] = []

    _prepared = model_validator(mode="before")(_prepare)

    @model_validator(mode="after")
    def is_consistent(self) -> StudySpec:
        check_sections(self)
        check_arms(self)
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
        tuned = {key: as_distribution(leaf) for key, leaf in flatten(self.nuisance).items()}
        conditional: list[Tuned] = []
        for text, section in self.conditional.items():
            condition, leaves = parse_condition(text), flatten(section)
            if condition.key not in held:
                conditional += [Tuned(key, as_distribution(leaf), condition) for key, leaf in leaves.items()]
            elif condition.holds(held):
                # Settled for the whole arm: it takes the place of what stands elsewhere.
                for key, leaf in leaves.items():
                    if isinstance(leaf, Range | list):
                        held.pop(key, None)
                        tuned[key] = as_distribution(leaf)
                    else:
                        tuned.pop(key, None)
                        held[key] = leaf
        # Sorted, for the digest does not see their order, and what a sampler proposes depends on it.
        always = [Tuned(key, tuned[key]) for key in sorted(tuned)]
        conditional.sort(key=lambda entry: entry.key)
        return Arm(name, dict(values), held, SearchSpace((*always, *conditional)))

    # -- identity ---------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """12 hexadecimal digits over all that changes numbers: not the question, the claims, the
        concurrency or the share of a GPU. A setting that has its default counts as not given, so a
        new setting leaves the digests of older studies as they were."""
        apart = {"question", "description", "claims", "resources"}
        table = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=apart)
        table["cpus_per_trial"] = self.resources.cpus_per_trial
        return _sha256(table)[:12]

    @property
    def criterion(self) -> str:
        """The SHA-256 of the claims as they stand: stored before the run, so that nobody, we least
        of all, can move the posts afterwards. The number of replicates is in the digest. As there, the
        default test counts as not given."""
        return _sha256(
            [
                claim.model_dump(mode="json", exclude={"test"} if claim.test == "t" else None)
                for claim in self.claims
            ]
        )

    def to_toml(self) -> str:
        """The resolved study as a study file, with every setting's value, defaults too; reading it
        again gives the same digest."""
        table = self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"name"})
        return tomli_w.dumps(table)

    @property
    def trial_count(self) -> int:
        """How many trials the study asks for: tuning and confirmation."""
        return len(self.arms()) * (self.search.trials_per_arm + self.search.replicates)

    def tuning_at_once(self, concurrent: int) -> int:
        """How many tuning trials run at once where there is room for ``concurrent`` trials."""
        lag = self.search.lag
        return concurrent if lag is None else min(concurrent, len(self.arms()) * (lag + 1))


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


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
