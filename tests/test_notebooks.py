"""The notebooks: committed executed or empty, free of places, and executed again on small planted records."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from study import studyfile
from study.components.datasets import load_dataset
from study.spec import StudySpec
from study.training import train
from study.trial import TrialResult
from study.typical import example
from tests.analysis.planted import by_id, planted_record, planted_spec, simulated, size_results, size_spec
from tests.analysis.test_edge import BISECT, at_a_cliff

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
STUDIES = {
    "activations": ("cifar10-acts",),
    "data_size_and_complexity": ("cifar10-datasize", "random-labels"),
    "learning_rate_edge": ("cifar10-lr-edge",),
    "losses": ("sinc-losses", "sinc-huber", "sinc-quantiles", "hetero-intervals"),
}
# Of a demo, what makes it a matter of seconds.
SHORT = ("fixed.training.epochs=2", "search.replicates=2", "search.trials_per_arm=1")


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def small_records(root: Path, name: str) -> None:
    """Records of the notebook's studies: with planted results, or, where it trains again, real ones."""
    if name == "losses":
        for study in STUDIES[name]:
            spec = studyfile.load(study, "demo", SHORT)
            planted_record(root, spec, trained(spec))
        return
    for study in STUDIES[name]:
        planted(root, name, study)


def planted(root: Path, notebook: str, study: str) -> None:
    if notebook == "data_size_and_complexity":
        spec = size_spec(replicates=3).model_copy(update={"name": study})
        results = size_results(spec)
        planted_record(root, spec, learned_by_heart(results) if study == "random-labels" else results)
        return
    search = {"search": BISECT} if notebook == "learning_rate_edge" else {"replicates": 3, "trials": 2}
    spec = planted_spec("relu", "elu", **search).model_copy(update={"name": study})
    if notebook == "learning_rate_edge":
        probes = at_a_cliff(0.02) + at_a_cliff(0.05, arm="elu")
        planted_record(root, spec, {probe.config.id: probe for probe in probes})
        return
    planted_record(root, spec, simulated(spec, {"relu": 0.4, "elu": 0.5}))


def learned_by_heart(results: dict[str, TrialResult]) -> dict[str, TrialResult]:
    """The results as of random labels, of which the wide networks fit more."""

    def fitted(each: TrialResult) -> TrialResult:
        values = {**each.config.hyperparameters, "dataset.label_noise": 0.9}
        share = min(1.0, 2000 * float(values["model.width"]) / float(values["dataset.train_size"]))
        metrics = {**each.metrics, "train_eval_accuracy": 0.1 + 0.9 * share}
        return replace(each, config=replace(each.config, hyperparameters=values), metrics=metrics)

    return {name: fitted(each) for name, each in results.items()}


def trained(spec: StudySpec) -> dict[str, TrialResult]:
    """Every arm's replicates, really trained."""
    data = load_dataset(str(spec.held["dataset.name"]), None)
    configs = [
        replace(example(spec, arm, index, test=True), index=index)
        for arm in spec.arms()
        for index in range(spec.search.replicates)
    ]
    return by_id(train(config, data, threads=1) for config in configs)


def test_every_notebook_has_a_study() -> None:
    assert set(NAMES) == set(STUDIES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_committed_executed_whole_or_not_at_all(name: str) -> None:
    """Empty until there is a record of a whole run to show."""
    cells = code(read(name))
    outputs = [output for cell in cells for output in cell.outputs]
    if not outputs:
        assert not any(cell.execution_count for cell in cells)
        return
    assert all(cell.execution_count for cell in cells)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type in ("error", "stream")]


@pytest.mark.parametrize("name", NAMES)
def test_it_names_no_place_on_a_machine(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.findall(r"/(?:home|root|tmp|work|Users)/", text)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_a_small_record(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_records(tmp_path, name)
    monkeypatch.setenv("STUDY_HOME", str(tmp_path))
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    again = module.executed(name)
    assert all(cell.execution_count for cell in code(again))
