"""What a study ran on, as it is recorded."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import study
from study.environment import PACKAGES, cpu_name, environment, git_state


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git repository with one commit."""
    (tmp_path / "code.py").write_text("one\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_the_environment_is_plain_json() -> None:
    facts = environment()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_the_environment_names_versions_and_hardware() -> None:
    facts = environment()
    assert facts["study"] == study.__version__
    assert set(facts["packages"]) == set(PACKAGES)
    assert facts["packages"]["numpy"]
    assert facts["cores"] >= 1
    assert facts["memory_gb"] > 0


def test_a_clean_checkout_is_known_by_its_commit(checkout: Path) -> None:
    state = git_state(checkout)
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["dirty"] is False


def test_a_changed_checkout_is_dirty(checkout: Path) -> None:
    (checkout / "code.py").write_text("two\n")
    assert (git_state(checkout) or {})["dirty"] is True


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None


def test_an_installed_package_is_not_the_repository_around_it(checkout: Path) -> None:
    installed = checkout / "venv" / "site-packages" / "study"
    installed.mkdir(parents=True)
    assert git_state(installed) is None


def test_the_processor_has_a_name() -> None:
    assert cpu_name()
