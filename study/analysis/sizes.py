"""The grid of a study that compares training-set sizes and widths: errors, gaps, sizes and best widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from study.analysis import vc
from study.analysis.edge import Estimate
from study.analysis.learning_curves import percentiles
from study.analysis.outcomes import Results, ended, replicates
from study.components.datasets import DATASETS
from study.keys import arm_name
from study.spec import Arm, StudySpec

if TYPE_CHECKING:
    import pandas as pd

SIZE, WIDTH = "dataset.train_size", "model.width"
TEST, TRAIN = "test_error", "train_eval_error"
CELLS = ("group", "size", "width", "arm", "block", "penalised", "train_error", "test_error", "gap")


@dataclass(frozen=True)
class Network:
    """What is known of a width's network without training it. ``upper`` bounds its VC dimension from above;
    None where nothing does. ``lower`` is a dimension that some network of its size has."""

    width: float
    parameters: int
    upper: float | None
    lower: float


@dataclass(frozen=True)
class Task:
    """What a study's networks are given: so many classes, inputs of this shape, and a test of so many."""

    classes: int
    shape: tuple[int, ...]
    test_examples: int


@dataclass(frozen=True)
class BestWidth:
    """Of one training-set size: the width of least mean test error, and its 95 % interval over resampled
    blocks (without ends for a single block)."""

    size: int
    width: float
    interval: Estimate


@dataclass(frozen=True)
class Ridge:
    """The best width of every size. ``slope`` is d ln width / d ln size by least squares, with its 95 %
    interval; above 0 the best width grows with the data. ``at_edge``: sizes whose best width is the
    smallest or the largest tried, so that it may lie beyond."""

    best: tuple[BestWidth, ...]
    slope: Estimate
    at_edge: int


def is_size_study(spec: StudySpec) -> bool:
    """Whether it compares training-set sizes and widths."""
    return {SIZE, WIDTH} <= spec.compared.keys()


def grid(spec: StudySpec, results: Results) -> pd.DataFrame:
    """One row a replicate with a test error, of a study that compares sizes and widths (else no row).

    ``group`` names the other scientific hyperparameters, empty where there is none. A replicate that
    diverged counts as chance (``penalised``) and has no gap. ``gap`` is test - training error, the latter
    in eval mode on the evaluated training examples.
    """
    import pandas as pd

    arms = spec.arms() if is_size_study(spec) else ()
    rows = [row for arm in arms for row in _rows(arm, results)]
    return pd.DataFrame(rows, columns=list(CELLS)).sort_values(["group", "size", "width", "block"])


def groups(cells: pd.DataFrame) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cells["group"]))


def table(cells: pd.DataFrame, value: str = "test_error") -> pd.DataFrame:
    """Sizes down, blocks across, of one group and width: what learning_curves.fit_curve takes. Blocks that
    lack a size are left out."""
    wide = cells.pivot(index="size", columns="block", values=value).sort_index()
    return wide.dropna(axis="columns")


def means(cells: pd.DataFrame, value: str = "test_error") -> pd.DataFrame:
    """Mean over blocks, sizes down and widths across, of one group."""
    return cells.pivot_table(index="size", columns="width", values=value, aggfunc="mean").sort_index()


def ridge(cells: pd.DataFrame, draws: NDArray[np.int64]) -> Ridge | None:
    """The best width of each size in one group, over the blocks that every cell has; None where there are
    fewer than two sizes or widths, or no such block."""
    cube = _cube(cells)
    if cube is None:
        return None
    sizes, widths, errors = cube  # errors (sizes, widths, blocks)
    blocks = errors.shape[2]
    best = widths[errors.mean(axis=2).argmin(axis=1)]
    drawn = [errors[:, :, draw % blocks].mean(axis=2) for draw in draws]
    again = np.stack([widths[each.argmin(axis=1)] for each in drawn])
    slopes = [_log_slope(sizes, each) for each in again]
    ends = (widths.min(), widths.max())

    def estimate(value: float, resampled: list[float]) -> Estimate:
        return Estimate(value, *percentiles(resampled)) if blocks > 1 else Estimate(value)

    return Ridge(
        tuple(
            BestWidth(int(size), width, estimate(width, column))
            for size, width, column in zip(sizes, best.tolist(), again.T.tolist(), strict=True)
        ),
        estimate(_log_slope(sizes, best), slopes),
        int(np.isin(best, ends).sum()),
    )


def task_of(spec: StudySpec, results: Results) -> Task | None:
    """As a replicate noted it. Where an older record has no such note it is the published data set's, if the
    study is about the whole of one, and else None."""
    for each in results.values():
        noted = each.environment
        if each.config.phase == "confirm" and "test_examples" in noted:
            return Task(noted["classes"], tuple(noted["input_shape"]), noted["test_examples"])
    info = DATASETS[str(spec.arms()[0].held["dataset.name"])]
    if not info.classes or "dataset.classes" in spec.held:
        return None
    return Task(len(info.classes), info.shape, info.test_examples)


def networks(spec: StudySpec, widths: Sequence[float], task: Task) -> tuple[Network, ...]:
    """The widths' networks, narrowest first. Only all_cnn_c's layers are known; none for another model."""
    held: Mapping[str, Any] = spec.arms()[0].held
    if held.get("model.name") != "all_cnn_c":
        return ()
    activation = str(held.get("activation.name"))
    factor = 2 if activation == "crelu" else 1
    return tuple(_network(width, activation, task, factor) for width in sorted(set(widths)))


def _network(width: float, activation: str, task: Task, factor: int) -> Network:
    layers = vc.all_cnn_c_layers(width, task.classes, task.shape, factor)
    return Network(
        width,
        layers.parameters,
        vc.network_upper_bound(layers, activation, task.classes),
        vc.existential_lower_bound(layers.parameters, len(layers.weights)),
    )


def _rows(arm: Arm, results: Results) -> list[dict[str, Any]]:
    others = {key: value for key, value in arm.values.items() if key not in (SIZE, WIDTH)}
    tested = replicates(results, arm.name, TEST)
    trained = {each.config.index: each.metrics.get(TRAIN) for each in ended(results, arm.name, "confirm")}
    return [
        {
            "group": arm_name(others) if others else "",
            "size": arm.values[SIZE],
            "width": float(arm.values[WIDTH]),
            "arm": arm.name,
            "block": each.index,
            "penalised": each.penalised,
            "train_error": None if each.penalised else trained[each.index],
            "test_error": each.value,
            "gap": _gap(each.value, None if each.penalised else trained[each.index]),
        }
        for each in tested
        if each.value is not None
    ]


def _gap(test: float, train: float | None) -> float | None:
    return None if train is None else test - train


def _cube(cells: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Sizes, widths, and the test errors of the blocks that every cell has."""
    wide = cells.pivot(index=["size", "width"], columns="block", values="test_error")
    sizes, widths = (np.sort(cells[name].unique()).astype(np.float64) for name in ("size", "width"))
    whole = wide.dropna(axis="columns")
    if min(len(sizes), len(widths)) < 2 or len(wide) < len(sizes) * len(widths) or whole.empty:
        return None
    return sizes, widths, whole.sort_index().to_numpy(np.float64).reshape(len(sizes), len(widths), -1)


def _log_slope(sizes: NDArray[np.float64], widths: NDArray[np.float64]) -> float:
    slope = float(np.polynomial.polynomial.polyfit(np.log(sizes), np.log(widths), 1)[1])
    return round(slope, 12)  # equal widths have a slope of 0, not of rounding
