"""MLflow's pages on a study, in a real browser: what a colleague sees who opens them.

Screenshots go into a folder of the test, or into STUDY_SCREENSHOTS.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, sync_playwright

from study import tracking
from study.report import write_report
from study.tracking.server import mlflow_server
from study.tracking.store import connect
from study.tracking.views import CLASSIC, view_page
from tests.tracking.records import new_record, write_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.xdist_group("mlflow"),
    pytest.mark.timeout(1800),
]

# The machine may be busy with trainings.
PATIENCE_MS = 240_000
WIDTH, HEIGHT = 1280, 760


@dataclass(frozen=True)
class Shown:
    """A study in a server: its address, the experiment, and the runs' ids by name."""

    address: str
    experiment: str
    runs: dict[str, str]

    def run(self, name: str, tab: str = "") -> str:
        return f"{self.address}/#/experiments/{self.experiment}/runs/{self.runs[name]}{tab}?{CLASSIC}"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("browser")
    shutil.copy(empty_database, folder / "mlflow.db")
    uri = tracking.default_tracking_uri(folder)
    record = new_record(folder)
    write_study(record, epochs=6)
    write_report(record)
    tracking.sync(record, uri)
    client = connect(uri)
    experiment = client.get_experiment_by_name(record.name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    with mlflow_server(uri, folder / "mlartifacts", 0) as server:
        runs = {
            "the study" if run.data.tags["phase"] == "study" else str(run.info.run_name): run.info.run_id
            for run in found
        }
        yield Shown(server.address, experiment.experiment_id, runs)


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Page]:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


@pytest.fixture
def look(page: Page, tmp_path: Path) -> Callable[[str, str, str], None]:
    """Opens an address, waits for a text, and keeps what is seen by then under a name."""
    folder = Path(os.environ.get("STUDY_SCREENSHOTS", tmp_path))

    def seen(address: str, text: str, name: str) -> None:
        page.goto("about:blank")
        page.goto(address)
        page.get_by_text(text).first.wait_for()
        page.wait_for_timeout(3000)
        page.screenshot(path=folder / f"{name}.png")

    return seen


Look = Callable[[str, str, str], None]


def test_the_studys_page_lists_its_trials(shown: Shown, page: Page, look: Look) -> None:
    look(view_page(shown.address, shown.experiment, "trials"), "relu/tune/0", "mlflow-trials")
    for trial in ("relu/tune/0", "relu/tune/1", "elu/tune/0", "elu/tune/1"):
        assert page.get_by_text(trial, exact=True).first.is_visible()
    assert page.get_by_text("the loss was inf at step 17").first.is_visible()
    assert page.get_by_text("relu/confirm/0", exact=True).count() == 0


def test_a_diverged_trials_page_says_why(shown: Shown, page: Page, look: Look) -> None:
    look(shown.run("elu/tune/0"), "the loss was inf at step 17", "mlflow-diverged")
    assert page.get_by_text("nonfinite_loss").first.is_visible()
    assert page.get_by_text("Finished").first.is_visible()


def test_two_arms_are_compared(shown: Shown, page: Page, look: Look) -> None:
    names = ("relu/confirm/0", "elu/confirm/0")
    runs, experiments = json.dumps([shown.runs[name] for name in names]), json.dumps([shown.experiment])
    query = f"runs={quote(runs)}&experiments={quote(experiments)}"
    look(f"{shown.address}/#/compare-runs?{query}&{CLASSIC}", names[0], "mlflow-compare")
    for text in (*names, "activation.name", "test_accuracy"):
        assert page.get_by_text(text).first.is_visible()


def test_a_figure_is_shown_inline(shown: Shown, page: Page, look: Look) -> None:
    look(shown.run("the study", "/artifacts/figures/ranking.png"), "ranking.png", "mlflow-figure")
    picture = page.locator("img[src*='ranking.png'], img[src^='blob:']").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300


def test_a_filter_by_tag_leaves_what_it_names(shown: Shown, page: Page, look: Look) -> None:
    search = quote("tags.arm = 'elu' AND tags.phase = 'tune'")
    start = f"{shown.address}/#/experiments/{shown.experiment}/runs"
    # Sorted by a metric they stand flat, and not folded away under their arm.
    order = f"orderByKey={quote('metrics.`val_accuracy`')}&orderByAsc=false"
    look(f"{start}?searchFilter={search}&{order}&{CLASSIC}", "elu/tune/0", "mlflow-filter")
    assert page.get_by_text("elu/tune/1", exact=True).first.is_visible()
    assert page.get_by_text("relu/tune/0", exact=True).count() == 0


def test_the_charts_show_the_learning_rate_against_the_objective(
    shown: Shown, page: Page, look: Look
) -> None:
    look(view_page(shown.address, shown.experiment, "trials", charts=True), "optimizer.lr", "mlflow-charts")
    assert page.locator(".js-plotly-plot, svg.main-svg").first.is_visible()
