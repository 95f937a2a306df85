"""What a hyperparameter may be set to in a study file: a value, a list of choices, or a range."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from study.claims import STRICT
from study.errors import shorten
from study.space import Categorical, Distribution, Float, Int

MAX_CHOICES = 1000

# Whole numbers stay where a double holds them exactly.
_Int = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
_Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _single(value: object) -> object:
    """The last resort of what is neither a switch nor a number: text, or a mistake."""
    if isinstance(value, dict | list):
        raise ValueError(
            f"must be a single value, not {shorten(value)}; what is compared stands in [scientific], what is "
            "tuned in [nuisance]"
        )
    if not isinstance(value, str):
        raise ValueError(f"must be a number, a text, true or false, not {shorten(value)}")
    return value


_Text = Annotated[str, Field(strict=True, max_length=200), BeforeValidator(_single)]
_Bool = Annotated[bool, Field(strict=True)]


def _scalar_kind(value: object) -> str:
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "text")


Value = Annotated[
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
        if self.step and (self.high - self.low) % self.step:
            raise ValueError(f"step must lead from low to high; {self.step} steps over high = {self.high}")
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
        raise ValueError(f"must be a list of the values to choose from, not {shorten(choices)}")
    # 1 and 1.0 are the same value; true equals 1 in Python, but is another one.
    seen = [(isinstance(choice, bool), choice) for choice in choices[: MAX_CHOICES + 1]]
    for number, entry in enumerate(seen):
        if entry in seen[:number]:
            raise ValueError(f"lists {shorten(entry[1])} twice; list each value once")
    return choices


Choices = Annotated[list[Value], Field(min_length=1, max_length=MAX_CHOICES), BeforeValidator(_distinct)]


def _leaf_kind(value: object) -> str:
    return "range" if isinstance(value, dict | Range) else "choices" if isinstance(value, list) else "value"


def _not_held(value: object) -> object:
    raise ValueError(f"must be a range or a list to be tuned, not {shorten(value)}; to hold it use [fixed]")


Searched = Annotated[
    Annotated[Range, Tag("range")]
    | Annotated[Choices, Tag("choices")]
    | Annotated[Value, BeforeValidator(_not_held), WithJsonSchema({"not": {}}), Tag("value")],
    Discriminator(_leaf_kind),
]
SearchedOrHeld = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")] | Annotated[Value, Tag("value")],
    Discriminator(_leaf_kind),
]


def as_distribution(leaf: Any) -> Distribution:
    """A study file's range, list of choices or single value as a distribution."""
    if isinstance(leaf, Range):
        return leaf.distribution()
    return Categorical(tuple(leaf) if isinstance(leaf, list) else (leaf,))
