"""The search for the largest stable learning rate: probes near the edge where trainings start to blow up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from study.seeding import derive_seed
from study.space import Float, Scalar
from study.spec import Arm, StudySpec
from study.trial import Status, TrialResult

# A range without an edge in it is left by a decade at a time, up to two decades on either side. Batch
# norm moves the edge up by more than a decade; where two are not enough, the range was ill chosen.
WIDEST = 2.0
STRIDE = 1.0
# Probes at an end of the range that must agree before it is left.
AGREEING = 2
# A probe this near to an end (in decades) stands for it.
NEAR = 0.1

# How likely the edge is believed to lie beyond either end, before any probe.
OUTSIDE = 0.15

# What the edge may be: its place in steps of this many decades (5 %), and its width.
RESOLUTION = 0.02
# The scale of the logistic curve, in decades. From 5 to 95 % it climbs within 5.9 of these: from a
# cliff to an edge of two decades.
WIDTHS = (0.03, 0.06, 0.12, 0.24)
# P(diverge) is not monotone: stable islands lie beyond the edge and blow-ups before it
# (Sohl-Dickstein 2024, 2402.06184). One odd probe must not drive the search off for good.
ODD = 0.02

# The latest probes that a new one keeps away from, ended or not, so that probes fall on the edge and on
# both of its flanks in turn. A logistic curve is best measured where it is at 18 and 82 % (Minkin 1987,
# JASA 82:1098), and its place where it is at 50 %.
LATEST = 2

KEY = "optimizer.lr"
UNSTABLE: tuple[Status, ...] = ("diverged", "stalled")


@dataclass
class Edge:
    """What is believed of one arm's edge after some probes: a weight for every place and width.

    P(diverge) at x = log10 lr is ODD + (1 - 2 ODD) / (1 + exp((place - x) / width)).
    """

    places: list[float]
    weights: list[list[float]]

    @classmethod
    def around(cls, low: float, high: float) -> Edge:
        """Before any probe: somewhere in the range [low, high], or else OUTSIDE it on either side."""
        beyond = round((WIDEST + 1) / RESOLUTION)
        inside = round((high - low) / RESOLUTION) + 1
        prior = [OUTSIDE / beyond] * beyond
        prior = [*prior, *[(1 - 2 * OUTSIDE) / inside] * inside, *prior]
        places = [low + RESOLUTION * (step - beyond) for step in range(len(prior))]
        return cls(places, [[weight / len(WIDTHS) for weight in prior] for _ in WIDTHS])

    def learn(self, x: float, unstable: bool) -> None:
        """Bayes' rule, for one probe that has ended."""
        for width, row in zip(WIDTHS, self.weights, strict=True):
            for index, place in enumerate(self.places):
                p = chance(x, place, width)
                row[index] *= p if unstable else 1 - p
        total = math.fsum(map(math.fsum, self.weights))
        self.weights = [[weight / total for weight in row] for row in self.weights]

    def expected(self, x: float) -> float:
        """P(diverge) at ``x``, over all that the edge may be. Grows with ``x``."""
        return math.fsum(
            weight * chance(x, place, width)
            for width, row in zip(WIDTHS, self.weights, strict=True)
            for place, weight in zip(self.places, row, strict=True)
            if weight > 1e-9
        )

    def at(self, level: float, low: float, high: float) -> float:
        """The x in [low, high] at which ``expected`` is ``level``, or the nearer end."""
        while high - low > RESOLUTION / 4:
            middle = (low + high) / 2
            low, high = (middle, high) if self.expected(middle) < level else (low, middle)
        return (low + high) / 2


class BisectSearch:
    """Bisection with noisy answers on the one thing that the arm tunes, its learning rate.

    A probe is a training at one learning rate; it is unstable where it ended diverged or stalled. The
    next probe goes where the probability of that, as expected after all that was told, is farthest
    from what the probes still running (and the latest LATEST) are at: with nothing else out that is
    the middle, as in probabilistic bisection (Horstein 1963; Waeber, Frazier & Henderson 2013, SIAM J.
    Control Optim. 51:2261), with k out their quantiles, as in a k-section.

    Where AGREEING probes at an end of the range have all been stable (at its upper end) or all
    unstable (at its lower end), that end moves outwards by STRIDE decades, at most WIDEST decades in
    all. Proposals depend on the study, its seed, the arm and the order in which results were told.
    """

    def __init__(self, spec: StudySpec, arm: Arm) -> None:
        self._spec, self._arm = spec, arm
        box = arm.space.active(KEY, arm.held)
        assert isinstance(box, Float), "the study was checked"
        self._low, self._high = math.log10(box.low), math.log10(box.high)
        self._lowest, self._highest = self._low - WIDEST, self._high + WIDEST
        self._edge = Edge.around(self._low, self._high)
        self._asked: dict[int, float] = {}
        self._told: dict[int, TrialResult] = {}

    def ask(self, index: int) -> dict[str, Scalar]:
        """Propose the learning rate of the arm's probe number ``index`` (from 0)."""
        low, high = self._low, self._high
        running = {each: x for each, x in self._asked.items() if each not in self._told}
        latest = {each: x for each, x in self._asked.items() if each >= index - LATEST}
        level = middle_of_gap(self._edge.expected(x) for x in (running | latest).values())
        # Shaken a little, so that probes do not line up on a lattice.
        draw = Random(derive_seed(self._spec.name, self._spec.search.seed, "bisect", self._arm.name, index))
        x = self._edge.at(level, low, high) + draw.uniform(-RESOLUTION, RESOLUTION)
        lr = float(f"{10 ** min(high, max(low, x)):.4g}")
        self._asked[index] = math.log10(lr)
        return {KEY: lr}

    def repeat(self, index: int, tuned: Mapping[str, Scalar]) -> None:
        """Bring the search to where it was after it had proposed ``tuned`` for ``index``."""
        self._asked[index] = math.log10(float(tuned[KEY]))

    def tell(self, result: TrialResult, worst: float) -> None:
        """Say how a probe ended. One that failed or was stopped says nothing about the edge."""
        index = result.config.index
        self._told[index] = result
        if result.verdict.status in ("ok", *UNSTABLE):
            self._edge.learn(self._asked[index], result.verdict.status in UNSTABLE)
            self._widen()

    def states(self) -> dict[int, tuple[str, float | None]]:
        """How every probe ended (``running`` if it has not) and its learning rate, by index."""
        return {
            index: (self._told[index].verdict.status if index in self._told else "running", 10**x)
            for index, x in self._asked.items()
        }

    def _widen(self) -> None:
        """Move an end of the range outwards where all probes at it say that the edge is beyond it."""
        known = [
            (self._asked[index], result.verdict.status in UNSTABLE)
            for index, result in self._told.items()
            if result.verdict.status in ("ok", *UNSTABLE)
        ]
        if all_agree([not bad for x, bad in known if x >= self._high - NEAR]):
            self._high = min(self._highest, self._high + STRIDE)
        if all_agree([bad for x, bad in known if x <= self._low + NEAR]):
            self._low = max(self._lowest, self._low - STRIDE)


def chance(x: float, place: float, width: float) -> float:
    """P(diverge) at ``x``, all in decades; see Edge."""
    # Past 40 widths the exponential adds nothing to a double.
    at = max(-40.0, min(40.0, (place - x) / width))
    return ODD + (1 - 2 * ODD) / (1 + math.exp(at))


def middle_of_gap(levels: Iterable[float]) -> float:
    """The middle of the widest gap that ``levels`` leave in [0, 1]; of equal ones the lowest."""
    ends = [0.0, *sorted(levels), 1.0]
    width, start = max((b - a, -a) for a, b in itertools.pairwise(ends))
    return -start + width / 2


def all_agree(answers: list[bool]) -> bool:
    return len(answers) >= AGREEING and all(answers)
