"""The largest stable learning rate of each arm, from all its probes: a fitted edge with its intervals."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.analysis.intervals import LEVEL, mean_interval
from study.analysis.outcomes import OUTCOMES, Results, ended
from study.analysis.wording import counted
from study.bisection import KEY, UNSTABLE
from study.spec import StudySpec
from study.trial import Status, TrialResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

# All is computed on a lattice of log10 lr with this spacing, in decades (1.2 %).
SPACING = 0.005
# How far beyond its probes an arm's edge is looked for, in decades. Farther out nothing changes.
BEYOND = 2.5
# The width of the logistic curve, in decades, and a weak prior on its logarithm: about WIDTH, within a
# factor of 20 either way. Without one, probes that a single rate separates would have an edge of width 0,
# and too few probes one without end.
WIDTHS = (0.004, 1.5, 50)
WIDTH, SPREAD = 0.1, 1.5
# Of the probes about every third lies where the curve is neither 0 nor 1. That many degrees of freedom
# make intervals of 24 bisected probes cover lr50 in 90 to 99 % of simulated arms whose curves climb from 5
# to 95 % within 0.06 to 1.5 decades (100 arms each); chi square's 1.92 for a drop covers 83 to 99 %.
INFORMATIVE = 3
# lr05 lies this many widths below lr50: the logit of 5 %.
LOGIT_05 = math.log(19)


@dataclass(frozen=True)
class Probe:
    """One training at one learning rate."""

    lr: float
    status: Status

    @property
    def unstable(self) -> bool:
        return self.status in UNSTABLE


@dataclass(frozen=True)
class Estimate:
    """A positive number with its 95 % interval. ``low`` or ``high`` is None where the interval has no
    end on that side, and ``value`` where there is no number to give."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """The profile log-likelihood of a place on the lattice of log10 lr, and where it is highest.

    ``first`` is the lattice's index of the profile's first entry; before and after the profile its ends
    go on for ever.
    """

    first: int
    profile: Numbers
    drop: float

    @property
    def places(self) -> Numbers:
        """The profile's places, as log10 lr."""
        import numpy as np

        return SPACING * np.arange(self.first, self.first + len(self.profile), dtype=np.float64)

    @property
    def loss(self) -> Numbers:
        """The profile below its highest point."""
        loss: Numbers = self.profile - self.profile.max()
        return loss

    @functools.cached_property
    def allowed(self) -> tuple[int, int]:
        """The first and the last entry inside the 95 % interval."""
        import numpy as np

        inside = np.flatnonzero(self.loss >= -self.drop)
        return int(inside[0]), int(inside[-1])

    def lr(self, entry: int) -> float:
        return float(10 ** ((self.first + entry) * SPACING))

    def estimate(self) -> Estimate:
        first, last = self.allowed
        low = self.lr(first) if first > 0 else None
        high = self.lr(last) if last < len(self.profile) - 1 else None
        return Estimate(self.lr(int(self.profile.argmax())), low, high)


@dataclass(frozen=True, eq=False)
class ArmEdge:
    """Where an arm's trainings start to blow up. ``lr50`` and ``lr05`` are the learning rates at which
    half and 5 % of them do; ``width`` is the fitted curve's scale in decades; ``predicted`` is the
    curvature's prediction, over the trainings it was measured in (None where it was in none)."""

    arm: str
    probes: tuple[Probe, ...]
    lr50: Estimate
    lr05: Estimate
    width: float | None
    predicted: Estimate | None
    fit: Fit | None

    @property
    def n(self) -> int:
        return len(self.probes)

    def count(self, status: Status) -> int:
        return sum(probe.status == status for probe in self.probes)

    @property
    def found(self) -> bool:
        """Whether probes on both sides of the edge were seen."""
        return self.lr50.value is not None

    def chance(self, lr: float) -> float | None:
        """The fitted P(diverge) at ``lr``; None where no edge was found."""
        if self.lr50.value is None or self.width is None:
            return None
        return 1 / (1 + math.exp((math.log10(self.lr50.value) - math.log10(lr)) / self.width))

    @property
    def text(self) -> str:
        """The edge in words: a number with its interval, or what is known without one."""
        if not self.probes:
            return "not probed yet"
        if self.lr50.value is not None:
            return interval_text(self.lr50)
        if not any(probe.unstable for probe in self.probes):
            bound = f"above {brief(self.lr50.low)}: " if self.lr50.low is not None else ""
            top = brief(max(probe.lr for probe in self.probes))
            return f"{bound}{counted(self.n, 'probe')} up to {top} all stable"
        bound = f"below {brief(self.lr50.high)}: " if self.lr50.high is not None else ""
        bottom = brief(min(probe.lr for probe in self.probes))
        return f"{bound}{counted(self.n, 'probe')} down to {bottom} all unstable"

    def to_json(self) -> dict[str, Any]:
        """``low`` and ``high`` are those of lr50; learning rates, null where there is no number."""
        predicted = self.predicted or Estimate()
        return {
            "arm": self.arm,
            "n": self.n,
            "diverged": self.count("diverged"),
            "stalled": self.count("stalled"),
            "lr50": self.lr50.value,
            "low": self.lr50.low,
            "high": self.lr50.high,
            "lr05": self.lr05.value,
            "lr05_low": self.lr05.low,
            "lr05_high": self.lr05.high,
            "width_decades": self.width,
            "predicted": predicted.value,
            "predicted_low": predicted.low,
            "predicted_high": predicted.high,
            "text": self.text,
        }


def edges(spec: StudySpec, results: Results) -> tuple[ArmEdge, ...]:
    """Every arm's edge, in the study's order. None for a study that does not bisect."""
    if spec.search.sampler != "bisect":
        return ()
    return tuple(edge(arm.name, ended(results, arm.name, "tune")) for arm in spec.arms())


def edge(arm: str, trials: Sequence[TrialResult]) -> ArmEdge:
    """The edge that an arm's trials show; a diverged and a stalled one are both unstable.

    P(diverge) = 1 / (1 + exp((log10 lr50 - log10 lr) / width)), fitted to all probes at once, because
    it is not monotone in fact: the boundary is a fractal (Sohl-Dickstein 2024, 2402.06184). Intervals
    are of profile likelihood, with a weak prior on the width, and a drop by Student's t instead of the
    normal's, as the probes are few.
    """
    probes = tuple(
        Probe(float(trial.config.hyperparameters[KEY]), trial.verdict.status)
        for trial in trials
        if trial.verdict.status in OUTCOMES
    )
    if not probes:
        return ArmEdge(arm, (), Estimate(), Estimate(), None, None, None)
    middle, width = fit(probes)
    lower, _ = fit(probes, LOGIT_05)
    lr50, lr05 = middle.estimate(), lower.estimate()
    if len({probe.unstable for probe in probes}) == 1:
        lr50, lr05 = bound(lr50, probes), bound(lr05, probes)
        return ArmEdge(arm, probes, lr50, lr05, None, predicted(trials), middle)
    return ArmEdge(arm, probes, lr50, lr05, width, predicted(trials), middle)


def bound(estimate: Estimate, probes: Sequence[Probe]) -> Estimate:
    """What probes that all ended alike say: a bound on one side, and not beyond the last of them."""
    low, high = estimate.low, estimate.high
    return Estimate(
        None,
        None if low is None else min(low, max(probe.lr for probe in probes)),
        None if high is None else max(high, min(probe.lr for probe in probes)),
    )


@functools.lru_cache(maxsize=1024)  # tables, figures and claims all ask for the same fits
def fit(probes: tuple[Probe, ...], logit: float = 0.0) -> tuple[Fit, float]:
    """The profile of the place that lies ``logit`` widths below the middle of the edge, and the width
    where it is highest (in decades)."""
    import numpy as np
    from scipy import stats

    x = np.log10([probe.lr for probe in probes])
    sign = np.array([-1.0 if probe.unstable else 1.0 for probe in probes])
    first = math.floor((x.min() - BEYOND) / SPACING)
    places = np.arange(first, math.ceil((x.max() + BEYOND) / SPACING) + 1) * SPACING
    widths = np.geomspace(*WIDTHS)
    likelihood = np.empty((len(widths), len(places)))
    for row, width in zip(likelihood, widths, strict=True):
        at = (x[:, None] - places) / width - logit
        prior = -((math.log(width / WIDTH) / SPREAD) ** 2) / 2
        row[:] = prior - np.logaddexp(0.0, sign[:, None] * at).sum(axis=0)
    profile = likelihood.max(axis=0)
    profile.flags.writeable = False
    width = float(widths[likelihood[:, profile.argmax()].argmax()])
    drop = float(stats.t.ppf((1 + LEVEL) / 2, max(2.0, len(probes) / INFORMATIVE))) ** 2 / 2
    return Fit(first, profile, drop), width


def predicted(trials: Sequence[TrialResult]) -> Estimate | None:
    """The largest stable learning rate by the curvature at the start of training, where it was measured:
    the geometric mean over seeds with its 95 % t interval. None where it was not, or not for this
    optimizer."""
    logs = [math.log10(lr) for trial in trials if (lr := stable_by_curvature(trial)) is not None]
    found = mean_interval(logs)
    if found.mean is None:
        return None
    return Estimate(*(None if each is None else 10**each for each in (found.mean, found.low, found.high)))


def stable_by_curvature(trial: TrialResult) -> float | None:
    """The learning rate up to which gradient descent on a quadratic of this curvature is stable.

    2 (1 + momentum) / eigenvalue for heavy ball, and over 1 + 2 momentum more for Nesterov's (Cohen et
    al. 2021, 2103.00065, appendix B). Only sgd's: an adaptive optimizer rescales the curvature.
    """
    values: Mapping[str, Any] = trial.config.hyperparameters
    eigenvalue = trial.environment.get("curvature", {}).get("largest_eigenvalue")
    if not eigenvalue or eigenvalue < 0 or values.get("optimizer.name") != "sgd":
        return None
    momentum = float(values.get("optimizer.momentum", 0.0))
    nesterov = 1 + 2 * momentum if values.get("optimizer.nesterov") else 1.0
    damped = 1 - float(values.get("optimizer.dampening", 0.0))
    return 2 * (1 + momentum) / (nesterov * damped * float(eigenvalue))


def brief(value: float) -> str:
    """Two significant digits, which is more than most edges deserve."""
    return f"{value:.0f}" if 99.5 <= abs(value) < 1e6 else f"{value:.2g}"


def interval_text(estimate: Estimate) -> str:
    """``0.032 [0.028, 0.037]``; an open end is an infinity sign, or 0 at the lower end."""
    low = brief(estimate.low) if estimate.low is not None else "0"
    high = brief(estimate.high) if estimate.high is not None else "\N{INFINITY}"
    value = brief(estimate.value) if estimate.value is not None else "\N{EN DASH}"
    return f"{value} [{low}, {high}]"
