"""What a submission is called, and the command that is run for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from study.record import JournalWriter, StudyRecord
from study.submission.order import Job, base_id, is_of, numbered, shell
from tests.good_study import GOOD, spec_of
from tests.submission.orders import DIGEST, an_order, ray_target


def test_the_same_study_has_the_same_id() -> None:
    assert an_order().base_id == an_order(max_concurrent=3).base_id == f"study-mine-{DIGEST}"


def test_two_people_s_studies_of_one_name_have_ids_and_records_of_their_own(tmp_path: Path) -> None:
    """They run at once, under the same OUT; tests/tracking says that their runs in MLflow do not mix."""
    anns, bobs = spec_of(), spec_of(GOOD, "search.replicates=5")
    ids = [an_order(spec=spec).base_id for spec in (anns, bobs)]
    records = [StudyRecord.create(tmp_path, spec) for spec in (anns, bobs)]
    with JournalWriter(records[0]), JournalWriter(records[1]):
        assert {record.folder.parent for record in records} == {tmp_path / "mine"}
    assert ids == [f"study-mine-{record.digest}" for record in records]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("number", [1, 2, 10])
def test_a_job_s_number_is_in_its_id(number: int) -> None:
    assert Job(numbered(base_id("mine", DIGEST), number), "running").number == number


@pytest.mark.parametrize(
    ("name", "digest", "belongs"),
    [
        ("mine", DIGEST, True),
        ("mine", DIGEST[:4], True),
        ("mine", "", True),
        ("min", "", False),
        ("mine", "000000000000", False),
        ("ine", "", False),
    ],
)
@pytest.mark.parametrize("number", [1, 7])
def test_a_job_is_told_by_its_study(name: str, digest: str, belongs: bool, number: int) -> None:
    assert is_of(numbered(base_id("mine", DIGEST), number), name, digest) is belongs


def test_a_study_whose_name_looks_like_another_s_job_is_not_that_one() -> None:
    odd = base_id(f"mine-{DIGEST}-2", DIGEST)
    assert not is_of(odd, "mine", "")
    assert is_of(odd, f"mine-{DIGEST}-2", "")


def test_others_jobs_are_nobody_s() -> None:
    assert not is_of("raysubmit_1234", "mine", "")


def test_the_command_says_where_things_are_there() -> None:
    order = an_order(data_dir="/shared/data", tracking_uri="http://mlflow:5000", max_concurrent=4)
    assert order.command(ray_target(python="/venv/bin/python"), "./mine.toml") == [
        *("/venv/bin/python", "-m", "study", "run", "./mine.toml", "--out", "/shared/runs"),
        *("--address", "auto", "--data-dir", "/shared/data"),
        *("--tracking-uri", "http://mlflow:5000", "--max-concurrent", "4"),
    ]


@pytest.mark.parametrize("word", ["plain", "two words", "$(touch canary)", "`touch canary`", "a'b", "a;b"])
def test_words_reach_the_command_as_they_are(word: str, tmp_path: Path) -> None:
    line = shell(["printf", "%s", word], None)
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == word
    assert list(tmp_path.iterdir()) == []


def test_secrets_are_read_where_the_command_runs(tmp_path: Path) -> None:
    secrets = tmp_path / "my secrets.env"
    secrets.write_text("MLFLOW_TRACKING_PASSWORD=hunter2\n")
    line = shell(["printenv", "MLFLOW_TRACKING_PASSWORD"], str(secrets))
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "hunter2\n"
    assert "hunter2" not in line


def test_without_its_secrets_a_study_does_not_start(tmp_path: Path) -> None:
    line = shell(["printf", "started"], str(tmp_path / "absent.env"))
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
