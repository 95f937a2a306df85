"""An arm's network in MLflow's registry: of its best replicate, whose weights were kept or are had again.

A trial's config is all that a rerun needs, and on the machine that trained it the rerun's numbers are the
record's to the last bit: that is checked before anything is logged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from torch import nn

from study import tracking, training
from study.best import (
    AGAIN,
    KEPT,
    OTHERS,
    WEIGHTS,
    best_replicate,
    facts,
    kept_network,
    log_network,
    logged,
)
from study.components.datasets.info import LoadedData
from study.errors import StudyError
from study.record import StudyRecord
from study.running import load_data
from study.trial import TrialResult


@dataclass(frozen=True)
class Promoted:
    """``weights`` says whose they are; ``differences`` are the metrics that came out otherwise than the
    record has them: both numbers."""

    trial: str
    weights: str
    metrics: dict[str, float]
    differences: dict[str, tuple[float | None, float | None]]
    registered: tracking.Registered

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def promote(
    record: StudyRecord,
    arm: str | None,
    uri: str,
    data_dir: Path | None,
    *,
    alias: str = "best",
    accept_difference: bool = False,
) -> Promoted:
    """Register the network of the arm's best replicate as NAME.ARM under ``alias``: the one that is logged
    with its run, or else of the weights that were kept, or else trained again.

    ``arm`` is by default the first of the ranking. StudyError where a metric comes out otherwise than it
    stands in the record, unless that is accepted.
    """
    chosen = best_replicate(record, arm)
    run_id = tracking.run_of(record, uri, chosen.config.id)
    model_id, weights, now = *(logged(uri, run_id) or ("", KEPT)), chosen
    if not model_id:
        data = load_data(record.spec, data_dir)
        network = kept_network(record, chosen, data)
        if network is None:
            now, network = retrained(chosen, data)
            weights = OTHERS if differences(chosen, now) else AGAIN
        if weights == OTHERS and not accept_difference:
            refuse(chosen, now)
        model_id = log_network(record, now, network, data, uri=uri, run_id=run_id, weights=weights)
    registered = tracking.register(
        uri,
        model_id,
        model=f"{record.name}.{chosen.config.arm}",
        alias=alias,
        facts={**facts(record, now), WEIGHTS: weights},
    )
    return Promoted(chosen.config.id, weights, dict(now.metrics), differences(chosen, now), registered)


def refuse(before: TrialResult, now: TrialResult) -> NoReturn:
    name, (old, new) = next(iter(differences(before, now).items()))
    raise StudyError(
        f"{before.config.id}: trained again, its {name} is {new} and not {old}: another machine, other "
        "versions or code of your own trained it; to register this one all the same: --accept-difference"
    )


def retrained(result: TrialResult, data: LoadedData) -> tuple[TrialResult, nn.Module]:
    """The trial once more, as its record says that it ran, and the network as it is judged."""
    kept: list[nn.Module] = []
    again = training.train(
        result.config,
        data,
        device=result.environment.get("device"),
        threads=result.environment.get("threads"),
        keep=kept.append,
    )
    if not kept:
        raise StudyError(
            f"{result.config.id}: trained again, it ended {again.verdict}: {again.verdict.reason}; another "
            "machine or other versions trained it"
        )
    return again, kept[0]


def differences(before: TrialResult, now: TrialResult) -> dict[str, tuple[float | None, float | None]]:
    names = sorted(before.metrics.keys() | now.metrics.keys())
    pairs = {name: (before.metrics.get(name), now.metrics.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
