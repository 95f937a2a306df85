"""Records of earlier formats open, audit clean and are gone on with; those of later ones are refused.

Case 30 of the faults. Each format that was ever released has a record here; they are never changed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from study.audit import audit
from study.cli import run as command
from study.components.datasets import load_dataset
from study.conductor import Conductor
from study.errors import RecordError
from study.record import FORMAT, JournalWriter, StudyRecord
from study.report import summary
from tests.faults.toy import CHANCE, events, keeping_of, numbers, train_next

pytestmark = pytest.mark.faults

RECORDS = Path(__file__).parent / "records"
FORMATS = range(1, FORMAT)


@pytest.fixture(params=FORMATS, ids=lambda number: f"format-{number}")
def older(request: pytest.FixtureRequest, tmp_path: Path) -> StudyRecord:
    """A copy of a record that an earlier version wrote: ten trials, in two sessions, the first killed."""
    shutil.copytree(RECORDS / f"format-{request.param}", tmp_path / "runs")
    return StudyRecord.latest(tmp_path / "runs", "older")


def test_every_earlier_format_has_a_record() -> None:
    assert {path.name for path in RECORDS.iterdir()} == {f"format-{number}" for number in FORMATS}


def test_it_opens_and_audits_clean(older: StudyRecord) -> None:
    assert audit(older) == []
    assert older.finished
    assert len(older.results()) == older.spec.trial_count == 10
    assert [len(result.curve) for result in older.results().values() if result.verdict.status == "ok"] == [
        2
    ] * 8


def test_it_has_a_ranking(older: StudyRecord) -> None:
    assert {entry["arm"] for entry in summary(older)["ranking"]} == {"relu", "elu"}


def test_it_is_gone_on_with_to_the_same_numbers(older: StudyRecord) -> None:
    """Cut off in the middle of its sixth trial."""
    whole = numbers(older)
    lines = older.journal.read_bytes().splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if b'"event":"started"' in line]
    older.journal.write_bytes(b"".join(lines[: starts[6] + 2]))
    data = load_dataset("digits", None)
    with JournalWriter(older) as journal:
        journal.session({}, [])
        conductor = Conductor(older, journal, worst=CHANCE)
        done = set(conductor.done)
        while train_next(conductor, data, keeping_of(older)):
            pass
        journal.finished()
    assert audit(older) == []
    now = numbers(older)
    assert {trial: now[trial] for trial in done} == {trial: whole[trial] for trial in done}
    assert now.keys() == whole.keys()
    assert [now[trial][:2] for trial in whole] == [whole[trial][:2] for trial in whole], "settings and seeds"
    assert not events(older, "fault"), "a session of a format without ends has not failed to end"


def test_a_newer_record_is_refused_in_one_line(
    older: StudyRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    first, rest = older.journal.read_text().split("\n", 1)
    older.journal.write_text(f"{json.dumps({**json.loads(first), 'format': FORMAT + 1})}\n{rest}")
    before = older.journal.read_bytes()
    with pytest.raises(RecordError, match="was written by a newer version"):
        older.results()
    root = str(older.folder.parent.parent)
    assert command(["status", "older", "--out", root]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "upgrade study" in line
    assert older.journal.read_bytes() == before
