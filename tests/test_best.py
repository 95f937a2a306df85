"""The weights of each arm's best replicate: kept with the record, logged in MLflow, promoted as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlflow.pytorch
import numpy as np
import pytest
import torch
from torch import nn

from study.best import KEPT, best_replicate, best_weights, log_networks
from study.components.datasets import load_dataset
from study.errors import RecordError
from study.promoting import promote
from study.record import StudyRecord
from study.tracking import default_tracking_uri, differences, sync
from study.tracking.models import current_store
from study.trial import TrialConfig, TrialResult, Verdict
from study.weights import BestWeights
from tests.faults.toy import TRAINED, a_study, run_trained

STUDY = {
    **TRAINED,
    "fixed": {
        **TRAINED["fixed"],
        # As the exported network answers.
        "training": {**TRAINED["fixed"]["training"], "precision": "fp32", "ema": 0.5},
    },
    "resources": {"models": True},
}


def replicate(index: int, score: float, arm: str = "elu") -> TrialResult:
    config = TrialConfig("toy", arm, "confirm", index, {}, index, index)
    return TrialResult(config, Verdict("ok"), metrics={"val_loss": score})


def network(weight: float) -> nn.Module:
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, weight)
    return layer


def kept_of(scores: list[float], sign: int, folder: Path) -> list[str]:
    best = BestWeights(folder, "val_loss", sign)
    for index, score in enumerate(scores):
        best.keep(replicate(index, score), network(index))
    return sorted(path.name for path in (folder / "elu").iterdir())


@pytest.mark.parametrize(
    ("scores", "sign", "index"),
    [
        ([0.1, 0.3, 0.2], 1, 1),
        ([0.1, 0.3, 0.2], -1, 0),
        ([0.3, 0.3, 0.2], 1, 0),
        ([0.2, 0.3, 0.3], 1, 1),
        ([-1e-300, -1.0, -2.0], 1, 0),
    ],
)
def test_an_arms_best_weights_stay_and_of_equals_the_first(
    scores: list[float], sign: int, index: int, tmp_path: Path
) -> None:
    assert kept_of(scores, sign, tmp_path) == [f"{index}.safetensors"]
    found = network(-1.0)
    assert BestWeights(tmp_path, "val_loss", sign).load(replicate(index, scores[index]), found)
    assert torch.equal(found.state_dict()["weight"], torch.full((1, 2), float(index)))


def test_arms_do_not_touch_each_others(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, "val_loss", 1)
    best.keep(replicate(0, 0.1, "elu"), network(0))
    best.keep(replicate(0, 0.9, "elu+bn"), network(1))
    assert best.path(replicate(0, 0.1, "elu")).is_file()


def test_a_replicate_without_the_number_keeps_none(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, "val_accuracy", 1)
    best.keep(replicate(0, 0.1), network(0))
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_training_are_not_taken(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, "val_loss", 1)
    best.keep(replicate(0, 0.1), network(0))
    assert not best.load(replicate(0, 0.2), network(1))
    assert not best.load(replicate(1, 0.1), network(1))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(b"torn"), "holds no weights"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "holds no weights"),
    ],
)
def test_a_damaged_file_says_what_to_do(spoil: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    best = BestWeights(tmp_path, "val_loss", 1)
    best.keep(replicate(0, 0.1), network(0))
    spoil(best.path(replicate(0, 0.1)))
    with pytest.raises(RecordError, match=f"0.safetensors: {says}.*; remove it"):
        best.load(replicate(0, 0.1), network(1))


def test_weights_of_another_shape_say_what_to_do(tmp_path: Path) -> None:
    best = BestWeights(tmp_path, "val_loss", 1)
    best.keep(replicate(0, 0.1), network(0))
    with pytest.raises(RecordError, match=r"does not fit its network .*remove it"):
        best.load(replicate(0, 0.1), nn.Linear(3, 1))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    """A finished study that kept weights, in MLflow, where its networks are logged."""
    root, digits = tmp_path_factory.mktemp("best"), load_dataset("digits", None)
    done = run_trained(root, a_study(STUDY), digits)
    uri = default_tracking_uri(root)
    sync(done, uri)
    logged = list(log_networks(done, uri, digits))
    assert [(each.arm, each.trouble) for each in logged] == [("relu", ""), ("elu", "")]
    assert [each.trial for each in logged] == [best_replicate(done, arm).config.id for arm in ("relu", "elu")]
    return done


def uri_of(record: StudyRecord) -> str:
    return default_tracking_uri(record.folder.parent.parent)


def test_of_each_arm_the_best_replicates_weights_are_there(record: StudyRecord) -> None:
    expected = {best_weights(record).path(best_replicate(record, arm)) for arm in ("relu", "elu")}
    assert set((record.folder / "models").rglob("*.*")) == expected


def test_a_second_time_nothing_is_logged_and_the_runs_stay_as_they_were(record: StudyRecord) -> None:
    assert list(log_networks(record, uri_of(record), load_dataset("digits", None))) == []
    assert differences(record, uri_of(record)) == []


def test_what_is_promoted_are_the_replicates_own_weights(record: StudyRecord) -> None:
    """Without its data, for nothing is trained; they score what the record says, on the average."""
    done = promote(record, "elu", uri_of(record), None)
    assert (done.weights, done.differences) == (KEPT, {})
    with current_store(uri_of(record)):
        found = mlflow.pytorch.load_model(done.registered.address)
    digits = load_dataset("digits", None)
    with torch.inference_mode():
        answers = found(torch.from_numpy(digits.test_inputs.astype(np.float32))).argmax(1).numpy()
    right = float((answers == digits.test_targets).mean())
    assert right == pytest.approx(done.metrics["test_accuracy"], abs=1e-6)


def test_where_no_weights_were_kept_it_says_so(record: StudyRecord, tmp_path: Path) -> None:
    digits = load_dataset("digits", None)
    other = run_trained(tmp_path, a_study({**STUDY, "resources": {}}), digits)
    assert not (other.folder / "models").exists()
    sync(other, uri_of(other))
    told = [each.trouble for each in log_networks(other, uri_of(other), digits)]
    assert told == ["its weights were not kept"] * 2


def test_what_cannot_be_logged_is_told_and_stops_nothing(record: StudyRecord, tmp_path: Path) -> None:
    told = list(log_networks(record, default_tracking_uri(tmp_path), load_dataset("digits", None)))
    assert [each.arm for each in told] == ["relu", "elu"]
    assert all("study sync toy" in each.trouble for each in told)
