"""A trial: what it needs (its config), how it ended (its verdict), and what came of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from study.space import Scalar

Phase = Literal["tune", "confirm"]
Status = Literal["ok", "pruned", "diverged", "stalled", "failed"]
Row = dict[str, float | int | None]
Event = dict[str, Any]

PHASES: tuple[Phase, ...] = ("tune", "confirm")
STATUSES: tuple[Status, ...] = ("ok", "pruned", "diverged", "stalled", "failed")


@dataclass(frozen=True)
class TrialConfig:
    """All that a rerun needs.

    ``hyperparameters`` are flat, complete and keyed *component.argument*. ``seed`` draws
    initialisation, data order, augmentation and dropout; ``split_seed`` draws the validation
    split and the training subset. Neither depends on the arm, so arms are compared in pairs.
    """

    study: str
    arm: str
    phase: Phase
    index: int
    hyperparameters: Mapping[str, Scalar]
    seed: int
    split_seed: int

    @property
    def id(self) -> str:
        return f"{self.arm}/{self.phase}/{self.index}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialConfig:
        return cls(**{**data, "hyperparameters": interned(data["hyperparameters"])})


@dataclass(frozen=True)
class Verdict:
    """How a trial ended.

    ``kind`` says more within the status (``nonfinite_loss``, ``crash``, ...); ``step`` counts
    optimizer steps from 0 and ``epoch`` from 1; ``reason`` is one line for people; ``numbers``
    are those that decided it, non-finite ones as None.
    """

    status: Status
    kind: str | None = None
    step: int | None = None
    epoch: int | None = None
    reason: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status}({self.kind})" if self.kind else self.status


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    ``curve`` has one row an epoch. ``metrics`` are the final ones: ``val_*`` always, ``test_*`` in
    the confirm phase only; losses in nats an example, accuracies as fractions; none of them where
    the trial did not finish. Beside them, where it is measured, ``start_*`` and ``end_*``: what the layers
    do (study.layerwise). ``events`` are what happened and was no reason to stop, each with its ``kind``
    and ``step``: a spike of the loss as ``recovered``, ``lingering`` or, where the trial ended under it,
    ``spike``; ``evaluation_alone``; last, ``omitted`` counts by kind what came after the first 200.
    ``environment`` says where and how it ran (device, precision, threads, versions).
    ``error`` is a traceback, for ``failed`` alone.
    ``autopsy`` says what broke first in a diverged training (study.autopsy.examine).
    """

    config: TrialConfig
    verdict: Verdict
    curve: tuple[Row, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    gradient_evaluations: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    autopsy: Mapping[str, Any] | None = None
    events: tuple[Event, ...] = ()

    def count(self, kind: str) -> int:
        """How many events of a kind there were; ``spikes`` are those of every ending."""
        if kind == "spikes":
            return sum(map(self.count, ("recovered", "lingering", "spike")))
        omitted = [int(event.get(kind, 0)) for event in self.events if event["kind"] == "omitted"]
        return len([event for event in self.events if event["kind"] == kind]) + sum(omitted)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; never NaN or Inf."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], config: TrialConfig | None = None) -> TrialResult:
        """``config`` takes the place of the one in ``data``."""
        return cls(
            **{
                **data,
                "config": config or TrialConfig.from_json(data["config"]),
                "verdict": Verdict(**data["verdict"]),
                "curve": tuple(data.get("curve", ())),
                "events": tuple(data.get("events", ())),
            }
        )

    def with_curve(self, curve: tuple[Row, ...]) -> TrialResult:
        return replace(self, curve=curve)


def interned(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same table, whose keys are in memory once for all the thousands of trials that have them."""
    return {sys.intern(key): value for key, value in table.items()}


def finite_or_none(value: float) -> float | None:
    """The number itself, or None where it is NaN or infinite (JSON and MLflow have no place for it)."""
    return float(value) if math.isfinite(value) else None
