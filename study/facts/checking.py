"""What a check measures of a statement, and the verdict that follows from it by one rule for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Truth = Literal["true", "true with a correction", "false", "not testable"]
TRUTHS: tuple[Truth, ...] = ("true", "true with a correction", "false", "not testable")

Found = float | str
"""A number that was measured, or a word: an error's name, a default."""


@dataclass(frozen=True)
class Part:
    """One thing measured. ``said``: a part of the statement itself; else a part of what corrects it."""

    what: str
    found: Found
    wanted: str
    holds: bool
    said: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; what is not finite as text: ``"inf"``, ``"nan"``."""
        found = self.found if isinstance(self.found, str) or math.isfinite(self.found) else text(self.found)
        return {**asdict(self), "found": found}


@dataclass(frozen=True)
class Answer:
    """What came of a check. ``note`` corrects the statement, or adds to a true one; it is written from
    the numbers measured, and parts that are not ``said`` show that it holds."""

    parts: tuple[Part, ...]
    note: str = ""

    @property
    def truth(self) -> Truth:
        """True where all holds that the statement says, false where none of it does, and true with a
        correction where only some of it does. Where nothing was measured nothing can be said."""
        held = [part.holds for part in self.parts if part.said]
        if not held:
            return "not testable"
        return "true" if all(held) else "true with a correction" if any(held) else "false"


Check = Callable[[], Answer]


def answer(*parts: Part, note: str = "") -> Answer:
    return Answer(parts, note)


def said(
    what: str,
    found: Found,
    *,
    equals: Found | None = None,
    within: float = 0.0,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Part:
    """A part of the statement: ``found`` must equal (``within`` so much, at most), or lie in bounds."""
    wanted, holds = _judge(found, equals, within, at_least, at_most)
    return Part(what, found, wanted, holds, said=True)


def instead(
    what: str,
    found: Found,
    *,
    equals: Found | None = None,
    within: float = 0.0,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Part:
    """As ``said``, for a part of the correction."""
    wanted, holds = _judge(found, equals, within, at_least, at_most)
    return Part(what, found, wanted, holds, said=False)


def _judge(
    found: Found, equals: Found | None, within: float, at_least: float | None, at_most: float | None
) -> tuple[str, bool]:
    """What is wanted, in symbols, and whether ``found`` is it. A NaN is nothing but a NaN."""
    if equals is not None:
        wanted = f"= {text(equals)}" + (f" ± {text(within)}" if within else "")
        return wanted, same(found, equals, within)
    assert isinstance(found, float | int), "bounds are for numbers"
    low = -math.inf if at_least is None else at_least
    high = math.inf if at_most is None else at_most
    bounds = [
        *([] if at_least is None else [f"≥ {text(low)}"]),
        *([] if at_most is None else [f"≤ {text(high)}"]),
    ]
    assert bounds, "a part needs something to hold against"
    return " and ".join(bounds), low <= found <= high


def same(found: Found, equals: Found, within: float) -> bool:
    if isinstance(found, str) or isinstance(equals, str):
        return found == equals
    if math.isnan(equals) or math.isinf(equals):
        return repr(float(found)) == repr(float(equals))
    return abs(found - equals) <= within


def text(found: Found) -> str:
    """``0.625``, ``-13.8155``, ``inf``, or the word itself."""
    if isinstance(found, str):
        return found
    if math.isfinite(found) and found == int(found) and abs(found) < 1e7:
        return f"{int(found):,}"
    return f"{found:.6g}"


def raised(call: Callable[[], object]) -> str:
    """The name of the error that ``call`` raises; ``nothing`` where it raises none."""
    try:
        call()
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return type(error).__name__
    return "nothing"
