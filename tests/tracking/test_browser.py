"""MLflow's pages on a study, in a real browser: what a colleague sees who opens them.

Screenshots go into a folder of the test, or into STUDY_SCREENSHOTS; those in the documentation are from here.
How long the pages of a large study take is printed (pytest -s).
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, sync_playwright

import study
from study import tracking
from study.components.datasets import LoadedData
from study.record import JournalWriter, StudyRecord
from study.tracking.server import mlflow_server
from study.tracking.store import connect
from study.tracking.views import CLASSIC, view_page
from study.training import train
from study.trial import Row, TrialConfig, TrialResult, Verdict
from tests.tracking.records import begin, config, new_record, run_trial

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.xdist_group("mlflow"),
    pytest.mark.timeout(1800),
]

# The machine may be busy with trainings.
PATIENCE_MS = 240_000
WIDTH, HEIGHT = 1280, 760

# The largest of these rates are too large.
STUDY_FILE = """
question = "Which activation trains a thin ALL-CNN-C better on handwritten digits?"
objective = { metric = "val_accuracy", direction = "maximize" }
scientific.activation.name = ["relu", "elu"]
nuisance.optimizer.lr = { low = 0.01, high = 30.0, log = true }

[fixed]
dataset = { name = "digits", train_size = 800, validation_size = 300 }
model = { name = "all_cnn_c", width = 0.125 }
optimizer = { name = "sgd", momentum = 0.9 }
schedule.name = "cosine"
training = { epochs = 6, batch_size = 32 }

[search]
trials_per_arm = 6
replicates = 4

[[claims]]
source = "1511.07289, section 4"
metric = "test_accuracy"
ranking = ["elu", "relu"]
"""
MANY = 1000


@dataclass(frozen=True)
class Shown:
    """A study in a server: its address, the experiment, and the runs by name."""

    address: str
    experiment: str
    runs: dict[str, Run]

    def run(self, name: str, tab: str = "") -> str:
        number = self.runs[name].info.run_id
        return f"{self.address}/#/experiments/{self.experiment}/runs/{number}{tab}?{CLASSIC}"

    @property
    def whole(self) -> str:
        """The name of the study's own run."""
        return next(name for name, run in self.runs.items() if run.data.tags["phase"] == "study")

    def ended(self, verdict: str) -> str:
        """The name of a trial that ended so."""
        return next(name for name, run in self.runs.items() if run.data.tags.get("verdict") == verdict)


def by_one(config: TrialConfig, data: LoadedData, report: Callable[[Row], None]) -> TrialResult:
    return train(config, data, report=report, threads=1)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A real study of two activations, which trains for a minute."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "digits-acts.toml").write_text(STUDY_FILE, encoding="utf-8")
    study.run(folder / "digits-acts.toml", out=folder, train=by_one)
    yield from served(StudyRecord.latest(folder, "digits-acts"), folder)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A study of a thousand trials, of which every tenth has a curve that ends in NaN."""
    folder = tmp_path_factory.mktemp("large")
    record = new_record(folder, search={"trials_per_arm": MANY // 2, "replicates": 1})
    diverged = Verdict("diverged", "nonfinite_loss", 17, 2, "the loss was nan at step 17")
    with JournalWriter(record) as journal:
        begin(journal)
        for number in range(MANY):
            trial = config(
                "relu" if number % 2 else "elu", index=number // 2, lr=10 ** (-4 + 3 * number / MANY)
            )
            blown = number % 10 == 0
            accuracy = 0.5 + 0.4 * math.exp(-((number / MANY - 0.6) ** 2) / 0.1)
            metrics = {} if blown else {"val_accuracy": accuracy, "val_loss": 2 - accuracy}
            run_trial(journal, trial, diverged if blown else None, epochs=8, metrics=metrics)
        journal.append("finished")
    tracking.sync(record, tracking.default_tracking_uri(folder))
    yield from served(record, folder)


def served(record: StudyRecord, folder: Path) -> Iterator[Shown]:
    uri = tracking.default_tracking_uri(folder)
    client = connect(uri)
    experiment = client.get_experiment_by_name(record.name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=5000)
    with mlflow_server(uri, folder / "mlartifacts", 0) as server:
        runs = {str(run.info.run_name): run for run in found}
        yield Shown(server.address, experiment.experiment_id, runs)


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Page]:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


Look = Callable[[str, str, str], float]


@pytest.fixture
def look(page: Page, tmp_path: Path) -> Look:
    """Opens an address, waits for a text, and keeps what is seen by then under a name: seconds until the text
    was there."""
    folder = Path(os.environ.get("STUDY_SCREENSHOTS", tmp_path))

    def seen(address: str, text: str, name: str) -> float:
        page.goto("about:blank")
        began = time.perf_counter()
        page.goto(address)
        page.get_by_text(text).first.wait_for()
        seconds = time.perf_counter() - began
        page.wait_for_timeout(3000)
        page.screenshot(path=folder / f"{name}.png")
        return seconds

    return seen


def test_the_trials_view_lists_the_trials_with_their_verdicts(shown: Shown, page: Page, look: Look) -> None:
    look(view_page(shown.address, shown.experiment, "trials"), "relu/tune/0", "mlflow-trials")
    for trial in ("relu/tune/0", "relu/tune/1", "elu/tune/0", "elu/tune/1"):
        assert page.get_by_text(trial, exact=True).first.is_visible()
    assert page.get_by_text("diverged", exact=True).first.is_visible()
    assert page.get_by_text("relu/confirm/0", exact=True).count() == 0


def test_a_diverged_trials_page_says_why(shown: Shown, page: Page, look: Look) -> None:
    name = shown.ended("diverged")
    tags = shown.runs[name].data.tags
    look(shown.run(name), tags["verdict.reason"], "mlflow-diverged")
    assert page.get_by_text(tags["verdict.kind"]).first.is_visible()
    assert page.get_by_text("Finished").first.is_visible()


def test_the_studys_page_links_to_the_answers(shown: Shown, page: Page, look: Look) -> None:
    look(shown.run(shown.whole), "Which activation trains a thin ALL-CNN-C better", "mlflow-study")
    assert page.locator("a[href*='viewStateShareKey=diverged']").first.is_visible()


def test_two_arms_are_compared(shown: Shown, page: Page, look: Look) -> None:
    names = ("relu/confirm/0", "elu/confirm/0")
    runs = json.dumps([shown.runs[name].info.run_id for name in names])
    query = f"runs={quote(runs)}&experiments={quote(json.dumps([shown.experiment]))}"
    look(f"{shown.address}/#/compare-runs?{query}&{CLASSIC}", names[0], "mlflow-compare")
    for text in (*names, "activation.name", "test_accuracy"):
        assert page.get_by_text(text).first.is_visible()


def test_a_figure_is_shown_inline(shown: Shown, page: Page, look: Look) -> None:
    look(shown.run(shown.whole, "/artifacts/figures/ranking.png"), "ranking.png", "mlflow-figure")
    picture = page.locator("img[src*='ranking.png'], img[src^='blob:']").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300


def test_a_filter_by_tag_leaves_what_it_names(shown: Shown, page: Page, look: Look) -> None:
    start = filtered(shown, "tags.arm = 'elu' AND tags.phase = 'tune'")
    look(start, "elu/tune/0", "mlflow-filter")
    assert page.get_by_text("elu/tune/1", exact=True).first.is_visible()
    assert page.get_by_text("relu/tune/0", exact=True).count() == 0


def test_the_charts_show_the_learning_rate_against_the_objective(
    shown: Shown, page: Page, look: Look
) -> None:
    look(view_page(shown.address, shown.experiment, "trials", charts=True), "optimizer.lr", "mlflow-charts")
    assert page.locator(".js-plotly-plot, svg.main-svg").first.is_visible()


def test_the_pages_of_a_thousand_runs_with_nan_in_their_curves_open(
    large: Shown, page: Page, look: Look
) -> None:
    some = [run.info.run_id for name, run in large.runs.items() if "/tune/" in name][:10]
    query = f"runs={quote(json.dumps(some))}&experiments={quote(json.dumps([large.experiment]))}"
    diverged = large.ended("diverged")
    pages = {
        "the trials": (view_page(large.address, large.experiment, "trials"), "matching runs"),
        "the charts": (view_page(large.address, large.experiment, "trials", charts=True), "optimizer.lr"),
        "ten compared": (f"{large.address}/#/compare-runs?{query}&{CLASSIC}", "Comparing 10 Runs"),
        "a search": (filtered(large, "tags.verdict = 'diverged'"), diverged),
        "a diverged trial": (large.run(diverged), "the loss was nan at step 17"),
    }
    for what, (address, text) in pages.items():
        seconds = look(address, text, f"mlflow-large-{what.replace(' ', '-')}")
        sys.stdout.write(f"{what}, of {MANY:,} runs: {seconds:.1f} s\n")
        assert page.get_by_text("Something went wrong").count() == 0


def filtered(shown: Shown, search: str) -> str:
    """The runs that a search finds. Sorted by a metric they stand flat, not folded away under their arm."""
    order = f"orderByKey={quote('metrics.`val_accuracy`')}&orderByAsc=false"
    start = f"{shown.address}/#/experiments/{shown.experiment}/runs"
    return f"{start}?searchFilter={quote(search)}&{order}&{CLASSIC}"
