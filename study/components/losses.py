"""Training losses, each with the loss of the best constant predictor as its scale."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Gt, Interval
from numpy.typing import ArrayLike
from pydantic import AfterValidator
from torch import Tensor, nn
from torch.nn import functional

from study.components.tasks import Levels, Task
from study.registry import Registry
from study.space import Scalar

PerExample = Callable[[Tensor, Tensor], Tensor]
"""(outputs (n, k), targets (n,)) -> one loss an example, (n,): logits and int64 labels, or float32 numbers
and float32 targets."""

Unit = Literal["target", "mad"]
Positive = Annotated[float, Gt(0)]
Level = Annotated[float, Interval(gt=0, lt=1)]


def rising_levels(text: str) -> str:
    """ValueError unless ``text`` is two levels or more, as ``parse_levels`` reads them."""
    plain = re.fullmatch(r"0?\.\d{1,6}(-0?\.\d{1,6}){1,19}", text, re.ASCII) is not None
    rising = (0.0, *parse_levels(levels=text), 1.0) if plain else (1.0, 0.0)
    if any(low >= high for low, high in pairwise(rising)):
        raise ValueError("must be levels between 0 and 1 that rise, such as 0.05-0.95 or 0.1-0.5-0.9")
    return text


LevelsText = Annotated[str, AfterValidator(rising_levels)]

# A normal distribution's standard deviation over its median absolute deviation.
DEVIATION = 1.4826


def no_levels(**arguments: object) -> Levels:
    return ()


@dataclass(frozen=True)
class Loss:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``build(targets, **arguments)`` makes the loss; ``targets`` (n,) are those that are trained on, in
    whose deviation a threshold can be given. ``best_constant(targets, **arguments)`` is the least mean
    loss that a predictor blind to its input can have on them: the unit in which a training loss is large
    or small. ``levels(**arguments)`` are those of the quantiles that it estimates, rising, one output
    each; empty where it estimates a centre, with one output (or classes).
    """

    task: Task
    build: Callable[..., PerExample]
    best_constant: Callable[..., float]
    levels: Callable[..., Levels] = no_levels


def chosen_loss(hyperparameters: Mapping[str, Scalar], task: Task) -> tuple[Loss, dict[str, Any]]:
    """The table's entry and its arguments; where none is named, the task's own."""
    keys = [key for key in hyperparameters if key.startswith("loss.")]
    arguments = {key.removeprefix("loss."): hyperparameters[key] for key in keys}
    return LOSSES[str(arguments.pop("name", DEFAULT_LOSSES[task]))], arguments


# -- classification


def label_shares(labels: ArrayLike) -> np.ndarray:
    """The share of each class that occurs in ``labels`` (n,), in the order of the classes."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    shares: np.ndarray = counts / counts.sum()
    return shares


def entropy(labels: ArrayLike) -> float:
    """The entropy of the label shares in nats: ln K for K classes of equal share."""
    return smoothed_entropy(labels)


def smoothed_entropy(labels: ArrayLike, *, label_smoothing: float = 0.0) -> float:
    """The entropy in nats of the label shares, mixed with equal shares of all classes that occur."""
    shares = label_shares(labels)
    if label_smoothing:
        shares = (1 - label_smoothing) * shares + label_smoothing / len(shares)
    return float(-(shares * np.log(shares)).sum())


def cross_entropy(
    targets: ArrayLike, *, label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0
) -> PerExample:
    """-sum_k q_k log softmax(logits)_k in nats: q is 1 for the label, or 1 - s and s/K more for each of the
    K classes with a ``label_smoothing`` s (Szegedy et al. 2016, 1512.00567, section 7)."""
    return nn.CrossEntropyLoss(reduction="none", label_smoothing=label_smoothing)


def nll(targets: ArrayLike) -> PerExample:
    """-log p[label] of p = softmax(logits): the same numbers as cross_entropy, in two steps."""
    return lambda logits, labels: functional.nll_loss(logits.log_softmax(1), labels, reduction="none")


def naive_cross_entropy(targets: ArrayLike) -> PerExample:
    """The same as the textbook writes it, exp and division and log one after another in float32. Broken:
    exp overflows above 88.7, so that a logit of 89 makes Inf / Inf = NaN, and log 0 = -Inf where the
    label's logit lies 104 below another. It is here to be compared with ``cross_entropy``, which subtracts
    the largest logit first and is finite for every finite logit.
    """

    def losses(logits: Tensor, labels: Tensor) -> Tensor:
        exponentials = logits.exp()
        shares = exponentials / exponentials.sum(dim=1, keepdim=True)
        return -shares.gather(1, labels.unsqueeze(1)).squeeze(1).log()

    return losses


# -- regression: of the residual e = target - output


def residual(outputs: Tensor, targets: Tensor) -> Tensor:
    """(n,), of outputs (n, 1)."""
    return targets - outputs.squeeze(1)


def mse(targets: ArrayLike) -> PerExample:
    """e^2; least at the mean."""
    return lambda outputs, given: residual(outputs, given).square()


def mae(targets: ArrayLike) -> PerExample:
    """|e|; least at the median."""
    return lambda outputs, given: residual(outputs, given).abs()


def huber(
    targets: ArrayLike, *, delta: Positive = 1.0, unit: Unit = "target", normalise: bool = False
) -> PerExample:
    """e^2 / 2 up to |e| = delta, delta (|e| - delta / 2) past it (Huber 1964, Ann. Math. Stat. 35:73).

    ``unit``: of delta; "mad" is ``deviation(targets)``. Its gradient is at most delta, so at one learning
    rate a larger delta also takes larger steps; ``normalise`` divides the loss by delta.
    """
    threshold = delta * (deviation(targets) if unit == "mad" else 1.0)
    divisor = threshold if normalise else 1.0
    return lambda outputs, given: (
        functional.huber_loss(outputs.squeeze(1), given, reduction="none", delta=threshold) / divisor
    )


def smooth_l1(targets: ArrayLike, *, beta: Positive = 1.0, unit: Unit = "target") -> PerExample:
    """e^2 / (2 beta) up to |e| = beta, |e| - beta / 2 past it (Girshick 2015, 1504.08083): Huber's with
    delta = beta, normalised. Its gradient is at most 1."""
    return huber(targets, delta=beta, unit=unit, normalise=True)


def log_cosh(targets: ArrayLike, *, scale: Positive = 1.0, unit: Unit = "target") -> PerExample:
    """s log cosh(e / s), with s the ``scale``: e^2 / 2s near 0, |e| - s ln 2 far from it.

    As |e| + s log1p(exp(-2|e|/s)) - s ln 2, for cosh overflows past 710.
    """
    width = scale * (deviation(targets) if unit == "mad" else 1.0)

    def loss(outputs: Tensor, given: Tensor) -> Tensor:
        size = residual(outputs, given).abs()
        return size + width * (torch.log1p(torch.exp(-2 * size / width)) - math.log(2))

    return loss


def quantile(targets: ArrayLike, *, gamma: Level = 0.5) -> PerExample:
    """max(gamma e, (gamma - 1) e); least at the gamma-quantile (Koenker & Bassett 1978, Econometrica
    46:33). Below 0.5 it is the answers that are too high which cost more; at 0.5 it is |e| / 2."""
    return lambda outputs, given: pinball(residual(outputs, given), gamma)


def quantiles(targets: ArrayLike, *, levels: LevelsText) -> PerExample:
    """The mean of the quantile losses at several levels, one output each, written ``"0.05-0.5-0.95"``."""
    rising = parse_levels(levels=levels)
    return lambda outputs, given: torch.stack(
        [pinball(given - outputs[:, number], level) for number, level in enumerate(rising)]
    ).mean(0)


def pinball(residuals: Tensor, level: float) -> Tensor:
    """max(level e, (level - 1) e) of each residual."""
    return torch.maximum(level * residuals, (level - 1) * residuals)


def parse_levels(*, levels: str) -> Levels:
    """``"0.05-0.95"`` to (0.05, 0.95)."""
    return tuple(float(level) for level in levels.split("-"))


# -- what a constant can do


def deviation(targets: ArrayLike) -> float:
    """1.4826 times the median distance from the median: the standard deviation, of normal targets."""
    values = np.asarray(targets, np.float64)
    return float(DEVIATION * np.median(np.abs(values - np.median(values))))


def variance(targets: ArrayLike) -> float:
    return float(np.var(np.asarray(targets, np.float64)))


def mean_distance(targets: ArrayLike) -> float:
    """The mean distance from the median."""
    return 2 * constant_pinball(targets)


def constant_pinball(targets: ArrayLike, *, gamma: float = 0.5) -> float:
    """The mean quantile loss of the targets' own quantile."""
    values = np.asarray(targets, np.float64)
    residuals = values - np.quantile(values, gamma)
    return float(np.maximum(gamma * residuals, (gamma - 1) * residuals).mean())


def constant_pinballs(targets: ArrayLike, *, levels: str) -> float:
    rising = parse_levels(levels=levels)
    return float(np.mean([constant_pinball(targets, gamma=level) for level in rising]))


def searched(build: Callable[..., PerExample]) -> Callable[..., float]:
    """The least mean loss of a constant by a bounded search, for a convex loss without a closed form."""

    def best_constant(targets: ArrayLike, **arguments: Any) -> float:
        from scipy.optimize import minimize_scalar

        values = torch.tensor(np.asarray(targets, np.float64))
        loss, bounds = build(targets, **arguments), (float(values.min()), float(values.max()))

        def mean(constant: float) -> float:
            return loss(values.new_full((len(values), 1), constant), values).mean().item()

        found: float = minimize_scalar(mean, bounds=bounds, method="bounded").fun
        return found

    return best_constant


# Where a study names none.
DEFAULT_LOSSES: dict[Task, str] = {"classification": "cross_entropy", "regression": "mse"}

LOSSES: Registry[Loss] = Registry(
    "loss",
    cross_entropy=Loss("classification", cross_entropy, best_constant=smoothed_entropy),
    naive_cross_entropy=Loss("classification", naive_cross_entropy, best_constant=smoothed_entropy),
    nll=Loss("classification", nll, best_constant=smoothed_entropy),
    mse=Loss("regression", mse, best_constant=variance),
    mae=Loss("regression", mae, best_constant=mean_distance),
    huber=Loss("regression", huber, best_constant=searched(huber)),
    smooth_l1=Loss("regression", smooth_l1, best_constant=searched(smooth_l1)),
    log_cosh=Loss("regression", log_cosh, best_constant=searched(log_cosh)),
    quantile=Loss("regression", quantile, constant_pinball, levels=lambda gamma=0.5: (gamma,)),
    quantiles=Loss("regression", quantiles, constant_pinballs, levels=parse_levels),
)
