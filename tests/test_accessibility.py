"""The report in a browser: axe-core's rules, in light and dark, on a wide screen and on a phone's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from study.report import write_report
from tests.analysis.planted import planted_record, planted_spec
from tests.analysis.test_edge import BISECT, at_a_cliff
from tests.test_report import whole

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

UNFOLD = "document.querySelectorAll('details').forEach(each => { each.open = true })"
OVERHANG = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Page]:
    """A tab of a browser. Reports forbid scripts by their own policy, so axe's is let through."""
    with sync_playwright() as playwright:
        # Containers run as root, under which Chromium has no sandbox.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_context(bypass_csp=True).new_page()
        browser.close()


@pytest.fixture(scope="module")
def ranked(page: Page, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The report of a whole study is open, with everything on it unfolded."""
    unfold(page, write_report(whole(tmp_path_factory.mktemp("runs"))).html)


def unfold(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.evaluate(UNFOLD)


@pytest.mark.usefixtures("ranked")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_report_breaks_no_rule_of_accessibility(
    page: Page, scheme: Literal["light", "dark"], width: int
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()
    assert page.evaluate(OVERHANG) == 0


def test_nor_does_the_report_of_a_bisection(page: Page, tmp_path: Path) -> None:
    spec = planted_spec("relu", "elu", search=BISECT)
    probes = at_a_cliff(0.02) + at_a_cliff(0.05, arm="elu")
    record = planted_record(tmp_path, spec, {probe.config.id: probe for probe in probes})
    unfold(page, write_report(record).html)
    found = Axe().run(page)
    assert not found.violations_count, found.generate_report()


def test_axe_finds_what_is_wrong(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text("<!doctype html><title>t</title><img src='data:,'>", encoding="utf-8")
    page.goto(broken.as_uri())
    found = {each["id"] for each in Axe().run(page).response["violations"]}
    assert {"html-has-lang", "image-alt"} <= found
