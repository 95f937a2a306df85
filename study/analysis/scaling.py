"""One law for data size and model size together: the error landscape of Rosenfeld et al. 2020."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]

# Where the search starts: exponents of data and model, powers of ten of the floor.
STARTS = [(alpha, beta, floor) for alpha in (0.2, 0.6) for beta in (0.2, 0.6) for floor in (-3.0, -1.0)]
PARAMETERS = 5


@dataclass(frozen=True)
class JointLaw:
    """e(n, m) = chance e~ / sqrt(e~^2 + chance^2) with e~ = a n^-alpha + b m^-beta + floor (Rosenfeld et al.
    2020, 1909.12673, eq. 5 and 6), n examples and m parameters.

    It goes from ``chance`` for no data or no model to e~ where that is small. Of their eta and the scale of
    e~ only the ratio matters; eta = chance makes e~ an error.
    """

    a: float
    alpha: float
    b: float
    beta: float
    floor: float
    chance: float

    def at(self, n: Numbers | float, m: Numbers | float) -> Numbers:
        sizes, models = np.asarray(n, dtype=np.float64), np.asarray(m, dtype=np.float64)
        plain = self.a * sizes**-self.alpha + self.b * models**-self.beta + self.floor
        found: Numbers = self.chance * plain / np.hypot(plain, self.chance)
        return found


@dataclass(frozen=True)
class JointFit:
    """``bias`` and ``spread`` are the mean and the sd of the relative differences (predicted - measured) /
    measured over ``cells`` cells; ``held_out`` the same two on the largest n, when fitted without it."""

    law: JointLaw
    cells: int
    bias: float
    spread: float
    held_out: tuple[float, float] | None


def joint_fit(cells: pd.DataFrame, chance: float) -> JointFit:
    """Fit the joint law to ``cells``, a row a cell: ``size`` (n), ``parameters`` (m), ``error`` (a mean).

    Least squares of the relative differences, as in the paper. ValueError for fewer than three sizes or
    models.
    """
    if min(cells["size"].nunique(), cells["parameters"].nunique()) < 3:
        raise ValueError("the joint law wants three training-set sizes and three model sizes or more")
    law = fit_law(cells, chance)
    smaller = cells[cells["size"] < cells["size"].max()]
    held_out = None
    if smaller["size"].nunique() >= 3 and len(smaller) > PARAMETERS:
        largest = cells[cells["size"] == cells["size"].max()]
        held_out = mean_and_spread(misses(fit_law(smaller, chance), largest))
    return JointFit(law, len(cells), *mean_and_spread(misses(law, cells)), held_out)


def fit_law(cells: pd.DataFrame, chance: float) -> JointLaw:
    """The best of several starts; all parameters stay above 0."""
    from scipy.optimize import least_squares

    n, m, error = (cells[name].to_numpy(dtype=np.float64) for name in ("size", "parameters", "error"))

    def law(logs: Numbers) -> JointLaw:
        a, alpha, b, beta, floor = map(float, np.exp(logs))
        return JointLaw(a, alpha, b, beta, floor, chance)

    def residuals(logs: Numbers) -> Numbers:
        found: Numbers = law(logs).at(n, m) / error - 1
        return found

    typical = float(error.mean()) / 2
    found = [
        least_squares(
            residuals,
            np.log(
                [
                    typical * float(n.min()) ** alpha,
                    alpha,
                    typical * float(m.min()) ** beta,
                    beta,
                    typical * 10**floor,
                ]
            ),
            bounds=([-60, -6, -60, -6, -30], [60, 2, 60, 2, math.log(10 * chance)]),
            x_scale="jac",
        )
        for alpha, beta, floor in STARTS
    ]
    return law(min(found, key=lambda each: each.cost).x)


def misses(law: JointLaw, cells: pd.DataFrame) -> Numbers:
    """The relative differences, predicted over measured less one."""
    n, m, error = (cells[name].to_numpy(dtype=np.float64) for name in ("size", "parameters", "error"))
    found: Numbers = law.at(n, m) / error - 1
    return found


def mean_and_spread(differences: Numbers) -> tuple[float, float]:
    return float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
