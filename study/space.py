"""What is searched: distributions, and a search space with conditions. Knows no sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Float:
    """A real number in [low, high]; ``log`` samples its logarithm evenly.

    ``points`` is how many values a grid takes, evenly spaced from low to high (in the logarithm
    where ``log`` is set).
    """

    low: float
    high: float
    log: bool = False
    points: int | None = None

    def __contains__(self, value: object) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= float(value) <= self.high  # type: ignore[arg-type]

    @property
    def ends(self) -> tuple[Scalar, ...]:
        return (self.low, self.high)

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]{' (log)' if self.log else ''}"

    def grid(self) -> tuple[Scalar, ...]:
        """The grid's values, ends included; empty where ``points`` is not given."""
        if self.points is None:
            return ()
        if self.points == 1:
            return (self.between(0.5),)
        inner = [self.between(i / (self.points - 1)) for i in range(1, self.points - 1)]
        return (self.low, *inner, self.high)

    @property
    def grid_size(self) -> int:
        return self.points or 0

    def between(self, share: float) -> float:
        """The value at ``share`` of the way from low to high (in the logarithm where ``log`` is set)."""
        # Not by high / low or high - low, which may be too large for a float.
        value: float = self.low * (1 - share) + self.high * share
        if self.log:
            value = self.low ** (1 - share) * self.high**share
        return min(max(value, self.low), self.high)  # rounding may step over an end

    def on_edge(self, value: Scalar, share: float = 0.05) -> bool:
        """Whether ``value`` lies within ``share`` of the range's width from one of its ends."""
        if self.low == self.high or isinstance(value, str | bool):
            return False
        if self.log:
            low, high, at = math.log(self.low), math.log(self.high), math.log(value)
        else:
            low, high, at = self.low, self.high, float(value)
        return min(at - low, high - at) < share * (high - low)


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high], in steps of ``step``; ``log`` samples its logarithm evenly."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __contains__(self, value: object) -> bool:
        number = isinstance(value, int) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (value - self.low) % self.step == 0  # type: ignore[operator]

    @property
    def ends(self) -> tuple[Scalar, ...]:
        return (self.low, self.high)

    def __str__(self) -> str:
        return f"{{{self.low}..{self.high}}}{' (log)' if self.log else ''}"

    def grid(self) -> tuple[Scalar, ...]:
        return tuple(range(self.low, self.high + 1, self.step))

    @property
    def grid_size(self) -> int:
        return (self.high - self.low) // self.step + 1

    def between(self, share: float) -> int:
        """The value nearest to ``share`` of the way from low to high (in the logarithm with ``log``)."""
        value = Float(self.low, self.high, self.log).between(share)
        return self.low + round((value - self.low) / self.step) * self.step

    def on_edge(self, value: Scalar) -> bool:
        return self.low < self.high and value in (self.low, self.high)


@dataclass(frozen=True)
class Categorical:
    """One of a few values; only numbers have an order."""

    choices: tuple[Scalar, ...]

    def __contains__(self, value: object) -> bool:
        return any(value == choice and type(value) is type(choice) for choice in self.choices)

    @property
    def ends(self) -> tuple[Scalar, ...]:
        return self.choices

    def __str__(self) -> str:
        return f"{{{', '.join(map(str, self.choices))}}}"

    def grid(self) -> tuple[Scalar, ...]:
        return self.choices

    @property
    def grid_size(self) -> int:
        return len(self.choices)

    def on_edge(self, value: Scalar) -> bool:
        """Whether it is the smallest or the largest of three numbers or more: of two, each is."""
        numbers = [each for each in self.choices if not isinstance(each, str | bool)]
        ordered = len(numbers) == len(self.choices) >= 3
        return ordered and value in (min(numbers), max(numbers))


Distribution = Float | Int | Categorical


@dataclass(frozen=True)
class Condition:
    """``key`` has ``value``; in a study file: ``[conditional."key=value"]``."""

    key: str
    value: Scalar

    def holds(self, values: Mapping[str, Scalar]) -> bool:
        return self.key in values and values[self.key] == self.value

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.key}={value}"


@dataclass(frozen=True)
class Tuned:
    """A searched hyperparameter; with ``when`` it is there only where the condition holds."""

    key: str
    distribution: Distribution
    when: Condition | None = None


@dataclass(frozen=True)
class SearchSpace:
    """What one arm searches. Unconditional entries come first; of several entries for a key, the
    last one whose condition holds is the one that counts (so a condition can widen a range)."""

    entries: tuple[Tuned, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry.key for entry in self.entries))

    def grid(self) -> dict[str, tuple[Scalar, ...]]:
        """The values a grid takes of each key; empty for a range that does not say how many."""
        return {entry.key: entry.distribution.grid() for entry in self.entries}

    def active(self, key: str, values: Mapping[str, Scalar]) -> Distribution | None:
        """The distribution of ``key`` given the values drawn so far; None where it has none."""
        chosen = None
        for entry in self.entries:
            if entry.key == key and (entry.when is None or entry.when.holds(values)):
                chosen = entry.distribution
        return chosen

    def tuned_part(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Those of a trial's hyperparameters that this space searches."""
        return {key: value for key, value in values.items() if self.active(key, values) is not None}

    def sample(self, suggest: Callable[[str, Distribution], Scalar]) -> dict[str, Scalar]:
        """Draw one assignment, asking ``suggest`` for each key that is active, conditions first."""
        deciding = {entry.when.key for entry in self.entries if entry.when}
        values: dict[str, Scalar] = {}
        for key in sorted(self.keys, key=lambda key: key not in deciding):
            distribution = self.active(key, values)
            if distribution is not None:
                values[key] = suggest(key, distribution)
        return values
