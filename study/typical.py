"""A typical trial of an arm: everything that is tuned stands in the middle of its range."""

from __future__ import annotations

from study.space import Categorical, Distribution, Scalar
from study.spec import Arm, StudySpec
from study.trial import TrialConfig


def example(spec: StudySpec, arm: Arm, seed: int, test: bool = False) -> TrialConfig:
    """A trial of ``arm`` with everything tuned in the middle of its range."""
    tuned = arm.space.sample(lambda key, distribution: middle(distribution))
    phase = "confirm" if test else "tune"
    return TrialConfig(spec.name, arm.name, phase, 0, arm.complete(tuned), seed, seed)  # type: ignore[arg-type]


def middle(distribution: Distribution) -> Scalar:
    """The middle of a range (of its logarithm where that is what is sampled), or the first choice."""
    if isinstance(distribution, Categorical):
        return distribution.choices[0]
    return distribution.between(0.5)
