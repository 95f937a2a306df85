"""Learning curves: error over the number of training examples, fitted, extrapolated and compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from study.analysis.edge import Estimate
from study.analysis.intervals import LEVEL

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]

EXPONENTS = (0.01, 3.0, 300)
# A size's variance of a few replicates is hardly known: the pooled one weighs as much as so many degrees of
# freedom (the moderated variance of Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3, with a fixed prior).
PRIOR_FREEDOM = 4
RESAMPLES = 500
# A curve of three parameters wants four sizes; to hold the largest out, five.
FEWEST_SIZES = 4
# Crossings are looked for up to so many times the largest size.
BEYOND = 10.0


@dataclass(frozen=True)
class PowerLaw:
    """e(n) = floor + scale n^-exponent, with all three >= 0 (Hestness et al. 2017, 1712.00409)."""

    floor: float
    scale: float
    exponent: float

    def at(self, n: Numbers | float) -> Numbers:
        found: Numbers = self.floor + self.scale * np.asarray(n, dtype=np.float64) ** -self.exponent
        return found

    def slope(self, n: float) -> float:
        """How many points of error the next e-fold of data takes off: -d e / d ln n."""
        return self.exponent * self.scale * math.pow(n, -self.exponent)

    def needed(self, target: float) -> float:
        """The n at which the error is ``target``; infinite where the curve never comes down to it."""
        if target <= self.floor:
            return math.inf
        return 0.0 if self.scale == 0 else math.pow(self.scale / (target - self.floor), 1 / self.exponent)


@dataclass(frozen=True, eq=False)
class Curve:
    """A fitted learning curve. ``law`` belongs to the means, ``resampled`` to tables of resampled blocks;
    these are empty for a single block, and then nothing has an interval."""

    sizes: Numbers
    means: Numbers
    blocks: int
    law: PowerLaw
    resampled: tuple[PowerLaw, ...]

    def estimate(self, of: Callable[[PowerLaw], float]) -> Estimate:
        """A number that the curve gives, with its 95 % interval. An infinite end is open (None)."""
        value = of(self.law)
        if not self.resampled:
            return Estimate(_finite(value))
        low, high = percentiles([of(law) for law in self.resampled])
        return Estimate(_finite(value), _finite(low), _finite(high))

    def band(self, n: Numbers) -> tuple[Numbers, Numbers] | None:
        """The 95 % band over ``n``; None for a single block."""
        if not self.resampled:
            return None
        curves = np.stack([law.at(n) for law in self.resampled])
        low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return low, high


@dataclass(frozen=True)
class Extrapolation:
    """What the curve of the smaller sizes says of the largest one. ``error`` is predicted - measured."""

    size: float
    predicted: float
    measured: float
    error: Estimate


@dataclass(frozen=True)
class Crossing:
    """Below ``at`` examples ``first`` has the lower error, above it ``second``. ``share`` of the resampled
    pairs cross that way; ``extrapolated``: beyond the largest size that was trained on."""

    first: str
    second: str
    at: Estimate
    share: float
    extrapolated: bool


def resamples(blocks: int, seed: int, count: int = RESAMPLES) -> NDArray[np.int64]:
    """Which blocks each resampled table is made of, (count, blocks). Curves fitted with the same draws are
    resampled together, so that their differences keep the pairing."""
    return np.random.default_rng(seed).integers(blocks, size=(count, blocks))


def fit_curve(table: pd.DataFrame, draws: NDArray[np.int64]) -> Curve:
    """Fit a learning curve to ``table``: errors, a row a training-set size (the index), a column a seed
    block. Every cell must be a number; ValueError for fewer than FEWEST_SIZES sizes.

    Weighted least squares; a size weighs by its moderated variance. A resampled mean moves from the mean
    as far as the bootstrap says times sqrt(r / (r - 1)) t / z, t being Student's of the r blocks, so that
    the band of a single mean is its t interval: the bare bootstrap of 3 blocks is 2.7 times too narrow.
    """
    errors = table.to_numpy(dtype=np.float64)
    sizes = table.index.to_numpy(dtype=np.float64)
    if len(sizes) < FEWEST_SIZES:
        raise ValueError(
            f"a learning curve wants {FEWEST_SIZES} training-set sizes or more, not {len(sizes)}"
        )
    if not np.isfinite(errors).all():
        raise ValueError("a learning curve wants a number for every size and block")
    means, weights = errors.mean(axis=1), 1 / moderated_variances(errors)
    law = fit_power_law(sizes, means, weights)
    if errors.shape[1] < 2:
        return Curve(sizes, means, errors.shape[1], law, ())
    resampled = errors[:, draws % errors.shape[1]].mean(axis=2).T
    moved = means + widening(errors.shape[1]) * (resampled - means)
    return Curve(sizes, means, errors.shape[1], law, lattice_laws(sizes, moved, weights))


def fit_power_law(sizes: Numbers, errors: Numbers, weights: Numbers) -> PowerLaw:
    """The power law with the least weighted sum of squares. For each exponent the best floor and scale
    follow in closed form (variable projection), so that only the exponent is searched for."""
    from scipy.optimize import minimize_scalar

    lattice = np.geomspace(*EXPONENTS)
    best = int(_projected(lattice, sizes, errors[None], weights)[2].argmin())
    ends = lattice[max(0, best - 1)], lattice[min(len(lattice) - 1, best + 1)]

    def of_exponent(exponent: float) -> float:
        return float(_projected(np.array([exponent]), sizes, errors[None], weights)[2][0, 0])

    exponent = float(minimize_scalar(of_exponent, bounds=ends, method="bounded").x)
    floor, scale, _ = _projected(np.array([exponent]), sizes, errors[None], weights)
    return PowerLaw(float(floor[0, 0]), float(scale[0, 0]), exponent)


def lattice_laws(sizes: Numbers, errors: Numbers, weights: Numbers) -> tuple[PowerLaw, ...]:
    """Fit many tables at once, errors (tables, k), with the exponent on a lattice of steps of 1.9 %."""
    lattice = np.geomspace(*EXPONENTS)
    floor, scale, sums = _projected(lattice, sizes, errors, weights)
    rows, best = np.arange(len(errors)), sums.argmin(axis=1)
    parts = zip(floor[rows, best], scale[rows, best], lattice[best], strict=True)
    return tuple(PowerLaw(*map(float, part)) for part in parts)


def extrapolation(table: pd.DataFrame, draws: NDArray[np.int64]) -> Extrapolation | None:
    """Fit all sizes but the largest and compare; None where too few sizes are left."""
    if len(table) <= FEWEST_SIZES:
        return None
    smaller = fit_curve(table.iloc[:-1], draws)
    largest = table.iloc[-1].to_numpy(dtype=np.float64)
    size = float(table.index[-1])
    predicted, measured = float(smaller.law.at(size)), float(largest.mean())
    if not smaller.resampled:
        return Extrapolation(size, predicted, measured, Estimate(predicted - measured))
    again = largest[draws % len(largest)].mean(axis=1)
    moved = measured + widening(len(largest)) * (again - measured)
    misses = [float(law.at(size)) - there for law, there in zip(smaller.resampled, moved, strict=True)]
    return Extrapolation(
        size, predicted, measured, Estimate(predicted - measured, *map(float, percentiles(misses)))
    )


def crossing(names: tuple[str, str], curves: tuple[Curve, Curve]) -> Crossing | None:
    """Where two curves, fitted with the same draws, cross for the last time between the smallest size and
    BEYOND times the largest; None where they do not. Curves of unlike numbers of blocks have no interval."""
    first, second = curves
    sizes = np.concatenate([first.sizes, second.sizes])
    grid = np.geomspace(sizes.min(), BEYOND * sizes.max(), 400)
    found = _last_crossing(first.law, second.law, grid)
    if found is None:
        return None
    at, first_is_lower_before = found
    # Of other numbers of blocks they were resampled apart.
    pairs = zip(first.resampled, second.resampled, strict=True) if first.blocks == second.blocks else ()
    again = [_last_crossing(*pair, grid) for pair in pairs]
    alike = [each[0] for each in again if each is not None and each[1] == first_is_lower_before]
    low, high = percentiles(alike) if alike else (math.nan, math.nan)
    ordered = names if first_is_lower_before else names[::-1]
    share = len(alike) / len(again) if again else math.nan
    return Crossing(*ordered, Estimate(at, _finite(low), _finite(high)), share, at > sizes.max())


def moderated_variances(errors: Numbers) -> Numbers:
    """The variance of each row's mean, (k,), each moderated by the pooled one; equal ones for one column."""
    blocks = errors.shape[1]
    if blocks < 2:
        return np.ones(len(errors))
    own = errors.var(axis=1, ddof=1)
    pooled = max(float(own.mean()), np.finfo(np.float64).tiny)
    moderated = ((blocks - 1) * own + PRIOR_FREEDOM * pooled) / (blocks - 1 + PRIOR_FREEDOM)
    of_mean: Numbers = moderated / blocks
    return of_mean


def widening(blocks: int) -> float:
    """By how much the bootstrap of a mean of ``blocks`` >= 2 numbers is narrower than its t interval."""
    from scipy import stats

    tail = (1 + LEVEL) / 2
    t, z = float(stats.t.ppf(tail, blocks - 1)), float(stats.norm.ppf(tail))
    return math.sqrt(blocks / (blocks - 1)) * t / z


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % percentile interval; values may be infinite, so an end is always one of them."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return float(low), float(high)


def _projected(
    exponents: Numbers, sizes: Numbers, errors: Numbers, weights: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """For each table (a row of ``errors``) and each exponent the best floor and scale, both at least 0, and
    the weighted sum of squares; all (tables, exponents)."""
    shares = weights / weights.sum()
    # Sizes in units of their geometric mean, for numbers of like magnitude.
    unit = math.exp(float(np.log(sizes).mean()))
    basis = (sizes / unit) ** -exponents[:, None]
    centre, mean = basis @ shares, errors @ shares
    centred = basis - centre[:, None]
    scale = (errors * shares) @ centred.T / np.maximum(centred**2 @ shares, 1e-300)
    floor = mean[:, None] - scale * centre
    through_zero = (errors * shares) @ basis.T / (basis**2 @ shares)
    scale, floor = np.where(floor < 0, through_zero, scale), np.maximum(floor, 0.0)
    floor = np.where(scale < 0, np.maximum(mean, 0.0)[:, None], floor)
    scale = np.maximum(scale, 0.0)
    # Sum over the sizes one by one: a (tables, exponents, sizes) array would be large.
    sums = np.zeros_like(scale)
    for share, measured, column in zip(shares, errors.T, basis.T, strict=True):
        sums += share * (floor + scale * column - measured[:, None]) ** 2
    return floor, scale * unit**exponents, sums


def _last_crossing(first: PowerLaw, second: PowerLaw, grid: Numbers) -> tuple[float, bool] | None:
    """The place, and whether the first curve is the lower one before it."""
    from scipy.optimize import brentq

    above = first.at(grid) > second.at(grid)
    changes = np.flatnonzero(above[1:] != above[:-1])
    if not len(changes):
        return None
    last = int(changes[-1])

    def difference(log_n: float) -> float:
        n = math.exp(log_n)
        return float(first.at(n) - second.at(n))

    place = math.exp(brentq(difference, math.log(grid[last]), math.log(grid[last + 1])))
    return place, not bool(above[last])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
