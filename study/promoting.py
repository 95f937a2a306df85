"""An arm's network, had by training its best replicate again, put into MLflow's registry.

No study keeps the weights of its trials. A trial's config is all that a rerun needs, and on the machine that
trained it the rerun's numbers are the record's to the last bit: that is checked before anything is logged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from study import tracking, training
from study.batches import Examples, normalise, resident
from study.components.datasets.info import LoadedData
from study.errors import RecordError, StudyError
from study.record import StudyRecord
from study.registry import nearest
from study.running import load_data
from study.trial import TrialResult

# What the signature is taken from, and how an export is tried.
EXAMPLE_ROWS = 4


class Whole(nn.Module):
    """A network that takes the data as it is and normalises it: pictures (n, h, w, c), 0 to 255, or vectors
    (n, features), float32; it answers with logits (n, classes), or numbers (n, k)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, source: Examples) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", source.mean)
        self.register_buffer("scale", source.scale)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(normalise(inputs, self.mean, self.scale))
        return outputs


@dataclass(frozen=True)
class Promoted:
    """``differences`` are the metrics that came out otherwise than the record has them: both numbers."""

    trial: str
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
    """Train the arm's best replicate again, and register its network as NAME.ARM under ``alias``.

    ``arm`` is by default the first of the ranking. StudyError where a metric comes out otherwise than it
    stands in the record, unless that is accepted.
    """
    chosen = best_replicate(record, arm)
    run_id = tracking.run_of(record, uri, chosen.config.id)
    data = load_data(record.spec, data_dir)
    again, network = retrained(chosen, data)
    differing = differences(chosen, again)
    if differing and not accept_difference:
        name, (before, now) = next(iter(differing.items()))
        raise StudyError(
            f"{chosen.config.id}: trained again, its {name} is {now} and not {before}: another machine, "
            "other versions or code of your own trained it; to register this one all the same: "
            "--accept-difference"
        )
    own = data.of_trial(chosen.config.hyperparameters, chosen.config.split_seed)
    registered = tracking.register(
        uri,
        run_id,
        whole(network, own),
        example(own),
        model=f"{record.name}.{chosen.config.arm}",
        alias=alias,
        facts=facts(record, again, exact=not differing),
    )
    return Promoted(chosen.config.id, dict(again.metrics), differing, registered)


def best_replicate(record: StudyRecord, arm: str | None) -> TrialResult:
    """The replicate that did best on validation, of the given arm or the ranking's first; the test split
    chooses nothing."""
    from study.analysis.ranking import ranking

    results = record.results()
    names = [each.name for each in record.spec.arms()]
    if arm is not None and arm not in names:
        raise RecordError(f"{record.name} has no arm {arm!r}; {nearest(arm, names)}")
    chosen = arm or ranking(record.spec, results).arms[0].arm
    metric, sign = record.spec.objective.metric, 1 if record.spec.objective.direction == "maximize" else -1
    ended = [
        each
        for each in results.values()
        if (each.config.arm, each.config.phase) == (chosen, "confirm") and metric in each.metrics
    ]
    if not ended:
        raise RecordError(
            f"{record.name}: {chosen} has no replicate that trained to its end; run the study on"
        )
    return max(ended, key=lambda each: (sign * each.metrics[metric], -each.config.index))


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
    # torch.export complains of weights that are laid out channels last.
    return again, kept[0].cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def differences(before: TrialResult, now: TrialResult) -> dict[str, tuple[float | None, float | None]]:
    names = sorted(before.metrics.keys() | now.metrics.keys())
    pairs = {name: (before.metrics.get(name), now.metrics.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def whole(network: nn.Module, data: LoadedData) -> Whole:
    source = resident(data.train_inputs[:1], data.train_targets[:1], data, torch.device("cpu"))
    return Whole(network, source).eval()


def example(data: LoadedData) -> NDArray[np.float32]:
    return data.train_inputs[:EXAMPLE_ROWS].astype(np.float32)


def facts(record: StudyRecord, result: TrialResult, *, exact: bool) -> dict[str, str]:
    """What a reader of the registry wants to know, as tags."""
    told = {name: value for name, value in sorted(result.metrics.items()) if "_decile_" not in name}
    return {
        "study": record.name,
        "digest": record.digest,
        "trial": result.config.id,
        "retrained": "to the record's numbers" if exact else "to other numbers than the record's",
        "data": str(result.environment["data"]),
        **{name: f"{value:.6g}" for name, value in told.items()},
    }
