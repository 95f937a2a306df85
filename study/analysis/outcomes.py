"""What a confirm trial counts as: its own number, or chance where it diverged or stalled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from study.claims import IN_TRAINING, LAYERWISE, MINUS
from study.spec import StudySpec
from study.trial import Phase, Status, TrialResult

Results = Mapping[str, TrialResult]
Direction = Literal["maximize", "minimize"]

# The longer ones first: each is looked for as a beginning.
SPLITS = ("train_eval_", "train_", "val_clean_", "val_", "test_clean_", "test_")

# Better when higher, among study.components.metrics.
MAXIMIZED = ("accuracy", "r2")

# How a retraining may end and be an outcome of its arm. A failed one says something about the
# machine or the code, not about the arm.
OUTCOMES: tuple[Status, ...] = ("ok", "diverged", "stalled")


@dataclass(frozen=True)
class Replicate:
    """One retraining of an arm's best configuration, by one metric.

    ``value`` is None where there is no number for it. ``penalised``: it has no number of its own,
    and ``value`` is that of chance (for a loss, that of the best constant prediction).
    """

    index: int
    status: Status
    value: float | None
    penalised: bool


def ended(results: Results, arm: str, phase: Phase) -> tuple[TrialResult, ...]:
    """The arm's results of one phase, by index."""
    mine = [result for result in results.values() if (result.config.arm, result.config.phase) == (arm, phase)]
    return tuple(sorted(mine, key=lambda result: result.config.index))


def replicates(results: Results, arm: str, metric: str) -> tuple[Replicate, ...]:
    """The arm's outcomes in the confirm phase, by index; failed trials are left out."""
    return tuple(
        _replicate(result, results, metric)
        for result in ended(results, arm, "confirm")
        if result.verdict.status in OUTCOMES
    )


def values(found: tuple[Replicate, ...]) -> dict[int, float]:
    """The numbers of replicates by their index; the index is the seed block that arms share."""
    return {each.index: each.value for each in found if each.value is not None}


def direction(spec: StudySpec, metric: str) -> Direction:
    """Which way is better: as the objective says for its own metric on every split; else those of
    MAXIMIZED are better when higher, and errors and losses when lower."""
    if quantity(metric) == quantity(spec.objective.metric):
        return spec.objective.direction
    return "maximize" if quantity(metric) in MAXIMIZED else "minimize"


def test_metric(spec: StudySpec) -> str:
    """The test metric that belongs to the objective: val_accuracy to test_accuracy, val_clean_rmse to
    test_clean_rmse."""
    return f"test_{spec.objective.metric.removeprefix('val_')}"


def quantity(metric: str) -> str:
    """What is measured, without the split it is measured on: ``test_loss`` to ``loss``. Of a difference of
    two metrics, what the first of them measures."""
    metric = metric.split(MINUS)[0]
    for split in SPLITS:
        if metric.startswith(split):
            return metric.removeprefix(split)
    return metric


def _replicate(result: TrialResult, results: Results, metric: str) -> Replicate:
    status = result.verdict.status
    # What was measured at the start holds, however the training ended.
    counts = status != "diverged" or metric in LAYERWISE
    own = finite(measured(result, metric)) if counts else None
    if own is not None or status == "ok":
        return Replicate(result.config.index, status, own, penalised=False)
    return Replicate(result.config.index, status, chance(result, results, metric), penalised=True)


def measured(result: TrialResult, metric: str) -> float | None:
    """A trial's final number: of a metric, of what its last epoch showed, or of their difference."""
    if MINUS in metric:
        return _difference(measured(result, each) for each in metric.split(MINUS, 1))
    if metric in IN_TRAINING and result.verdict.status == "ok" and result.curve:
        return result.curve[-1].get(metric)
    return result.metrics.get(metric)


def _difference(numbers: Iterable[float | None]) -> float | None:
    first, second = map(finite, numbers)
    return None if first is None or second is None else first - second


def chance(result: TrialResult, results: Results, metric: str) -> float | None:
    """The metric of a model that has learned nothing, as the trial noted it, or else another one."""
    if MINUS in metric:
        return _difference(chance(result, results, each) for each in metric.split(MINUS, 1))
    for each in (result, *results.values()):
        worst = finite(each.environment.get("worst", {}).get(quantity(metric)))
        if worst is not None:
            return worst
    return None


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
