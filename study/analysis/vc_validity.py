"""The VC bound where it is true: generated data with a known Bayes error, classes of known dimension."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from study.analysis import vc
from study.analysis.intervals import LEVEL
from study.analysis.wording import counted
from study.claims import Judgement
from study.seeding import derive_seed

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]
Predictor = Callable[[Numbers], NDArray[np.bool_]]

BAYES_ERROR = 0.1
SIZES = (100, 300, 1000, 3000, 10_000, 30_000)
# A network takes a thousand times as long to train as a least-squares fit.
NETWORK_SIZES = (1000, 3000, 10_000)
NETWORK_SHARE = 10
# The test error is the Bayes error plus what of this sample is put on the wrong side: off by 0.003 at most.
TEST_EXAMPLES = 20_000
# A difference of means counts where it is more than so many standard errors.
CLEAR = 2.0


@dataclass(frozen=True)
class ModelClass:
    """Binary classifiers of ``features`` inputs. ``dimension`` is the VC dimension; ``exact``, or else an
    upper bound. ``fit(x, y, generator)`` trains one on x (n, features) and y (n,) of booleans."""

    name: str
    features: int
    dimension: float
    exact: bool
    fit: Callable[[Numbers, NDArray[np.bool_], np.random.Generator], Predictor]
    network: bool = False

    @property
    def label(self) -> str:
        return f"{self.name}, h {'=' if self.exact else '<='} {self.dimension:.0f}"


@dataclass(frozen=True)
class Validity:
    """``cells``: a row a class and size with ``h``, ``redraws``, mean ``train``, ``test``, ``gap`` and its
    standard error ``gap_error``, ``penalty`` (infinite where vacuous), ``violations`` of the bound; and of
    the bound by relative deviations ``relative``, its mean distance from the training error, and
    ``relative_violations``.
    ``ordered`` and ``reversed`` count the neighbouring cells whose mean gaps differ clearly: as the formula
    says (less with N, more with h), or the other way round."""

    cells: pd.DataFrame
    eta: float
    ordered: int
    reversed: int
    verdict: Judgement
    reason: str

    def to_json(self) -> dict[str, Any]:
        rows = [
            {key: None if value == math.inf else value for key, value in row.items()}
            for row in self.cells.to_dict("records")
        ]
        return {
            "eta": self.eta,
            "bayes_error": BAYES_ERROR,
            "verdict": self.verdict,
            "reason": self.reason,
            "cells": rows,
        }


def validity(
    redraws: int = 200, seed: int = 0, eta: float = vc.ETA, sizes: Sequence[int] = SIZES
) -> Validity:
    """Train each class on ``redraws`` fresh training sets of each size (networks on a tenth as many), and
    see how often test error > training error + penalty. The same seed gives the same numbers."""
    import pandas as pd

    rows = [
        _cell(model, n, max(2, redraws // NETWORK_SHARE) if model.network else redraws, seed, eta)
        for model in CLASSES
        for n in sizes
        if n > model.dimension / 10 and (not model.network or n in NETWORK_SIZES)
    ]
    return judge(pd.DataFrame(rows), eta)


def judge(cells: pd.DataFrame, eta: float) -> Validity:
    """*Reproduced*: with 95 % confidence violations are no more frequent than ``eta``, and no neighbouring
    gaps are clearly the wrong way round. *Contradicted*: violations are surely more frequent, or more gaps
    are the wrong way round than the right one. Else *undecided*."""
    from scipy import stats

    count, total = int(cells["violations"].sum()), int(cells["redraws"][np.isfinite(cells["penalty"])].sum())
    low, high = stats.binomtest(count, total).proportion_ci(LEVEL, method="exact")
    signs = [sign for pair in _neighbours(cells) if (sign := _sign(*pair))]
    right, wrong = signs.count(1), signs.count(-1)
    words = (
        f"{counted(count, 'violation')} in {counted(total, 'training set')} (95 % interval {low:.4f} to "
        f"{high:.4f}, allowed {eta:g}); neighbouring gaps that differ clearly: {right} as the formula says, "
        f"{wrong} the other way round"
    )
    verdict: Judgement = "undecided"
    if low > eta or wrong > right:
        verdict = "contradicted"
    elif high <= eta and wrong == 0 and right > 0:
        verdict = "reproduced"
    return Validity(cells, eta, right, wrong, verdict, words)


def draw(n: int, features: int, generator: np.random.Generator) -> tuple[Numbers, NDArray[np.bool_]]:
    """Standard normal inputs (n, features) and their clean labels: the side of a plane through 0."""
    x = generator.standard_normal((n, features))
    return x, x.sum(axis=1) > 0


def least_squares(expand: Callable[[Numbers], Numbers]) -> Callable[..., Predictor]:
    """The sign of a least-squares fit on expanded features. The bound holds for every classifier of the
    class, however it was chosen."""

    def fit(x: Numbers, y: NDArray[np.bool_], generator: np.random.Generator) -> Predictor:
        # The normal equations: of normal inputs they are well conditioned, and a tenth of the work.
        rows = expand(x)
        weights = np.linalg.solve(rows.T @ rows, rows.T @ np.where(y, 1.0, -1.0))
        return lambda new: expand(new) @ weights > 0

    return fit


def linear(x: Numbers) -> Numbers:
    return np.column_stack([np.ones(len(x)), x])


def quadratic(x: Numbers) -> Numbers:
    """All monomials up to degree 2."""
    pairs = itertools.combinations_with_replacement(range(x.shape[1]), 2)
    return np.column_stack([np.ones(len(x)), x, *(x[:, i] * x[:, j] for i, j in pairs)])


def network(hidden: int) -> Callable[..., Predictor]:
    """A ReLU network with one hidden layer, by scikit-learn's L-BFGS."""

    def fit(x: Numbers, y: NDArray[np.bool_], generator: np.random.Generator) -> Predictor:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        seed = int(generator.integers(2**31))
        made = MLPClassifier((hidden,), solver="lbfgs", alpha=0.0, max_iter=100, random_state=seed)
        with warnings.catch_warnings():
            # A hundred steps are the training, converged or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            made.fit(x, y)
        return lambda new: np.asarray(made.predict(new), dtype=np.bool_)

    return fit


def _cell(model: ModelClass, n: int, redraws: int, seed: int, eta: float) -> dict[str, Any]:
    runs = np.array(
        [_run(model, n, derive_seed("vc-validity", seed, model.name, n, i)) for i in range(redraws)]
    )
    train, test = runs.T
    allowed = vc.penalty(model.dimension, n, eta)
    relative = np.array([vc.relative_bound(each, model.dimension, n, eta) for each in train])
    return {
        "model": model.label,
        "features": model.features,
        "h": model.dimension,
        "n": n,
        "redraws": redraws,
        "train": float(train.mean()),
        "test": float(test.mean()),
        "gap": float((test - train).mean()),
        "gap_error": float((test - train).std(ddof=1)) / math.sqrt(redraws),
        "penalty": allowed,
        "violations": int((test > train + allowed).sum()),
        "relative": float((relative - train).mean()),
        "relative_violations": int((test > relative).sum()),
    }


def _run(model: ModelClass, n: int, seed: int) -> tuple[float, float]:
    """The training error and the test error of one redraw."""
    generator = np.random.default_rng(seed)
    x, clean = draw(n, model.features, generator)
    y = clean ^ (generator.random(n) < BAYES_ERROR)
    predict = model.fit(x, y, generator)
    fresh, side = draw(TEST_EXAMPLES, model.features, generator)
    wrong_side = float((predict(fresh) != side).mean())
    return float((predict(x) != y).mean()), BAYES_ERROR + (1 - 2 * BAYES_ERROR) * wrong_side


def _neighbours(cells: pd.DataFrame) -> Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pairs of cells of which the first should have the larger gap: half as many examples, or the next
    larger dimension on the same data."""
    for _, line in cells.groupby("model", sort=False):
        yield from itertools.pairwise(line.sort_values("n").to_dict("records"))
    for _, line in cells.groupby(["features", "n"], sort=False):
        yield from itertools.pairwise(line.sort_values("h", ascending=False).to_dict("records"))


def _sign(larger: Mapping[str, Any], smaller: Mapping[str, Any]) -> int:
    """1 where the first gap is clearly larger, -1 where it is clearly smaller, else 0."""
    difference = larger["gap"] - smaller["gap"]
    clear = CLEAR * math.hypot(larger["gap_error"], smaller["gap_error"])
    return 0 if abs(difference) <= clear else int(math.copysign(1, difference))


def _network(hidden: int) -> ModelClass:
    dimension = vc.relu_upper_bound(vc.mlp_layers((2, hidden, 1)))
    return ModelClass(
        f"ReLU network 2-{hidden}-1", 2, dimension, exact=False, fit=network(hidden), network=True
    )


# Quadratic classifiers are linear in their monomials.
CLASSES = (
    ModelClass("linear in 2-d", 2, vc.linear_dimension(2), exact=True, fit=least_squares(linear)),
    ModelClass("quadratic in 2-d", 2, vc.linear_dimension(5), exact=True, fit=least_squares(quadratic)),
    ModelClass("linear in 10-d", 10, vc.linear_dimension(10), exact=True, fit=least_squares(linear)),
    ModelClass("quadratic in 10-d", 10, vc.linear_dimension(65), exact=True, fit=least_squares(quadratic)),
    _network(3),
    _network(10),
)
