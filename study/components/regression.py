"""How answers in numbers are judged: how far off they are, and how well they cover. No table."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from study.components import losses
from study.components.tasks import Answers, Levels

# The interval that is asked of a model which answers with a centre: its 90 % one.
INTERVAL = (0.05, 0.95)
Z95 = 1.6448536269514722  # the normal distribution's 0.95-quantile
DECILES = 10

# -- how far off


def point(answers: Answers) -> Tensor:
    """The point prediction, (n,) float64: of several quantiles the middle one."""
    outputs = answers.outputs.double()
    return outputs.squeeze(1) if outputs.shape[1] == 1 else outputs.quantile(0.5, dim=1)


def residuals(answers: Answers) -> Tensor:
    """Target minus point prediction, (n,) float64."""
    return answers.targets.double() - point(answers)


def mse(answers: Answers) -> Tensor:
    return residuals(answers).square().mean()


def rmse(answers: Answers) -> Tensor:
    return mse(answers).sqrt()


def mae(answers: Answers) -> Tensor:
    return residuals(answers).abs().mean()


def r2(answers: Answers) -> Tensor:
    """1 - SSE / SST: the share of the targets' variance that is explained; below 0 where their mean would
    explain more."""
    targets = answers.targets.double()
    total = (targets - targets.mean()).square().mean()
    return torch.where(total > 0, 1 - mse(answers) / total, math.nan)


def mape(answers: Answers) -> Tensor:
    """100 mean |target - prediction| / |target|, in percent *of the targets*."""
    targets = answers.targets.double()
    return torch.where((targets == 0).any(), math.nan, 100 * (residuals(answers) / targets).abs().mean())


def bias(answers: Answers) -> Tensor:
    """The mean of prediction minus target."""
    return -residuals(answers).mean()


def below(answers: Answers) -> Tensor:
    """The share of targets that are no larger than the prediction: of the gamma-quantile, gamma."""
    return (residuals(answers) <= 0).double().mean()


# -- quantiles and intervals


def levels_of(answers: Answers) -> Levels:
    return answers.levels or INTERVAL


def estimated(answers: Answers) -> Tensor:
    """The estimated quantiles at ``levels_of``, (n, levels) float64. Where the loss estimates a centre,
    those of a normal distribution around it, with the residuals' deviation on training examples."""
    if answers.levels:
        return answers.outputs.double()
    spread = rmse(answers) if answers.spread is None else answers.spread
    return torch.stack([point(answers) - Z95 * spread, point(answers) + Z95 * spread], dim=1)


def pinball(answers: Answers) -> Tensor:
    """The mean quantile loss over the levels: of a centre, at 0.05 and 0.95."""
    found, targets = estimated(answers), answers.targets.double()
    levels = enumerate(levels_of(answers))
    return torch.stack([losses.pinball(targets - found[:, at], level) for at, level in levels]).mean()


def below_lowest(answers: Answers) -> Tensor:
    """The share of targets that are no larger than the lowest quantile."""
    return (answers.targets <= estimated(answers)[:, 0]).double().mean()


def below_highest(answers: Answers) -> Tensor:
    """The share of targets that are no larger than the highest quantile."""
    return (answers.targets <= estimated(answers)[:, -1]).double().mean()


def covered(answers: Answers) -> Tensor:
    """1 where the target lies between the lowest and the highest quantile, else 0, (n,) float64; NaN where
    there is only one."""
    found, targets = estimated(answers), answers.targets.double()
    if found.shape[1] == 1:
        return targets * math.nan
    return ((found[:, 0] <= targets) & (targets <= found[:, -1])).double()


def nominal(levels: Levels) -> float:
    """The share of targets that the interval should cover."""
    levels = levels or INTERVAL
    return levels[-1] - levels[0]


def coverage(answers: Answers) -> Tensor:
    return covered(answers).mean()


def coverage_error(answers: Answers) -> Tensor:
    """How far the coverage is from the levels'."""
    return (coverage(answers) - nominal(answers.levels)).abs()


def decile_coverages(answers: Answers) -> Tensor:
    """The coverage in each tenth of the examples by their first feature, (10,) float64; NaN for pictures."""
    if answers.features is None or len(answers.targets) < DECILES:
        return torch.full((DECILES,), math.nan, dtype=torch.float64, device=answers.outputs.device)
    order = answers.features[:, 0].argsort(stable=True)
    return torch.stack([tenth.mean() for tenth in covered(answers)[order].tensor_split(DECILES)])


def decile_coverage(answers: Answers, number: int) -> Tensor:
    """That of the tenth ``number``, from 1."""
    return decile_coverages(answers)[number - 1]


def decile_spread(answers: Answers) -> Tensor:
    """The highest of the deciles' coverages minus the lowest."""
    found = decile_coverages(answers)
    return found.max() - found.min()


def width(answers: Answers) -> Tensor:
    """The mean distance from the lowest to the highest quantile, below 0 where they cross."""
    found = estimated(answers)
    return (found[:, -1] - found[:, 0]).mean() if found.shape[1] > 1 else found.new_full((), math.nan)


def crossing(answers: Answers) -> Tensor:
    """The share of examples of which a higher quantile lies below a lower one."""
    found = estimated(answers)
    if found.shape[1] == 1:
        return found.new_full((), math.nan)
    return (found.diff(dim=1) < 0).any(dim=1).double().mean()


# -- what a model that learned nothing scores


def worst_mape(targets: ArrayLike) -> float | None:
    """Of the constant that is best for it, the median weighted by 1 / |target|."""
    values = np.sort(np.asarray(targets, np.float64))
    if (values == 0).any():
        return None
    weights = np.cumsum(1 / np.abs(values))
    best = values[np.searchsorted(weights, weights[-1] / 2)]
    return float(100 * np.abs((values - best) / values).mean())


def worst_pinball(targets: ArrayLike, levels: Levels) -> float:
    return float(np.mean([losses.constant_pinball(targets, gamma=level) for level in levels or INTERVAL]))
