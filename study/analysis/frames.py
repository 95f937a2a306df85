"""Results as pandas tables: one row a trial, or one row an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.analysis.outcomes import Results
from study.trial import TrialResult

if TYPE_CHECKING:
    import pandas as pd

# The columns that are there even for a record without results.
TRIAL = ("trial", "study", "arm", "phase", "index", "seed", "split_seed")
ENDING = (
    "status",
    "kind",
    "step",
    "epoch",
    "reason",
    "seconds",
    "gradient_evaluations",
    "device",
    "device_name",
)
CURVE = (*TRIAL, "epoch")


def trials(results: Results) -> pd.DataFrame:
    """One row a trial: who it was, how it ended, what it cost, its final metrics (``val_accuracy``,
    ...), its hyperparameters (``optimizer.lr``, ...) and what was measured of the trained network
    (``complexity.sharpness``, ...). What a trial does not have is NaN."""
    return _frame([_trial_row(result) for result in results.values()], (*TRIAL, *ENDING))


def curves(results: Results) -> pd.DataFrame:
    """One row an epoch that a trial finished, with the epoch's numbers; non-finite ones are NaN."""
    rows = [{**_identity(result), **row} for result in results.values() for row in result.curve]
    return _frame(rows, CURVE)


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    extra = dict.fromkeys(key for row in rows for key in row if key not in columns)
    return pd.DataFrame(rows, columns=[*columns, *extra])


def _identity(result: TrialResult) -> dict[str, Any]:
    config = result.config
    return {
        "trial": config.id,
        "study": config.study,
        "arm": config.arm,
        "phase": config.phase,
        "index": config.index,
        "seed": config.seed,
        "split_seed": config.split_seed,
    }


def _trial_row(result: TrialResult) -> dict[str, Any]:
    verdict = result.verdict
    return {
        **_identity(result),
        "status": verdict.status,
        "kind": verdict.kind,
        "step": verdict.step,
        "epoch": verdict.epoch,
        "reason": verdict.reason,
        "seconds": result.seconds,
        "gradient_evaluations": result.gradient_evaluations,
        "device": result.environment.get("device"),
        "device_name": result.environment.get("device_name"),
        **result.metrics,
        **result.config.hyperparameters,
        **{f"complexity.{name}": value for name, value in result.environment.get("complexity", {}).items()},
    }
