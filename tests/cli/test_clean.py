"""`study clean`: shown first, then removed; what is not ours, or is running, stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study.record import JournalWriter, StudyRecord
from study.report import write_report
from study.trial import TrialResult
from tests.analysis.planted import by_id, planted_record, planted_spec, scores, trial
from tests.cli.conftest import Command, assert_one_line


def planted(root: Path, *arms: str) -> StudyRecord:
    record = planted_record(root, planted_spec(*arms, replicates=2), by_id(scores(arms[0], 0.5, 0.6)))
    write_report(record)
    (record.folder / ".mlflow.lock").touch()  # as whoever brings it into MLflow leaves it
    return record


@pytest.fixture
def records(folder: Path) -> list[StudyRecord]:
    """An older and a newer record of one study, with reports."""
    return [planted(folder / "runs", "relu"), planted(folder / "runs", "elu")]


def name_of(record: StudyRecord) -> str:
    return f"planted@{record.folder.name}"


def left_behind(record: StudyRecord, result: TrialResult) -> list[Path]:
    """A half-written file, and a checkpoint of a trial that has ended."""
    folder = record.checkpoints / result.config.id.replace("/", "-")
    folder.mkdir(parents=True)
    paths = [record.folder / ".report.html.partial", folder / "000001.ckpt"]
    for path in paths:
        path.write_bytes(b"x" * 1000)
    return paths


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


def test_where_nothing_was_left_behind_there_is_nothing_to_remove(
    records: list[StudyRecord], study: Command
) -> None:
    said = study("clean", "--yes")
    assert (said.code, said.out) == (0, "")
    assert "nothing to remove" in said.err


def test_without_yes_it_only_shows(records: list[StudyRecord], study: Command, folder: Path) -> None:
    left_behind(records[0], scores("relu", 0.5)[0])
    before = everything(folder)
    said = study("clean", "planted", name_of(records[1]))
    assert "nothing was removed. To remove it: study clean planted" in said.out
    assert said.out.count("the record, finished") == 2
    assert everything(folder) == before


def test_what_was_left_behind_goes_and_the_record_stays(records: list[StudyRecord], study: Command) -> None:
    paths = left_behind(records[0], scores("relu", 0.5)[0])
    journal = records[0].journal.read_bytes()
    assert "2,000" not in study("clean").out
    assert study("clean", "--yes").code == 0
    assert not any(path.exists() for path in paths)
    assert not records[0].checkpoints.exists()
    assert records[0].journal.read_bytes() == journal
    assert (records[0].folder / "report.html").is_file()


def test_checkpoints_of_trials_that_go_on_stay(folder: Path, study: Command) -> None:
    record = planted_record(folder / "runs", planted_spec("relu", replicates=2), {}, finished=False)
    waiting = trial("relu", "tune", 0)
    with JournalWriter(record) as journal:
        journal.asked(waiting.config)
    (_, checkpoint) = left_behind(record, waiting)
    assert study("clean", "--yes").code == 0
    assert checkpoint.is_file()


def test_a_name_means_its_older_records(records: list[StudyRecord], study: Command) -> None:
    assert study("clean", "planted", "--yes").code == 0
    assert not records[0].folder.exists()
    assert records[1].folder.is_dir()


def test_a_record_named_in_full_goes_whole(records: list[StudyRecord], study: Command, folder: Path) -> None:
    for record in records:
        assert study("clean", name_of(record), "--yes").code == 0
    assert list((folder / "runs").iterdir()) == []


def test_what_the_project_did_not_write_stays(
    records: list[StudyRecord], study: Command, folder: Path
) -> None:
    record = records[0]
    outside = folder / "precious.txt"
    outside.write_text("precious")
    mine = [record.folder / "notes.txt", record.folder / "figures" / "my.png", record.folder / "mine.csv"]
    for path in mine:
        path.write_text("mine")
    link = record.folder / "ranking.csv"
    link.unlink()
    link.symlink_to(outside)
    said = study("clean", name_of(record), "--yes")
    for path in (*mine, link):
        assert path.exists(), path
        assert f"stays  {path.relative_to(folder)}" in said.out
    assert outside.read_text() == "precious"
    assert not record.journal.exists()


def test_links_to_folders_are_not_followed(records: list[StudyRecord], study: Command, folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "000001.ckpt").write_text("theirs")
    records[0].checkpoints.mkdir()
    (records[0].checkpoints / "relu-confirm-0").symlink_to(elsewhere)
    study("clean", name_of(records[0]), "--yes")
    assert (elsewhere / "000001.ckpt").read_text() == "theirs"


def test_a_study_that_is_running_stays(records: list[StudyRecord], study: Command) -> None:
    record = records[0]
    (partial, _) = left_behind(record, scores("relu", 0.5)[0])
    with JournalWriter(record):
        assert_one_line(study("clean", name_of(record), "--yes"), "is running, and stays")
        study("clean", "planted", "--yes")
    assert partial.is_file()
    assert record.journal.is_file()


def test_a_record_is_named_in_full(records: list[StudyRecord], study: Command) -> None:
    name = name_of(records[0])
    assert_one_line(study("clean", name[:-3], "--yes"), "named in full", name)
    assert_one_line(study("clean", "nope", "--yes"), "'nope'")
    assert records[0].folder.is_dir()


def test_json_lists_files_and_what_stays(records: list[StudyRecord], study: Command, folder: Path) -> None:
    (records[0].folder / "notes.txt").write_text("mine")
    document = json.loads(study("clean", name_of(records[0]), "--json").out)
    assert document["removed"] is False
    (entry,) = document["entries"]
    assert entry["whole"] is True
    assert entry["bytes"] == document["bytes"] > 0
    assert str((records[0].folder / "journal.jsonl").relative_to(folder)) in entry["files"]
    assert document["stays"] == [str((records[0].folder / "notes.txt").relative_to(folder))]


def test_a_damaged_record_can_go(records: list[StudyRecord], study: Command) -> None:
    (records[0].folder / "study.toml").write_text("nonsense = [")
    said = study("clean", "planted", "--yes")
    assert "the record, damaged" in said.out
    assert not records[0].folder.exists()
