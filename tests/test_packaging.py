"""The wheel: what is in it, and that it works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel, built from this checkout, unpacks to."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = folder.glob("study_service-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_module(installed: Path) -> None:
    ours = {path.relative_to(ROOT) for path in (ROOT / "study").rglob("*.py")}
    assert ours == {path.relative_to(installed) for path in installed.rglob("*.py")}


def test_the_wheel_says_that_it_is_typed(installed: Path) -> None:
    assert (installed / "study" / "py.typed").is_file()


@pytest.mark.parametrize("folder", ["search_spaces", "cluster"])
def test_the_wheel_holds_every_bundled_file(installed: Path, folder: str) -> None:
    ours = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
    bundled = installed / "study" / "_bundled"
    assert ours == {path.relative_to(bundled) for path in (bundled / folder).rglob("*") if path.is_file()}


def test_the_wheel_installs_the_study_command(installed: Path) -> None:
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "study = study.__main__:main" in entry_points.read_text(encoding="utf-8")


def test_the_installed_package_finds_its_studies(installed: Path, tmp_path: Path) -> None:
    code = "from study import studyfile; print(studyfile.__file__, *studyfile.bundled_names())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    where, *names = done.stdout.split()
    assert Path(where).is_relative_to(installed)
    assert "cifar10-acts" in names
