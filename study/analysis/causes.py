"""How a study's trials ended, by cause: each trial stands in one line, under what decided its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from study.trial import STATUSES, Status, TrialResult


@dataclass(frozen=True)
class Cause:
    """``kind`` is the verdict's; for trials that ended ok, what became of their worst spike, None where
    they had none. ``arms`` has the number of trials by arm, the most first; ``example`` is the first's id."""

    status: Status
    kind: str | None
    arms: Mapping[str, int]
    example: str

    @property
    def trials(self) -> int:
        return sum(self.arms.values())

    @property
    def text(self) -> str:
        """The kind in words; empty for an end that needs none."""
        return TEXTS.get(self.kind or "", (self.kind or "").replace("_", " "))

    def __str__(self) -> str:
        return f"{self.status}: {self.text}" if self.text else self.status

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "kind": self.kind,
            "trials": self.trials,
            "arms": dict(self.arms),
            "example": self.example,
        }


def causes(results: Iterable[TrialResult]) -> tuple[Cause, ...]:
    """The causes that occur, ok first; within a status the most frequent first."""
    found: dict[tuple[Status, str | None], list[TrialResult]] = {}
    for result in results:
        found.setdefault((result.verdict.status, kind_of(result)), []).append(result)
    counted = [
        Cause(*cause, dict(Counter(each.config.arm for each in mine).most_common()), mine[0].config.id)
        for cause, mine in found.items()
    ]
    return tuple(sorted(counted, key=_place))


def kind_of(result: TrialResult) -> str | None:
    """The verdict's kind or, for a trial that ended ok, the worst that became of one of its spikes."""
    if result.verdict.status != "ok":
        return result.verdict.kind
    return next((kind for kind in SPIKES if result.count(kind)), None)


def _place(cause: Cause) -> tuple[int, bool, int, str]:
    return STATUSES.index(cause.status), bool(cause.kind), -cause.trials, cause.kind or ""


# From the worst on.
SPIKES = ("spike", "lingering", "recovered")

TEXTS = {
    "spike": "in a loss spike at its end",
    "lingering": "slow to recover from a loss spike",
    "recovered": "recovered from a loss spike",
    "nonfinite_loss": "loss not finite",
    "nonfinite_gradient": "gradient not finite",
    "nonfinite_parameter": "parameter not finite",
    "nonfinite_buffer": "buffer not finite",
    "nonfinite_evaluation": "evaluation not finite",
    "explosion": "loss exploded",
    "no_return": "loss went up for good",
    "dead": "at chance for good",
    "oom": "out of memory",
}
