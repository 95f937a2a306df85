"""The formulas of activations and losses with their derivatives, for drawing; training uses torch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Function = Callable[[Numbers], Numbers]

# Klambauer et al. 2017 (1706.02515), to the digits that torch has.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@dataclass(frozen=True)
class Shape:
    """A function of one number and its derivative. At a kink the derivative is that from the right."""

    label: str
    of: Function
    slope: Function


def leaky(slope: float) -> tuple[Function, Function]:
    return (
        lambda x: np.where(x >= 0, x, slope * x),
        lambda x: np.where(x >= 0, 1.0, slope),
    )


def elu(alpha: float, scale: float = 1.0) -> tuple[Function, Function]:
    return (
        lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x: scale * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
    )


def sigmoid(x: Numbers) -> Numbers:
    found: Numbers = 0.5 * (1 + np.tanh(x / 2))
    return found


def normal_density(x: Numbers) -> Numbers:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def normal_distribution(x: Numbers) -> Numbers:
    from scipy.special import ndtr

    found: Numbers = ndtr(x)
    return found


def huber(delta: float) -> tuple[Function, Function]:
    return (
        lambda e: np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2)),
        lambda e: np.clip(e, -delta, delta),
    )


def pinball(gamma: float) -> tuple[Function, Function]:
    """Of the error prediction - target: gamma of an underestimate, 1 - gamma of an overestimate."""
    return (
        lambda e: np.where(e >= 0, (1 - gamma) * e, -gamma * e),
        lambda e: np.where(e >= 0, 1 - gamma, -gamma),
    )


# By their names in study.components.activations; the slopes are those of the notes' own code (line 170)
# and of PReLU's start.
ACTIVATIONS: Mapping[str, Shape] = {
    "relu": Shape("ReLU", *leaky(0.0)),
    "leaky_relu": Shape("leaky ReLU, 0.2", *leaky(0.2)),
    "prelu": Shape("PReLU, at 0.25", *leaky(0.25)),
    "elu": Shape("ELU", *elu(1.0)),
    "selu": Shape("SELU", *elu(SELU_ALPHA, SELU_SCALE)),
    "gelu": Shape(
        "GELU",
        lambda x: x * normal_distribution(x),
        lambda x: normal_distribution(x) + x * normal_density(x),
    ),
    "silu": Shape(
        "SiLU (Swish)",
        lambda x: x * sigmoid(x),
        lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    ),
    "tanh": Shape("tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": Shape("sigmoid", sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
}

# Of the error e = prediction - target; the mean square is halved, so that it belongs to Huber's.
LOSSES: Mapping[str, Shape] = {
    "mse": Shape("MSE / 2", lambda e: e**2 / 2, lambda e: e),
    "mae": Shape("MAE", np.abs, lambda e: np.where(e >= 0, 1.0, -1.0)),
    "huber": Shape("Huber, \N{GREEK SMALL LETTER DELTA} = 1", *huber(1.0)),
    "log_cosh": Shape(
        "log-cosh", lambda e: np.abs(e) + np.log1p(np.exp(-2 * np.abs(e))) - math.log(2), np.tanh
    ),
    "quantile": Shape("quantile, \N{GREEK SMALL LETTER GAMMA} = 0.25", *pinball(0.25)),
}
