"""Data size against complexity, measured and bounded: all that the trade-off figure shows, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from study.analysis import sizes, vc
from study.analysis.edge import Estimate
from study.analysis.intervals import Interval, mean_interval
from study.analysis.learning_curves import FEWEST_SIZES, Curve, PowerLaw, fit_curve, resamples
from study.analysis.outcomes import Results
from study.analysis.sizes import Network
from study.seeding import derive_seed
from study.spec import StudySpec

if TYPE_CHECKING:
    import pandas as pd

# The gap that panel four asks for, by the bound and by the data.
TARGET_GAP = 0.1


@dataclass(frozen=True)
class Cell:
    """One width at one training-set size."""

    size: int
    train: Interval
    test: Interval
    gap: Interval


@dataclass(frozen=True, eq=False)
class WidthLine:
    """One width over the sizes. ``curve`` and ``gap_curve`` are learning curves of the test error and of
    the gap, None where there are too few sizes; ``needed_by_data`` and ``needed_by_bound`` are the examples
    at which the gap, or the penalty, is TARGET_GAP."""

    width: float
    cells: tuple[Cell, ...]
    network: Network | None
    curve: Curve | None
    gap_curve: Curve | None
    needed_by_data: Estimate
    needed_by_bound: float | None


@dataclass(frozen=True)
class Tradeoff:
    """A study's first group of sizes and widths (the others stand in the map). ``certificate`` is the test
    set's own interval for the best cell's error; ``chance`` the error of guessing."""

    group: str
    lines: tuple[WidthLine, ...]
    chance: float
    classes: int
    certificate: Estimate
    test_examples: int
    blocks: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(sorted({cell.size for line in self.lines for cell in line.cells}))


def tradeoff(spec: StudySpec, results: Results) -> Tradeoff | None:
    """The trade-off of a study that compares training-set sizes and widths; None for another one, or
    before it has a replicate."""
    cells, task = sizes.grid(spec, results), sizes.task_of(spec, results)
    if cells.empty or task is None:
        return None
    group = sizes.groups(cells)[0]
    mine = cells[cells["group"] == group]
    found = sizes.networks(spec, mine["width"].tolist(), task)
    by_width = {network.width: network for network in found}
    best = float(np.nanmin(sizes.means(mine).to_numpy(np.float64)))  # a grid may have holes
    return Tradeoff(
        group,
        tuple(
            _line(width, mine[mine["width"] == width], by_width.get(width))
            for width in np.unique(mine["width"]).tolist()
        ),
        1 - 1 / task.classes,
        task.classes,
        vc.certificate(round(best * task.test_examples), task.test_examples),
        task.test_examples,
        int(mine["block"].nunique()),
    )


def learning_curve(cells: pd.DataFrame, value: str = "test_error") -> Curve | None:
    """The learning curve of one group and width; None for too few sizes or no block that has them all.
    Curves of one study are resampled with the same draws."""
    table = sizes.table(cells.dropna(subset=[value]), value)
    if len(table) < FEWEST_SIZES or table.empty:
        return None
    return fit_curve(table, resamples(table.shape[1], derive_seed("learning-curves", table.shape[1])))


def _line(width: float, rows: pd.DataFrame, network: Network | None) -> WidthLine:
    gap_curve = learning_curve(rows, "gap")
    bound = network and network.upper and vc.examples_needed(network.upper, TARGET_GAP)
    return WidthLine(
        width,
        tuple(_cell(size, rows[rows["size"] == size]) for size in np.unique(rows["size"]).tolist()),
        network,
        learning_curve(rows),
        gap_curve,
        gap_curve.estimate(_needed) if gap_curve else Estimate(),
        bound or None,
    )


def _needed(law: PowerLaw) -> float:
    return law.needed(TARGET_GAP)


def _cell(size: int, rows: pd.DataFrame) -> Cell:
    train, test, gap = (
        mean_interval([float(each) for each in rows[name].to_numpy(np.float64) if np.isfinite(each)])
        for name in ("train_error", "test_error", "gap")
    )
    return Cell(size, train, test, gap)
