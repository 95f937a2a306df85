"""An arm's network in MLflow's registry: trained again to the record's numbers, loadable without pickle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import study
from study import promoting
from study.best import best_replicate
from study.cli import run
from study.components.datasets import load_dataset
from study.components.datasets.info import LoadedData
from study.errors import RecordError, StudyError, TrackingError
from study.tracking import default_tracking_uri, differences
from study.tracking.models import current_store
from tests.good_study import GOOD

SMALL = (
    'scientific.arms=["relu+bn", "elu"]',
    "fixed.training.epochs=2",
    "fixed.training.precision=fp32",  # as the exported network answers
    "search.trials_per_arm=1",
    "search.replicates=2",
    "fixed.dataset.train_size=100",
    "fixed.dataset.validation_size=100",
)


def train(config: study.TrialConfig, data: LoadedData, report: Any) -> study.TrialResult:
    return study.train(config, data, report=report, threads=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study's records and store; its trials ran in this process."""
    folder = tmp_path_factory.mktemp("promoting")
    (folder / "mine.toml").write_text(GOOD, encoding="utf-8")
    study.run(folder / "mine.toml", overrides=SMALL, out=folder / "runs", train=train)
    return folder / "runs"


@pytest.fixture(scope="module")
def promoted(root: Path) -> dict[str, Any]:
    """What the command says of the ranking's first arm."""
    record = study.latest("mine", out=root)
    done = promoting.promote(record.stored, None, default_tracking_uri(root), None)
    return {**done.to_json(), "arm": record.ranking().arms[0].arm}


def test_it_is_the_best_replicate_by_validation_of_the_rankings_first_arm(
    root: Path, promoted: dict[str, Any]
) -> None:
    results = study.latest("mine", out=root).results()
    scores = [
        each.metrics["val_accuracy"]
        for each in results.values()
        if (each.config.arm, each.config.phase) == (promoted["arm"], "confirm")
    ]
    assert results[promoted["trial"]].metrics["val_accuracy"] == max(scores)
    assert promoted["differences"] == {}
    assert promoted["metrics"] == dict(results[promoted["trial"]].metrics)


def test_it_is_loaded_by_its_alias_and_scores_what_the_record_says(
    root: Path, promoted: dict[str, Any]
) -> None:
    with current_store(default_tracking_uri(root)):
        network = mlflow.pytorch.load_model(promoted["registered"]["address"])
    digits = load_dataset("digits", None)
    with torch.inference_mode():
        answers = network(torch.from_numpy(digits.test_inputs.astype(np.float32))).argmax(1).numpy()
    right = float((answers == digits.test_targets).mean())
    assert right == pytest.approx(promoted["metrics"]["test_accuracy"], abs=1e-6)


def test_nothing_that_is_logged_is_a_pickle(root: Path, promoted: dict[str, Any], tmp_path: Path) -> None:
    with current_store(default_tracking_uri(root)):
        folder = Path(
            mlflow.artifacts.download_artifacts(promoted["registered"]["address"], dst_path=str(tmp_path))
        )
    names = {path.name for path in folder.rglob("*")}
    assert "model.pt2" in names
    assert not {name for name in names if name.endswith((".pth", ".pkl"))}
    assert {"MLmodel", "input_example.json"} <= names
    assert "signature" in (folder / "MLmodel").read_text("utf-8")


def test_the_version_says_what_it_is(root: Path, promoted: dict[str, Any]) -> None:
    client = MlflowClient(default_tracking_uri(root))
    version = client.get_model_version_by_alias(f"mine.{promoted['arm']}", "best")
    assert version.tags["trial"] == promoted["trial"]
    assert version.tags["weights"] == promoted["weights"] == "trained again, to the record's numbers"
    assert version.tags["test_accuracy"] == f"{promoted['metrics']['test_accuracy']:.6g}"


def test_a_second_version_is_of_the_same_network_and_says_the_same(
    root: Path, promoted: dict[str, Any]
) -> None:
    record = study.latest("mine", out=root).stored
    again = promoting.promote(record, promoted["arm"], default_tracking_uri(root), None, alias="again")
    assert again.weights == promoted["weights"]
    client = MlflowClient(default_tracking_uri(root))
    versions = [
        client.get_model_version_by_alias(f"mine.{promoted['arm']}", name) for name in ("best", "again")
    ]
    assert len({each.model_id for each in versions}) == 1


def test_the_runs_stay_what_the_record_says(root: Path, promoted: dict[str, Any]) -> None:
    record = study.latest("mine", out=root).stored
    assert promoted["registered"]["version"] == "1"
    assert list((root / "mlartifacts" / "mine").rglob("model.pt2"))
    assert not (Path.cwd() / "mlruns").exists()
    assert differences(record, default_tracking_uri(root)) == []


def test_numbers_that_are_not_the_records_are_refused(root: Path) -> None:
    result = best_replicate(study.latest("mine", out=root).stored, "elu")
    other = replace(result, metrics={**result.metrics, "val_accuracy": 0.123})
    assert promoting.differences(other, result) == {"val_accuracy": (0.123, result.metrics["val_accuracy"])}
    assert promoting.differences(result, result) == {}


def test_a_record_trained_by_other_code_is_not_promoted(tmp_path: Path) -> None:
    """Its networks are not those of its study file."""
    (tmp_path / "mine.toml").write_text(GOOD, encoding="utf-8")

    def flattered(config: study.TrialConfig, data: LoadedData, report: Any) -> study.TrialResult:
        result = train(config, data, report)
        return replace(result, metrics={name: value * 0.99 for name, value in result.metrics.items()})

    record = study.run(tmp_path / "mine.toml", overrides=SMALL, out=tmp_path / "runs", train=flattered)
    uri = default_tracking_uri(tmp_path / "runs")
    with pytest.raises(StudyError, match=r"trained again, its .* is .* and not .*--accept-difference"):
        promoting.promote(record.stored, "elu", uri, None)
    done = promoting.promote(record.stored, "elu", uri, None, alias="tried", accept_difference=True)
    assert "val_accuracy" in done.differences
    tags = MlflowClient(uri).get_model_version_by_alias("mine.elu", "tried").tags
    assert tags["weights"] == "trained again, to other numbers than the record's"
    with pytest.raises(StudyError, match="--accept-difference"):
        promoting.promote(record.stored, "elu", uri, None)  # what was accepted once stands in for nothing


def test_an_arm_that_there_is_not_names_the_nearest(root: Path) -> None:
    record = study.latest("mine", out=root).stored
    with pytest.raises(RecordError, match="no arm 'eluu'; did you mean elu"):
        best_replicate(record, "eluu")


def test_a_store_without_the_trials_run_is_told_how_it_comes_there(root: Path, tmp_path: Path) -> None:
    record = study.latest("mine", out=root).stored
    with pytest.raises(TrackingError, match="study sync mine"):
        promoting.promote(record, "elu", default_tracking_uri(tmp_path), None)


def test_the_command_says_how_to_load_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["promote", "mine", "elu", "--alias", "first", "--out", str(root), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["registered"]["address"] == "models:/mine.elu@first"
