"""What a row of the speed table holds: numbers with their spread, what must be reached, whether it was."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from study.trial import finite_or_none

Sign = Literal["<=", ">=", "<"]


@dataclass(frozen=True)
class Spread:
    """The median of ``n`` rounds and their range; of one round all three are the same."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Bound:
    """What must be reached."""

    sign: Sign
    value: float

    def holds(self, found: float) -> bool:
        return SIGNS[self.sign](found, self.value)


@dataclass(frozen=True)
class Line:
    """One number of a row. ``limit`` says, where the bound is missed, what stands in the way; ``note`` is
    printed whatever was found."""

    what: str
    found: Spread
    unit: str = ""
    bound: Bound | None = None
    limit: str = ""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median is within the bound; None without one."""
        return None if self.bound is None else self.bound.holds(self.found.median)

    def to_json(self) -> dict[str, Any]:
        spread = {name: finite_or_none(value) for name, value in asdict(self.found).items()}
        return {**asdict(self), "found": spread, "reached": self.reached}


def ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """How many times ``to`` is ``of``, round by round: what slowed a round slowed both."""
    return Spread.of([one / other for one, other in zip(of, to, strict=True)])


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def alternating(contestants: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Each contestant's numbers, by round. They take turns, and each round begins with another one, so that
    what the machine does meanwhile meets all alike."""
    names = list(contestants)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(contestants[name](number))
    return found


SIGNS: dict[Sign, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
}
