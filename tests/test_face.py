"""The Python API: what `import study` offers, a study run from Python, and code of one's own in it."""

from __future__ import annotations

import ast
import importlib
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import study
from study.components.datasets import LoadedData, load_dataset
from study.errors import RecordError, StudyError, StudyFileError, UnknownName
from study.trial import Row
from tests.good_study import GOOD

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
FACTORY = Callable[[study.TrialConfig], nn.Module]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> study.Record:
    """The study of the examples, run with the example's own loop."""
    out = tmp_path_factory.mktemp("runs")
    record: study.Record = runpy.run_path(str(EXAMPLES / "own_loop.py"))["main"](str(out))
    return record


def perceptron(config: study.TrialConfig) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def train(**changes: Any) -> study.TrialResult:
    """One epoch of the good study's first arm on a hundred digits, with code of one's own."""
    path = ROOT / "search_spaces" / "cifar10-acts.toml"
    small = {"dataset.train_size": 100, "dataset.validation_size": 100, "training.epochs": 1}
    config = study.config(path, "relu", profile="demo", seed=changes.pop("seed", 0))
    config = study.TrialConfig(**{**config.to_json(), "hyperparameters": {**config.hyperparameters, **small}})
    return study.train(config, threads=1, **changes)


# -- the face -----------------------------------------------------------------------------------------


def test_what_is_offered_is_sorted_and_there() -> None:
    assert study.__all__ == sorted(study.__all__)
    assert set(study.__all__) == set(study.HOMES)
    for name in study.__all__:
        assert getattr(study, name) is getattr(importlib.import_module(f"study.{study.HOMES[name]}"), name)
    assert set(study.__all__) <= set(dir(study))


def test_the_stub_has_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse((ROOT / "study" / "__init__.pyi").read_text("utf-8"))
    homes = {
        alias.name: str(node.module).removeprefix("study.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == study.HOMES


def test_no_name_of_the_face_is_that_of_a_module() -> None:
    """Importing a module sets it as an attribute of the package: one of the two would hide the other."""
    modules = {path.stem for path in (ROOT / "study").iterdir() if path.suffix in ("", ".py")}
    assert not modules & set(study.__all__)


def test_what_is_light_loads_nothing_heavy() -> None:
    code = "import sys, study; study.StudyError, study.Verdict, study.TrialConfig; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"torch", "ray", "mlflow", "optuna", "pandas"} & set(done.stdout.split())


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'study' has no attribute 'runn'"):
        _ = study.runn  # type: ignore[attr-defined]


# -- reading a study ----------------------------------------------------------------------------------


def test_a_study_is_loaded_with_profile_and_overrides_and_checked(file: Path) -> None:
    spec = study.load(file, profile="small", overrides=["search.replicates=2"])
    assert (spec.held["training.epochs"], spec.search.replicates) == (1, 2)
    assert study.load(spec) is spec
    with pytest.raises(StudyFileError, match=r"\(--set fixed.model.widht=1\).*did you mean width"):
        study.load(file, overrides=["fixed.model.widht=1"])
    with pytest.raises(StudyFileError, match="is resolved already"):
        study.load(spec, profile="small")


def test_a_config_is_that_of_an_arm_in_the_middle_of_its_ranges(file: Path) -> None:
    config = study.config(file, "elu", seed=3, hyperparameters={"optimizer.weight_decay": 0.001})
    assert (config.arm, config.seed, config.phase) == ("elu", 3, "tune")
    assert config.hyperparameters["optimizer.lr"] == pytest.approx(10**-2.5)
    assert config.hyperparameters["optimizer.weight_decay"] == 0.001
    with pytest.raises(UnknownName, match="no arm 'eluu'; did you mean elu"):
        study.config(file, "eluu")
    with pytest.raises(UnknownName, match=r"'optimizer.lrr'; did you mean optimizer.lr"):
        study.config(file, hyperparameters={"optimizer.lrr": 0.1})


# -- code of one's own --------------------------------------------------------------------------------


def test_a_model_of_ones_own_is_trained_as_the_config_says() -> None:
    result = train(model=perceptron)
    assert result.verdict.status == "ok"
    assert result.gradient_evaluations == 4
    assert {"val_accuracy", "val_loss"} <= result.metrics.keys()


def test_equal_seeds_give_equal_weights_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (train(model=perceptron, seed=seed) for seed in (1, 1, 2))
    assert first.metrics == again.metrics
    assert first.metrics != other.metrics
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_is_copied() -> None:
    model = perceptron(study.config("cifar10-acts"))
    before = [each.clone() for each in model.parameters()]
    train(model=model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_step_of_ones_own_makes_the_loss() -> None:
    def step(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(images)
        return functional.cross_entropy(logits, labels), logits

    assert train(model=perceptron, step=step).metrics == train(model=perceptron).metrics


def test_a_step_that_blows_up_has_a_verdict() -> None:
    def step(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(images)
        return logits.square().sum() * float("inf"), logits

    verdict = train(model=perceptron, step=step).verdict
    assert (verdict.status, verdict.step) == ("diverged", 0)


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (lambda config: nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), r"with \(2, 10\), not \(2, 7\)"),
        (lambda config: nn.Flatten(), r"not \(2, 64\)"),
        (lambda config: "a network", "must return a torch.nn.Module, not str"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model: FACTORY, complaint: str) -> None:
    with pytest.raises(StudyError, match=complaint):
        train(model=model)


# -- a study from Python ------------------------------------------------------------------------------


def test_a_loop_of_ones_own_keeps_arms_seeds_and_the_record(ran: study.Record) -> None:
    assert ran.finished
    results = ran.results()
    assert len(results) == 2 * (3 + 3)
    for index in range(3):
        seeds = {results[f"{arm}/confirm/{index}"].config.seed for arm in ("relu", "elu")}
        assert len(seeds) == 1
    assert results["relu/tune/0"].config.seed != results["relu/tune/1"].config.seed
    assert all(len(result.curve) == 3 for result in results.values() if result.verdict.status == "ok")


def test_a_record_has_ranking_tables_and_report(ran: study.Record) -> None:
    ranking = ran.ranking()
    assert {arm.arm for arm in ranking.arms} == {"relu", "elu"}
    assert [arm.n for arm in ranking.arms] == [3, 3]
    assert ran.ranking("val_accuracy").metric == "val_accuracy"
    assert ran.claims() == ()
    assert len(ran.trials()) == 12
    assert set(ran.curves()["epoch"]) == {1, 2, 3}
    assert ran.report().html.is_file()
    assert ran.summary()["digest"] == ran.digest
    assert "mean ± 95 %" in str(ran)


def test_a_finished_study_is_not_run_again(ran: study.Record) -> None:
    def never(
        config: study.TrialConfig, data: LoadedData, report: Callable[[Row], None]
    ) -> study.TrialResult:
        raise AssertionError("nothing is missing")

    again = study.run(EXAMPLES / "digits.toml", out=ran.folder.parents[1], train=never)
    assert again.folder == ran.folder
    assert again.results() == ran.results()


def test_fresh_starts_over_in_a_new_folder(file: Path, tmp_path: Path) -> None:
    def quick(
        config: study.TrialConfig, data: LoadedData, report: Callable[[Row], None]
    ) -> study.TrialResult:
        metrics = {"val_accuracy": 0.5, "test_accuracy": 0.5}
        return study.TrialResult(config, study.Verdict("ok"), metrics=metrics)

    few = ("search.trials_per_arm=1", "search.replicates=1")
    first, same, other = (
        study.run(file, overrides=few, out=tmp_path / "runs", train=quick, fresh=fresh)
        for fresh in (False, False, True)
    )
    assert same.folder == first.folder
    assert other.folder.name == f"{first.folder.name}-2"
    assert other.finished


def test_the_newest_record_is_found_by_name(ran: study.Record) -> None:
    root = ran.folder.parents[1]
    assert study.latest("digits", out=root).folder == ran.folder
    with pytest.raises(RecordError, match="did you mean digits"):
        study.latest("digit", out=root)


# -- the examples -------------------------------------------------------------------------------------


def test_the_monitor_alone_tells_a_training_that_blows_up() -> None:
    example = runpy.run_path(str(EXAMPLES / "monitor.py"))["train"]
    assert example(0.1).startswith("ok: loss 0.0")
    assert example(100.0).startswith("diverged(explosion): loss")


def test_the_example_of_an_own_model_trains() -> None:
    example = runpy.run_path(str(EXAMPLES / "own_model.py"))["train"]
    config = study.config(EXAMPLES / "digits.toml", "elu")
    rows: list[Row] = []
    result = example(config, load_dataset("digits", None), rows.append)
    assert result.verdict.status == "ok"
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert result.metrics["val_accuracy"] > 0.5
