"""A range of ours as Optuna has it."""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from study.space import Categorical, Distribution, Float, Int


def distribution(space: Distribution) -> BaseDistribution:
    match space:
        case Float(low, high, log, _):
            return FloatDistribution(low, high, log=log)
        case Int(low, high, log, step):
            return IntDistribution(low, high, log=log, step=step)
        case Categorical(choices):
            return CategoricalDistribution(choices)
