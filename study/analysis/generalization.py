"""Complexity measures against the measured generalization gap, by the protocol of Jiang et al. 2020."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from study.analysis.edge import Estimate
from study.analysis.learning_curves import percentiles
from study.analysis.outcomes import Results
from study.analysis.sizes import Network

if TYPE_CHECKING:
    import pandas as pd

Numbers = NDArray[np.float64]

AXES = ("size", "width")
# A memorised set: Zhang et al. 2017 (1611.03530) ask for 100 %; a few examples may be missed here.
MEMORISED = 0.99


@dataclass(frozen=True)
class Measure:
    """A complexity measure: what it needs to know of a trial, and its value from that."""

    needs: tuple[str, ...]
    of: Callable[..., float]


@dataclass(frozen=True)
class Score:
    """How well a measure orders networks as their gaps do: ``tau`` is Kendall's over all ``n`` cells with
    its 95 % interval over resampled blocks (1: a larger measure always goes with a larger gap). ``along``
    is the mean tau along each axis with the other one held, 0 where the measure does not vary along it;
    ``granulated`` the mean of those, of which a measure that only sees one axis can have no more than half
    (Jiang et al. 2020, 1912.02178, section 3)."""

    measure: str
    n: int
    tau: Estimate
    along: Mapping[str, float | None]
    granulated: float | None


@dataclass(frozen=True)
class Capacity:
    """How well a width fits random labels. ``memorised`` is the largest training set that it fits to
    MEMORISED; None where there is none. ``advantage``, by size: training accuracy over chance, as a share
    of what can be had above it. For two classes that is the empirical Rademacher complexity's estimate
    1 - 2 error (Bartlett & Mendelson 2002, JMLR 3:463)."""

    width: float
    memorised: int | None
    advantage: Mapping[int, float]


def measured(cells: pd.DataFrame, results: Results, networks: Sequence[Network]) -> pd.DataFrame:
    """The rows of ``cells`` (sizes.grid, one group) with a column a measure of MEASURES. NaN where one was
    not measured: most need ``training.complexity`` in the study file."""
    by_width = {each.width: {"weights": each.parameters, "upper": each.upper} for each in networks}
    found = cells.copy()
    rows = [
        {
            "size": float(row["size"]),
            **by_width.get(float(row["width"]), {}),
            **results[f"{row['arm']}/confirm/{row['block']}"].environment.get("complexity", {}),
        }
        for row in cells.to_dict("records")
    ]
    for name, measure in MEASURES.items():
        found[name] = [_value(measure, row) for row in rows]
    return found


def scores(found: pd.DataFrame, draws: NDArray[np.int64]) -> tuple[Score, ...]:
    """The measures that at least three cells have, best first by their granulated tau."""
    names = [name for name in MEASURES if found.dropna(subset=[name, "gap"]).groupby(list(AXES)).ngroups > 2]
    made = [score(found, name, draws) for name in names]
    return tuple(
        sorted(made, key=lambda each: -math.inf if each.granulated is None else each.granulated, reverse=True)
    )


def score(found: pd.DataFrame, measure: str, draws: NDArray[np.int64]) -> Score:
    """Score one column of ``found`` by the means of its cells, over the blocks that have it."""
    known = found.dropna(subset=[measure, "gap"])
    cells = known.groupby(list(AXES), as_index=False)[[measure, "gap"]].mean()
    pivots = [known.pivot(index=list(AXES), columns="block", values=name) for name in (measure, "gap")]
    values, gaps = (pivot.to_numpy(dtype=np.float64) for pivot in pivots)
    again = [_resampled_tau(values, gaps, draw % values.shape[1]) for draw in draws]
    taus = [each for each in again if each is not None]
    low, high = percentiles(taus) if taus and values.shape[1] > 1 else (None, None)
    along = {axis: _along(cells, measure, axis) for axis in AXES}
    known_axes = [each for each in along.values() if each is not None]
    granulated = sum(known_axes) / len(known_axes) if known_axes else None
    tau = _tau(cells[measure].to_numpy(), cells["gap"].to_numpy())
    return Score(measure, len(cells), Estimate(tau, low, high), along, granulated)


def random_label_capacity(trials: pd.DataFrame, classes: int) -> tuple[Capacity, ...]:
    """What each width memorises, from trials (frames.trials) whose labels are all random: wrong in a share
    (dataset.label_noise) of 1 - 1 / classes. Columns model.width, dataset.train_size, train_eval_accuracy."""
    chance = 1 / classes
    share = trials["dataset.label_noise"]
    random = trials[np.isclose(share, 1 - chance, atol=1e-3) & (trials["status"] == "ok")]
    capacities = []
    for width in np.unique(random["model.width"]).tolist():
        mine = random[random["model.width"] == width]
        accuracy = mine.groupby("dataset.train_size")["train_eval_accuracy"].mean()
        fitted = dict(zip(accuracy.index.tolist(), accuracy.tolist(), strict=True))
        whole = [size for size, each in fitted.items() if each >= MEMORISED]
        advantage = {size: (each - chance) / (1 - chance) for size, each in fitted.items()}
        capacities.append(Capacity(width, max(whole, default=None), advantage))
    return tuple(capacities)


def _value(measure: Measure, row: Mapping[str, Any]) -> float:
    values = [row.get(name) for name in measure.needs]
    return math.nan if None in values else measure.of(*values)


def _resampled_tau(values: Numbers, gaps: Numbers, draw: NDArray[np.int64]) -> float | None:
    """Over the means of the drawn blocks, (cells, blocks) each; a cell without any of them is left out."""
    known = np.isfinite(values[:, draw]).any(axis=1)
    means = (np.nanmean(each[known][:, draw], axis=1) for each in (values, gaps))
    return _tau(*means)


def _tau(values: Numbers, gaps: Numbers) -> float | None:
    from scipy import stats

    if len(values) < 2:
        return None
    tau = float(stats.kendalltau(values, gaps).statistic)
    return tau if math.isfinite(tau) else 0.0  # all values are equal: they say nothing of the order


def _along(cells: pd.DataFrame, measure: str, axis: str) -> float | None:
    """The mean of the taus along ``axis``, one for each value of the other."""
    other = next(each for each in AXES if each != axis)
    lines = cells.groupby(other)
    taus = [_tau(line[measure].to_numpy(), line["gap"].to_numpy()) for _, line in lines]
    known = [tau for tau in taus if tau is not None]
    return sum(known) / len(known) if known else None


def _spectral_margin(log_product: float, ranks: float, margin: float, size: float) -> float:
    """ln of exp(2 sum ln s) sum stable ranks / (margin^2 n) (Neyshabur et al. 2018, 1707.09564), by the
    median margin: the tenth percentile is below 0 before a network fits its data."""
    return 2 * log_product + math.log(ranks / size) - 2 * math.log(margin) if margin > 0 else math.nan


# All are meant to grow with the gap, and only their order counts.
MEASURES: Mapping[str, Measure] = {
    "parameters": Measure(("weights",), float),
    "parameters / N": Measure(("weights", "size"), lambda weights, size: weights / size),
    "VC upper bound / N": Measure(("upper", "size"), lambda upper, size: upper / size),
    "1 / N": Measure(("size",), lambda size: 1 / size),
    "spectral norms": Measure(("spectral_log_product",), float),
    "stable ranks": Measure(("stable_rank_sum",), float),
    "spectral / margin": Measure(
        ("spectral_log_product", "stable_rank_sum", "margin_50", "size"), _spectral_margin
    ),
    "small margins": Measure(("margin_10",), lambda margin: -margin),
    "sharpness": Measure(("sharpness",), float),
    "1 / flat sigma": Measure(("flat_sigma",), lambda sigma: 1 / sigma),
}
