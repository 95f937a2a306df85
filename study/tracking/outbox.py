"""What of a record has not reached MLflow yet.

The journal is the outbox: ``mlflow.json`` in the record's folder notes, for each store, up to which byte
it was handed over. What lies behind is pending, however long the store is away.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from study.errors import RecordError, shorten
from study.record import Event, StudyRecord, write_whole
from study.tracking.addresses import redacted
from study.tracking.projection import SILENT

MARKED_BYTES = 4096

# To be raised when the same journal folds into other runs: all is then handed over again.
PROJECTION = 2

# What a report leaves in the record's folder; the study file goes along.
REPORT_FILES = ("report.html", "*.csv", "*.png", "figures/*.png")


class Cursor(BaseModel):
    """How much of a record one store has: the journal's events up to a byte (and what stands before it),
    runs, starts of the study, files; and of the journal itself the bytes before ``archived``, the last
    of its parts from ``segment`` on."""

    projection: int = PROJECTION
    position: int = 0
    mark: str = ""
    runs: int = 0
    sessions: int = 0
    files: dict[str, str] = {}
    segment: int = 0
    archived: int = 0


class Notes(BaseModel):
    """What ``mlflow.json`` holds: a cursor for each store's address."""

    format: Literal[1] = 1
    stores: dict[str, Cursor] = {}


def load(record: StudyRecord, uri: str) -> Cursor:
    """The note for this store; an empty one where there is none, or where the journal is not the one it
    speaks of: another record's, or one whose last lines a power cut took."""
    cursor = _notes(record).stores.get(redacted(uri), Cursor())
    same = cursor.projection == PROJECTION and cursor.mark == mark(record, cursor.position)
    return cursor if same else Cursor()


def save(record: StudyRecord, uri: str, cursor: Cursor) -> None:
    notes = _notes(record)
    notes.stores[redacted(uri)] = cursor.model_copy(update={"mark": mark(record, cursor.position)})
    write_whole(record.folder / "mlflow.json", notes.model_dump_json(indent=2) + "\n")


def pending(record: StudyRecord, uri: str, whole: bool = True) -> int:
    """How many journal events and files the store at ``uri`` has not been given yet; where all should be
    ``whole``, as at a session's end, the journal itself counts as one of the files."""
    return pending_events(record, uri, whole) + len(pending_files(record, load(record, uri)))


def pending_events(record: StudyRecord, uri: str, whole: bool = True) -> int:
    """As ``pending``, of the journal alone: a report's files can be made anew, and differ in nothing that
    counts."""
    cursor = load(record, uri)
    events = sum(event["event"] not in SILENT for event, _ in events_from(record, cursor.position))
    journal = whole and (events > 0 or cursor.archived < cursor.position)
    return events + journal


def pending_files(record: StudyRecord, cursor: Cursor) -> dict[str, str]:
    """The files that are new or changed since, by their path in the record's folder, with the signature
    to note once they were handed over."""
    found = {
        path: _signature(path)
        for pattern in ("study.toml", *REPORT_FILES)
        for path in record.folder.glob(pattern)
    }
    named = {str(path.relative_to(record.folder)): signature for path, signature in found.items()}
    return {name: signature for name, signature in named.items() if cursor.files.get(name) != signature}


def events_from(record: StudyRecord, position: int) -> Iterator[tuple[Event, int]]:
    """The journal's whole lines from a byte position on, each with the position behind it."""
    if not record.journal.is_file():
        return
    with record.journal.open("rb") as lines:
        lines.seek(position)
        for line in lines:
            if not line.endswith(b"\n"):
                return  # still being written
            position += len(line)
            try:
                yield json.loads(line), position
            except ValueError as error:
                place = f"{record.journal}, before byte {position}"
                raise RecordError(f"{place}: is not a line of a journal ({shorten(line[:60])})") from error


def journal_bytes(record: StudyRecord, start: int, end: int) -> bytes:
    """The journal from one byte to another."""
    with record.journal.open("rb") as lines:
        lines.seek(start)
        return lines.read(end - start)


def mark(record: StudyRecord, position: int) -> str:
    """What stands before a byte of the journal, as a hash: another journal has another one there."""
    if not record.journal.is_file():
        return ""
    before = journal_bytes(record, max(0, position - MARKED_BYTES), position)
    return hashlib.sha256(before).hexdigest()[:12]


def identity(record: StudyRecord) -> str:
    """What tells this record from another one of the same study file, wherever it was made or moved:
    12 hexadecimal digits over the journal's first line. Empty while there is none."""
    if not record.journal.is_file():
        return ""
    with record.journal.open("rb") as lines:
        line = lines.readline()
    return hashlib.sha256(line).hexdigest()[:12] if line.endswith(b"\n") else ""


def _notes(record: StudyRecord) -> Notes:
    path = record.folder / "mlflow.json"
    try:
        return Notes.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Notes()  # notes only: without them all is handed over again, and nothing is doubled


def _signature(path: Path) -> str:
    """By content: a report that is made again is mostly the same, to the byte."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed_ns: int) -> str:
    """Read once as long as the file stands as it is: a feeder asks every few seconds."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
