"""The network of each arm's best replicate: chosen, made whole, logged in MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from study import tracking
from study.assembly import network_of
from study.batches import Examples, normalise, resident
from study.choosing import restricted
from study.components.datasets.info import LoadedData
from study.errors import RecordError, one_line
from study.record import StudyRecord
from study.registry import nearest
from study.trial import TrialResult
from study.weights import BestWeights

# What the signature is taken from, and how an export is tried.
EXAMPLE_ROWS = 4

# A model's tag, and what it says: the first two have the record's numbers.
WEIGHTS = "weights"
KEPT = "the replicate's own"
AGAIN = "trained again, to the record's numbers"
OTHERS = "trained again, to other numbers than the record's"


@dataclass(frozen=True)
class Logged:
    """What became of an arm's network: logged now, or why it was not."""

    arm: str
    trial: str = ""
    trouble: str = ""


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


def log_networks(record: StudyRecord, uri: str, data: LoadedData) -> Iterator[Logged]:
    """Log the network of each arm's best replicate with its run, as far as its weights were kept and it is
    not there yet. Nothing is raised: the study is complete without."""
    for arm in record.spec.arms():
        try:
            chosen = best_replicate(record, arm.name)
            run_id = tracking.run_of(record, uri, chosen.config.id)
            if logged(uri, run_id):
                continue
            network = kept_network(record, chosen, data)
            if network is None:
                yield Logged(arm.name, trouble="its weights were not kept")
                continue
            log_network(record, chosen, network, data, uri=uri, run_id=run_id, weights=KEPT)
            yield Logged(arm.name, chosen.config.id)
        except Exception as error:  # noqa: BLE001 what torch cannot export it says in many ways; told
            yield Logged(arm.name, trouble=one_line(str(error))[:300])


def logged(uri: str, run_id: str) -> tuple[str, str] | None:
    """The model that is logged with a replicate's run and has its numbers: its id, and whose weights it has.
    None without."""
    return tracking.logged(uri, run_id, WEIGHTS, (KEPT, AGAIN))


def log_network(
    record: StudyRecord,
    result: TrialResult,
    network: nn.Module,
    data: LoadedData,
    *,
    uri: str,
    run_id: str,
    weights: str,
) -> str:
    """Log a replicate's network, made whole, with its run; the model's id. ``weights`` says whose they are;
    it is moved to the CPU."""
    own = data.of_trial(result.config.hyperparameters, result.config.split_seed)
    told = {**facts(record, result), WEIGHTS: weights}
    # torch.export complains of weights that are laid out channels last.
    plain = network.cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return tracking.log(uri, run_id, whole(plain, own), example(own), told)


def kept_network(record: StudyRecord, result: TrialResult, data: LoadedData) -> nn.Module | None:
    """The network that a replicate's weights were kept of; None where they were not."""
    config = result.config
    own = restricted(data.of_trial(config.hyperparameters, config.split_seed), config.hyperparameters)
    network = network_of(config, own)
    return network if best_weights(record).load(result, network) else None


def best_weights(record: StudyRecord) -> BestWeights:
    """Where a record has its weights, and which they are."""
    objective = record.spec.objective
    sign = 1 if objective.direction == "maximize" else -1
    return BestWeights((record.folder / "models").resolve(), objective.metric, sign)


def best_replicate(record: StudyRecord, arm: str | None) -> TrialResult:
    """The replicate that did best on validation, of the given arm or the ranking's first; the test split
    chooses nothing."""
    from study.analysis.ranking import ranking

    results = record.results()
    names = [each.name for each in record.spec.arms()]
    if arm is not None and arm not in names:
        raise RecordError(f"{record.name} has no arm {arm!r}; {nearest(arm, names)}")
    chosen = arm or ranking(record.spec, results).arms[0].arm
    best = best_weights(record)
    ended = [
        each
        for each in results.values()
        if (each.config.arm, each.config.phase) == (chosen, "confirm") and best.metric in each.metrics
    ]
    if not ended:
        raise RecordError(
            f"{record.name}: {chosen} has no replicate that trained to its end; run the study on"
        )
    return max(ended, key=lambda each: (best.sign * each.metrics[best.metric], -each.config.index))


def whole(network: nn.Module, data: LoadedData) -> Whole:
    source = resident(data.train_inputs[:1], data.train_targets[:1], data, torch.device("cpu"))
    return Whole(network, source).eval()


def example(data: LoadedData) -> NDArray[np.float32]:
    return data.train_inputs[:EXAMPLE_ROWS].astype(np.float32)


def facts(record: StudyRecord, result: TrialResult) -> dict[str, str]:
    """What a reader of a model wants to know, as tags."""
    told = {name: value for name, value in sorted(result.metrics.items()) if "_decile_" not in name}
    return {
        "study": record.name,
        "digest": record.digest,
        "trial": result.config.id,
        "data": str(result.environment["data"]),
        **{name: f"{value:.6g}" for name, value in told.items()},
    }
