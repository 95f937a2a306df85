"""A record that MLflow alone has kept, brought home."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from study import tracking
from study.cli import run
from study.errors import RecordError, StudyError
from study.record import JournalWriter, StudyRecord
from study.report import summary, write_report
from study.tracking.server import Server
from tests.tracking.records import begin, config, new_record, run_trial, write_study


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Another machine's folder of records."""
    return tmp_path / "home"


def parts(root: Path) -> list[Path]:
    return sorted(root.glob("mlartifacts/acts/*/artifacts/record/journal/*.jsonl.gz"))


def told(record: StudyRecord) -> dict[str, Any]:
    """What is said of a record, but for the places of its files."""
    document = json.loads(json.dumps(summary(record)))
    return {key: value for key, value in document.items() if key not in ("folder", "files")}


def test_a_record_comes_back_byte_for_byte(record: StudyRecord, uri: str, home: Path) -> None:
    tracking.sync(record, uri)
    fetched = tracking.fetch("acts", uri, home)
    assert fetched.change == "new"
    assert fetched.record.folder == home / "acts" / record.digest
    for name in ("study.toml", "journal.jsonl"):
        assert (fetched.record.folder / name).read_bytes() == (record.folder / name).read_bytes()


def test_the_report_made_from_mlflow_alone_is_the_same(record: StudyRecord, uri: str, home: Path) -> None:
    tracking.sync(record, uri)
    fetched = tracking.fetch("acts", uri, home).record
    for each in (record, fetched):
        write_report(each)
    assert told(fetched) == told(record)
    assert (fetched.folder / "ranking.csv").read_bytes() == (record.folder / "ranking.csv").read_bytes()


def test_it_comes_from_a_server_too(record: StudyRecord, server: Server, home: Path) -> None:
    tracking.sync(record, server.address)
    fetched = tracking.fetch(f"acts@{record.digest}", server.address, home).record
    assert fetched.journal.read_bytes() == record.journal.read_bytes()


def test_a_long_journal_travels_in_parts(tmp_path: Path, uri: str, home: Path) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        journal.append("fault", what="x" * 1_500_000)
        journal.append("fault", what="y" * 1_500_000)
    tracking.sync(record, uri)
    assert len(parts(tmp_path)) == 3
    assert tracking.fetch("acts", uri, home).record.journal.read_bytes() == record.journal.read_bytes()


def test_what_was_fetched_is_brought_up_to_date(tmp_path: Path, uri: str, home: Path) -> None:
    record = new_record(tmp_path)
    for index, change in enumerate(("new", "updated")):
        with JournalWriter(record) as journal:
            begin(journal)
            run_trial(journal, config(index=index))
        tracking.sync(record, uri)
        assert tracking.fetch("acts", uri, home).change == change
    assert tracking.fetch("acts", uri, home).change == "unchanged"
    assert set(StudyRecord.latest(home, "acts").results()) == {"relu/tune/0", "relu/tune/1"}


def test_what_is_only_here_stays(tmp_path: Path, record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    with JournalWriter(record) as journal:
        journal.append("fault", what="more")
    before = record.journal.read_bytes()
    assert tracking.fetch("acts", uri, tmp_path).change == "unchanged"
    assert record.journal.read_bytes() == before


def test_two_ways_on_are_not_mixed(record: StudyRecord, uri: str, home: Path) -> None:
    tracking.sync(record, uri)
    fetched = tracking.fetch("acts", uri, home).record
    for each in (record, fetched):
        with JournalWriter(each) as journal:
            begin(journal)
    tracking.sync(record, uri)
    before = fetched.journal.read_bytes()
    with pytest.raises(RecordError, match="went on here and elsewhere"):
        tracking.fetch("acts", uri, home)
    assert fetched.journal.read_bytes() == before


def test_another_record_of_the_same_study_stands_beside(record: StudyRecord, uri: str, home: Path) -> None:
    write_study(new_record(home))
    tracking.sync(record, uri)
    fetched = tracking.fetch("acts", uri, home).record
    assert fetched.folder.name == f"{record.digest}-2"
    assert fetched.journal.read_bytes() == record.journal.read_bytes()


def test_what_a_longer_journal_left_in_mlflow_does_no_harm(
    record: StudyRecord, uri: str, tmp_path: Path, home: Path
) -> None:
    """A power cut takes the last lines of a journal whose later parts were archived already."""
    tracking.sync(record, uri)
    (part,) = parts(tmp_path)
    part.with_name("000000000000123.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    assert tracking.fetch("acts", uri, home).record.journal.read_bytes() == record.journal.read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x1f\x8b torn", "000000000000000.jsonl.gz is damaged"),
        (gzip.compress(b'{"event": "session"}\n'), "another record's journal"),
        (gzip.compress(b"{not json}\n"), "journal line 1 is damaged"),
        (gzip.compress(b"no line end"), "no journal yet"),
    ],
    ids=["torn", "another's", "no JSON", "no line"],
)
def test_a_damaged_archive_is_named_and_nothing_is_made_of_it(
    content: bytes, says: str, record: StudyRecord, uri: str, home: Path
) -> None:
    tracking.sync(record, uri)
    parts(home.parent)[0].write_bytes(content)
    with pytest.raises(StudyError, match=says):
        tracking.fetch("acts", uri, home)
    assert not home.exists()


UNKNOWN = {
    "atcs": "has no study atcs; did you mean acts?",
    "acts@000000000000": "has no record 'acts@000000000000'",
    "../acts": "a study's name has 1 to 64 letters",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_is_one_line(
    name: str, record: StudyRecord, uri: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking.sync(record, uri)
    assert run(["fetch", name, "--tracking-uri", uri, "--out", str(home)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert UNKNOWN[name] in line
    assert not home.exists()


def test_fetch_speaks_json(
    record: StudyRecord, uri: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking.sync(record, uri)
    assert run(["fetch", "acts", "--tracking-uri", uri, "--out", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "study": "acts",
        "digest": record.digest,
        "folder": str(home / "acts" / record.digest),
        "change": "new",
        "events": sum(1 for _ in record.events()),
    }


def test_a_report_is_made_where_only_mlflow_is(
    record: StudyRecord, uri: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking.sync(record, uri)
    assert run(["report", "acts", "--from-mlflow", uri, "--out", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["study"] == "acts"
    assert (home / "acts" / record.digest / "report.html").is_file()
