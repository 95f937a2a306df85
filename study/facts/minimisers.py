"""Checks of what minimises which loss, and of how a descent gets there."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from study.facts.boosting import bias
from study.facts.checking import Answer, answer, instead, said

Floats = NDArray[np.float64]

# The notes' example (line 541): nine tenths at 150, a tenth spread over 0 to 30.
TARGETS = np.concatenate([np.full(90, 150.0), np.linspace(0, 30, 10)])

# Their sinc data (line 638) without sinc: Gaussian noise of deviation 1, and an impulse of 10 in a tenth.
SIGMA, IMPULSE, SHARE = 1.0, 10.0, 0.1


def mean_and_median() -> Answer:
    rng = np.random.default_rng(0)
    y = rng.normal(size=101)
    spoilt = np.append(y[:-1], 1e3)
    moved_mean, moved_median = spoilt.mean() - y.mean(), np.median(spoilt) - np.median(y)
    return answer(
        said(
            "constant with the least MSE, less the mean",
            least(squared, y) - y.mean(),
            equals=0.0,
            within=1e-6,
        ),
        said(
            "constant with the least MAE, less the median",
            least(absolute, y) - np.median(y),
            equals=0.0,
            within=1e-6,
        ),
        said(
            "how far an outlier of 1,000 moves the median, over the mean",
            abs(moved_median / moved_mean),
            at_least=1.0,
        ),
        instead("the same", abs(moved_median / moved_mean), at_most=0.1),
        note="the median is the more robust one: of 101 values one outlier moves the mean by "
        f"{abs(moved_mean):.2g}, the median by {abs(moved_median):.2g}",
    )


def example_of_150() -> Answer:
    mse, mae = least(squared, TARGETS), least(absolute, TARGETS)
    # How large the share of outliers must be before the mean itself lies in 0-30.
    needed = (150 - 30) / (150 - TARGETS[90:].mean())
    return answer(
        said("constant with the least MAE", mae, equals=150.0, within=1e-4),
        said("constant with the least MSE", mse, at_least=0.0, at_most=30.0),
        instead("the same", mse, equals=136.5, within=1e-4),
        instead("share of outliers at which it would reach 30", needed, equals=0.889, within=1e-3),
        note=f"MSE predicts {mse:.1f}; a mean in 0-30 needs outliers in {needed:.1%} of the targets, where "
        "the median is there as well",
    )


def fixed_rate_descent() -> Answer:
    """Gradient descent on one constant from 0, with a target of 1 and a rate of 0.3, for 200 steps."""
    mae = descend(np.sign, 0.3)
    mse = descend(lambda error: 2 * error, 0.3)
    falling = descend(np.sign, 0.3, decay=True)
    return answer(
        said(
            "MAE: gradient at a distance of 1e-6, over that at 1",
            float(np.sign(1e-6) / np.sign(1.0)),
            equals=1.0,
        ),
        said("MAE: farthest from the target in the last 20 steps", mae, at_least=0.05),
        said("MSE: the same", mse, at_most=1e-9),
        instead("MAE with a rate that falls as 1 / sqrt(t): the same", falling, at_most=mae / 2),
        note=f"MAE stays in a band of the step's size, {mae:.2g} here, unless the rate falls; MSE converges "
        "at rates below 2 over its curvature",
    )


def descend(slope: Callable[[float], float], lr: float, decay: bool = False) -> float:
    """The largest distance from 1 over the last 20 of 200 steps."""
    at, distances = 0.0, []
    for t in range(1, 201):
        at -= lr / (math.sqrt(t) if decay else 1) * float(slope(at - 1))
        distances.append(abs(at - 1))
    return max(distances[-20:])


def redundant_data() -> Answer:
    """Least squares on 100 examples ten times over, and on 1,000 different ones: how many gradients of an
    example it takes to come within 1 % of the least loss, by the full set and by mini-batches of 100."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 5))
    y = x @ np.arange(1.0, 6.0) + rng.normal(size=1000)
    copies = np.tile(np.arange(100), 10)
    redundant = evaluations(x[copies], y[copies], 1000) / evaluations(x[copies], y[copies], 100)
    different = evaluations(x, y, 1000) / evaluations(x, y, 100)
    return answer(
        said(
            "gradients by the full set over those by mini-batches, 100 examples ten times",
            redundant,
            at_least=2.0,
        ),
        instead("the same, 1,000 different examples", different, at_least=2.0),
        note=f"{redundant:.0f} times, and {different:.0f} times on examples that all differ; there, at a "
        "fixed rate, mini-batches end in a band around the minimum, which the full set reaches",
    )


def evaluations(x: Floats, y: Floats, batch: int, lr: float = 0.1) -> float:
    """Gradients of an example until the whole set's loss is within 1 % of the least."""
    least_loss = np.mean((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2)
    weights = np.zeros(x.shape[1])
    spent = 0
    while np.mean((y - x @ weights) ** 2) > 1.01 * least_loss:
        part = slice(spent % len(y), spent % len(y) + batch)
        weights -= lr * x[part].T @ (x[part] @ weights - y[part]) / batch
        spent += batch
    return float(spent)


def outlier_sensitivity() -> Answer:
    """What one observation can do: the slope of its loss (Huber's influence function)."""
    errors = np.array([1.0, 1e3])
    mse, mae = 2 * errors, np.sign(errors)
    rng = np.random.default_rng(0)
    clean = rng.normal(size=100)
    spoilt = np.append(clean, 1e3)
    shift_mse = least(squared, spoilt) - least(squared, clean)
    shift_mae = least(absolute, spoilt) - least(absolute, clean)
    return answer(
        said("MSE: slope at an error of 1,000, over that at 1", float(mse[1] / mse[0]), at_least=999.0),
        said("MAE: the same", float(mae[1] / mae[0]), equals=1.0),
        said(
            "shift of the fit by one outlier of 1,000 in 101, MSE over MAE",
            abs(shift_mse / shift_mae),
            at_least=10.0,
        ),
    )


def interval_levels() -> Answer:
    """The quantiles of skewed data (lognormal), whose mean and deviation would mislead."""
    y = np.exp(norm.ppf((np.arange(2_000) + 0.5) / 2_000))
    low, high = (least(pinball(gamma), y) for gamma in (0.05, 0.95))
    inside = float(np.mean((y > low) & (y < high)))
    return answer(
        said("share of the targets between the two best constants", inside, equals=0.9, within=0.002),
        instead(
            "interval of mean ± 1.645 deviations: share below it",
            float(np.mean(y < y.mean() - 1.645 * y.std())),
            equals=0.0,
        ),
        note="of the population; fitted models cover less on new data, which hetero-intervals measures",
    )


def impulse_bias() -> Answer:
    """The bias that the impulses leave in the limit of many examples, where E[psi(y - b)] = 0; and what they
    leave in the notes' own model, boosted trees."""
    mse = SHARE * IMPULSE
    mae = brentq(lambda b: mixture(lambda mean: norm.cdf(b, mean, SIGMA)) - 0.5, -1, 10)
    return answer(
        said("bias of MSE", mse, at_least=0.5),
        said("bias of MAE, over it", mae / mse, at_most=0.5),
        said("boosted trees: bias by MSE", bias("squared_error"), equals=mse, within=0.1),
        said("boosted trees: bias by MAE", bias("absolute_error"), equals=mae, within=0.05),
        instead("bias of MAE", mae, at_least=0.1),
        note=f"by {mse:.2f} and {mae:.2f} (deviation 1, impulses of 10 in a tenth): MAE's is smaller, not 0",
    )


def delta_sensitivity() -> Answer:
    """Huber's bias at the notes' deltas, with noise of deviation 1, and with deviation 10."""
    deltas = (4.0, 2.0, 1.0)
    small = [huber_bias(delta, SIGMA) for delta in deltas]
    large = [huber_bias(delta, 10 * SIGMA) for delta in deltas]
    shown = ", ".join(f"{bias:.2f}" for bias in small)
    return answer(
        said("largest bias over the least, noise of deviation 1", max(small) / min(small), at_least=2.0),
        said("the same, noise of deviation 10", max(large) / min(large), at_least=2.0),
        note=f"where delta is of the order of the noise: biases of {shown} for delta 4, 2, 1 at deviation 1, "
        f"but within {max(large) / min(large) - 1:.0%} of each other at deviation 10",
    )


def huber_bias(delta: float, sigma: float) -> float:
    """The b with E[clip(y - b, -delta, delta)] = 0, in closed form for a mixture of normals."""

    def expected(mean: float, b: float) -> float:
        shift = mean - b
        low, high = (-delta - shift) / sigma, (delta - shift) / sigma
        within = shift * (norm.cdf(high) - norm.cdf(low)) + sigma * (norm.pdf(low) - norm.pdf(high))
        return float(within + delta * norm.sf(high) - delta * norm.cdf(low))

    return float(brentq(lambda b: mixture(lambda mean: expected(mean, b)), -1 - IMPULSE, 1 + IMPULSE))


def mixture(of: Callable[[float], float]) -> float:
    """The expectation over whether there is an impulse."""
    return (1 - SHARE) * of(0.0) + SHARE * of(IMPULSE)


def mse_range() -> Answer:
    """The axis of the notes' figure: predictions from -10,000 to 10,000 for a target of 100."""
    predictions = np.linspace(-10_000, 10_000, 20_001)
    values = (predictions - 100.0) ** 2
    return answer(
        said("prediction with the least MSE", float(predictions[values.argmin()]), equals=100.0),
        said("the least MSE", float(values.min()), equals=0.0),
        said("MSE at a prediction of 1e100", (1e100 - 100.0) ** 2, at_least=1e199),
    )


def least(loss: Callable[[Floats], Floats], y: Floats) -> float:
    """The constant with the least mean loss on ``y``; the mean over the flat part where there is one.

    Convex losses: the minimum over the examples themselves brackets that over the line.
    """
    means = np.array([loss(y - p).mean() for p in np.unique(y)])
    at = np.unique(y)
    best = int(means.argmin())
    bracket = (at[max(best - 1, 0)], at[min(best + 1, len(at) - 1)])
    found = minimize_scalar(
        lambda p: float(loss(y - p).mean()), bounds=bracket, method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x if found.fun < means[best] else at[best])


def squared(errors: Floats) -> Floats:
    return errors**2


def absolute(errors: Floats) -> Floats:
    return np.abs(errors)


def pinball(gamma: float) -> Callable[[Floats], Floats]:
    def loss(errors: Floats) -> Floats:
        return np.maximum(gamma * errors, (gamma - 1) * errors)

    return loss
