"""The documentation is built without a warning: pages, links and anchors hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.docs.snippets import PAGES, ROOT

BUILD = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Of a copy in ``folder``, so that the checkout stays as it is."""
    shutil.copytree(ROOT / "docs", folder / "docs", dirs_exist_ok=True)
    shutil.copy(ROOT / "zensical.toml", folder)
    return subprocess.run(BUILD, cwd=folder, capture_output=True, text=True, timeout=240, check=False)


def test_the_build_is_clean_in_strict_mode_and_a_broken_link_would_fail_it(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "tutorial" / "index.html").is_file()
    with (tmp_path / "docs" / "index.md").open("a", encoding="utf-8") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    broken = subprocess.run(BUILD, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert broken.returncode != 0
    assert "page does not exist" in broken.stdout + broken.stderr


def test_every_page_stands_in_the_navigation_once() -> None:
    text = (ROOT / "zensical.toml").read_text("utf-8")
    named = re.findall(r'"([\w/-]+\.md)"', text)
    assert tomllib.loads(text)["project"]["docs_dir"] == "docs"
    assert sorted(named) == sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES)
