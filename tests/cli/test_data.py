"""`study data`: what is printed where, and what a script can read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from study.cli.data import data
from study.components.datasets.cifar import LAYOUTS
from study.errors import DataError, UnknownName
from tests.datasets.published import files_of, noise, photographs, write_folder

PYTHON = LAYOUTS["cifar10"][0]


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(data, [str(each) for each in arguments], env=environment)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A data folder with something that passes as a part of CIFAR-10."""
    write_folder(tmp_path / PYTHON.folder, files_of("cifar10", PYTHON, photographs("cifar10")))
    return tmp_path


@pytest.mark.parametrize("command", [[], ["list"], ["fetch"], ["check"]], ids=" ".join)
def test_help_ends_with_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert "study data " in result.output.split("Examples:")[1]


def test_list_says_where_each_data_set_is(part: Path) -> None:
    output = run("list", "--data-dir", part).output
    for words in ("cifar10", "50,000 + 10,000", "embedded in scikit-learn", "study data fetch cifar100"):
        assert words in " ".join(output.split())


def test_list_prints_one_json_document(part: Path) -> None:
    result = run("list", "--data-dir", part, "--json")
    entries = {entry["name"]: entry for entry in json.loads(result.stdout)}
    assert entries["cifar10"]["found"] == str(part / PYTHON.folder)
    assert entries["cifar100"]["found"] is None
    assert entries["digits"]["shape"] == [8, 8, 1]


def test_check_names_a_part_as_a_part(part: Path) -> None:
    output = run("check", "cifar10", "--data-dir", part).stdout
    assert "ok, a class-balanced part" in output
    assert "500 (50 of each class)" in output


def test_check_prints_one_json_document(part: Path) -> None:
    result = run("check", "cifar10", "--data-dir", part, "--json")
    facts = json.loads(result.stdout)
    assert facts["ok"] is True
    assert facts["part"] is True
    assert facts["images"] == {"train": 500, "test": 100}
    assert len(facts["fingerprint"]) == 64


def test_the_environment_names_the_folder(part: Path) -> None:
    assert run("check", "cifar10", STUDY_DATA_DIR=str(part)).exit_code == 0


def test_the_flag_goes_before_the_environment(part: Path, tmp_path: Path) -> None:
    result = run("check", "cifar10", "--data-dir", tmp_path / "nowhere", STUDY_DATA_DIR=str(part))
    assert isinstance(result.exception, DataError)


def test_check_of_an_embedded_data_set_needs_no_folder() -> None:
    assert "ok, whole" in run("check", "digits").stdout


def test_check_of_vectors_names_features_and_no_published_numbers(tmp_path: Path) -> None:
    x, y = np.arange(60.0).reshape(10, 6), np.arange(10) % 2
    np.savez(tmp_path / "mine.npz", train_x=x, train_y=y, test_x=x, test_y=y)
    said = run("check", "mine.npz", "--data-dir", tmp_path).stdout
    assert [line[:16].strip() for line in said.splitlines()][3:] == [
        *("shape", "train examples", "test examples", "feature mean", "feature std", "fingerprint")
    ]
    assert "6 features" in said
    assert "27 to 32" in said, "columns of means 27, 28, ..., 32"


def test_check_of_bad_data_is_an_error_and_a_json_document(tmp_path: Path) -> None:
    write_folder(tmp_path / PYTHON.folder, files_of("cifar10", PYTHON, noise("cifar10")))
    result = run("check", "cifar10", "--data-dir", tmp_path, "--json")
    assert isinstance(result.exception, DataError)
    facts = json.loads(result.stdout)
    assert facts == {"name": "cifar10", "ok": False, "error": str(result.exception)}


@pytest.mark.parametrize("command", ["check", "fetch"])
def test_an_unknown_name_is_answered_with_the_nearest(command: str) -> None:
    result = run(command, "cifar20")
    assert isinstance(result.exception, UnknownName)
    assert "did you mean cifar" in str(result.exception)


def test_fetch_leaves_what_is_there_alone(part: Path) -> None:
    result = run("fetch", "cifar10", "--data-dir", part, "--mirror", "http://127.0.0.1:9")
    assert "is there already" in result.stdout
    assert list(part.iterdir()) == [part / PYTHON.folder]


def test_fetch_of_an_embedded_data_set_says_so() -> None:
    assert "there is nothing to fetch" in run("fetch", "digits").stdout


def test_fetch_from_a_dead_server_is_one_line(tmp_path: Path) -> None:
    result = run(
        "fetch", "cifar10", "--data-dir", tmp_path, "--mirror", "http://127.0.0.1:9", NO_PROXY="127.0.0.1"
    )
    assert isinstance(result.exception, DataError)
    assert "cannot be reached" in str(result.exception)
    assert result.stdout == ""
