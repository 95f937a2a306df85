"""How long a running study still takes, as a range, and what it has spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from study.conductor import Conductor

# The range holds in four of five cases, where trials to come are like those that have ended.
LEVEL = 0.8


@dataclass(frozen=True)
class Remaining:
    """Seconds of wall time: the expected, and the ends of the range (None before a second trial ended)."""

    expected_s: float
    low_s: float | None = None
    high_s: float | None = None


def remaining(conductor: Conductor) -> Remaining | None:
    """From this session's trials; None before the first has ended."""
    return estimate(conductor.wall_seconds, conductor.missing(), conductor.concurrent)


def estimate(seconds: Sequence[float], missing: int, concurrent: int) -> Remaining | None:
    """The time that ``missing`` trials take on ``concurrent`` slots, given how long some have taken.

    A prediction interval for the sum of m new values after n: m mean ± t s sqrt(m + m^2 / n), with n - 1
    degrees of freedom (Hahn & Meeker 1991, Statistical Intervals, section 4.7, for the mean of m).
    """
    n = len(seconds)
    if n == 0:
        return None
    expected = missing * fmean(seconds) / concurrent
    if n == 1 or missing == 0:
        return Remaining(expected)
    from scipy.special import stdtrit

    t = float(stdtrit(n - 1, (1 + LEVEL) / 2))
    half = t * stdev(seconds) * math.sqrt(missing + missing**2 / n) / concurrent
    return Remaining(expected, max(0.0, expected - half), expected + half)


def duration(seconds: float) -> str:
    """``0.4 s``, ``45 s``, ``12 min``, ``3.4 h``, ``2.1 days``."""
    if seconds < 0.95:
        return f"{seconds:.1g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def told(found: Remaining | None) -> str:
    """``about 12 min (9 min to 16 min)``, ``?`` before the first trial has ended."""
    if found is None:
        return "?"
    if not found.expected_s:
        return "nothing"
    about = f"about {duration(found.expected_s)}"
    if found.low_s is None or found.high_s is None:
        return about
    ends = duration(found.low_s), duration(found.high_s)
    return about if ends[0] == ends[1] else f"{about} ({ends[0]} to {ends[1]})"


def spent(conductor: Conductor) -> str:
    """``34 min of trials, 123,400 gradients``: what the study has cost until now, earlier sessions too."""
    ended = [*conductor.done.values()]  # at once: the view is drawn by a thread of its own
    seconds = sum(result.seconds for result in ended)
    gradients = sum(result.gradient_evaluations for result in ended)
    return f"{duration(seconds)} of trials, {gradients:,} gradients"
