"""Checks of the metrics of the notes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_percentage_error, mean_squared_error

from study.facts.checking import Answer, answer, instead, said

REPETITIONS = 100


def r2_and_samples() -> Answer:
    """In-sample R2 of least squares on ten regressors, of which one matters, averaged over data sets.

    Under the null of no effect its expectation is p / (n - 1), which falls with n.
    """
    few, many = (np.mean([in_sample_r2(n, seed) for seed in range(REPETITIONS)]) for n in (20, 200))
    fell = np.mean([in_sample_r2(200, seed) < in_sample_r2(20, seed) for seed in range(REPETITIONS)])
    grown = min(in_sample_r2(50, seed, 11) - in_sample_r2(50, seed, 10) for seed in range(REPETITIONS))
    return answer(
        said("mean R2 at n = 200 less that at n = 20", float(many - few), at_least=0.0),
        said("share of the data sets where it did not fall", float(1 - fell), equals=1.0),
        instead("least change of R2 by one more regressor", float(grown), at_least=-1e-12),
        note=f"it is the number of regressors that R2 never falls with; with n it falls to its true value, "
        f"here from {few:.2f} to {many:.2f}",
    )


def in_sample_r2(n: int, seed: int, regressors: int = 10) -> float:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 11))
    y = x[:, 0] + 2 * rng.normal(size=n)
    design = np.column_stack([np.ones(n), x[:, :regressors]])
    residuals = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(1 - residuals @ residuals / (n * y.var()))


def mape_arguments() -> Answer:
    true, predicted = np.array([100.0, 200.0]), np.array([50.0, 220.0])
    published = 100 * mean_absolute_percentage_error(true, predicted)
    return answer(
        said(
            "mape(predictions, targets) as called, less scikit-learn's MAPE",
            mape(predicted, true) - published,
            equals=0.0,
        ),
        said(
            "mape(targets, predictions), less it", mape(true, predicted) - published, equals=0.0, within=1e-9
        ),
        instead(
            "as called, for a target of 100 and a prediction of 50",
            mape(predicted[:1], true[:1]),
            equals=100.0,
        ),
        note="the function is right and its arguments are swapped in the call: it divides by the predictions "
        f"(100 % for {mape(true[:1], predicted[:1]):.0f} %); it is undefined at targets of 0",
    )


def mape(y_true: NDArray[np.float64], y_pred: NDArray[np.float64]) -> float:
    """As the notes print it."""
    return float(np.mean(np.abs((y_pred - y_true) / y_true)) * 100)


def root_mean_square() -> Answer:
    true, predicted = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 1.0])
    rmse = float(np.sqrt(mean_squared_error(true, predicted)))
    metres, centimetres = (float(np.sqrt(mean_squared_error(k * true, k * predicted))) for k in (1, 100))
    return answer(
        said("its square over the MSE", rmse**2 / (10 / 3), equals=1.0, within=1e-12),
        said("the same errors in a unit 100 times smaller", centimetres / metres, equals=100.0, within=1e-9),
        said(
            "RMSE of errors that are all alike, over their MAE",
            float(np.sqrt(np.mean([9.0, 9.0]))) / 3,
            equals=1.0,
        ),
    )
