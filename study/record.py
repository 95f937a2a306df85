"""StudyRecord: a study's folder, and the append-only journal from which all else can be rebuilt.

    ROOT/NAME/DIGEST/study.toml      the resolved study file; running it again gives the same digest
                     journal.jsonl   one event a line, flushed to the disk before the study goes on
                     checkpoints/    a folder for each running trial, gone when the trial has ended
                     models/         the weights of each arm's best replicate, where they are kept
                     report.html ... projections, made anew at will

The journal is the truth. Events are only ever appended, and a last line that was cut off by a crash
is dropped when the study is opened for writing: whatever was not whole was never acknowledged. A trial
that is resumed gets a new attempt, whose first lines are the rows of the epochs that it need not train
again: every attempt is whole in itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from filelock import FileLock, Timeout

from study import studyfile
from study.errors import RecordError, one_line, shorten
from study.registry import nearest
from study.spec import StudySpec
from study.trial import Row, TrialConfig, TrialResult, interned

Event = dict[str, Any]

# The journal's format; a newer one than this is refused, an older one is still read. Since 2 a session
# ends with an event of its own, so that one that was killed can be told.
FORMAT = 2

# A failure of the code is tried again from the start, with whatever code there is then; one of the
# machine goes on from the last checkpoint.
FROM_THE_START = ("crash",)

# Who looks whether a record is being written holds its lock for a moment.
LOOK_S = 0.5


class StudyRecord:
    """The stored facts of one study, for reading. ``JournalWriter`` appends to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "study.toml").is_file():
            raise RecordError(f"{folder}: holds no study record (study.toml is missing)")
        table = studyfile.read(folder / "study.toml")
        self.spec: StudySpec = studyfile.validate(table, folder.parent.name, str(folder / "study.toml"))

    @property
    def name(self) -> str:
        return self.folder.parent.name

    @property
    def digest(self) -> str:
        return self.folder.name.split("-")[0]

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    # -- finding ----------------------------------------------------------------------------------

    @classmethod
    def latest(cls, root: Path, name: str) -> StudyRecord:
        """``NAME``'s newest record under ``root``, or that of ``NAME@DIGEST``."""
        study, at, digest = name.partition("@")
        found = [folder for folder in folders(root, study) if folder.name.startswith(digest)]
        found = [folder for folder in found if folder.name == digest] or found  # not DIGEST-2 for DIGEST
        if not found:
            known = sorted({folder.parent.name for folder in folders(root, "*")})
            elsewhere = "run it first (study run NAME), or say in which folder the records are (--out)"
            hint = nearest(study, known) if known else elsewhere
            what = f"{study!r}" if not at else f"{shorten(study)} with digest {digest!r}"
            raise RecordError(f"{root.resolve()}: holds no record of {what}; {hint}")
        return cls(max(found, key=last_written))

    @classmethod
    def create(cls, root: Path, spec: StudySpec, fresh: bool = False) -> StudyRecord:
        """The record of ``spec`` under ``root``: the newest one there is, or else a new one.

        With ``fresh`` always a new one, ``DIGEST-2`` and so on: nothing is ever overwritten.
        """
        existing = [f for f in folders(root, spec.name) if f.name.split("-")[0] == spec.digest]
        if existing and not fresh:
            return cls(max(existing, key=last_written))
        number = max((_number(folder) for folder in existing), default=0) + 1
        folder = root / spec.name / (spec.digest if number == 1 else f"{spec.digest}-{number}")
        try:
            folder.mkdir(parents=True, exist_ok=True)  # there already where a process died right here
            # Of drivers that start at once each writes the same bytes, and one gets the lock afterwards.
            write_whole(folder / "study.toml", spec.to_toml(), writer=f".{os.getpid()}")
            for left in folder.glob(".study.toml.*.partial"):
                if not psutil.pid_exists(int(left.name.split(".")[-2])):
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise RecordError(
                f"{folder}: cannot be written: {error.strerror}; choose another --out"
            ) from error
        return cls(folder)

    def take_resources(self, spec: StudySpec) -> None:
        """From now on the study runs on what ``spec``, of the same digest, asks of machines: that changes no
        number. To be called by who writes the journal."""
        if self.spec.resources != spec.resources:
            self.spec = self.spec.model_copy(update={"resources": spec.resources})
            write_whole(self.folder / "study.toml", self.spec.to_toml())

    # -- reading ----------------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """Every whole line of the journal, in order."""
        journal = self.journal
        if not journal.is_file():
            return
        with journal.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return  # still being written, or cut off by a crash
                yield _parse(line, f"{journal}:{number}")

    def asked(self) -> dict[str, TrialConfig]:
        """The configs of all trials that were ever handed out, by trial id."""
        return {
            event["trial"]: TrialConfig.from_json(event["config"])
            for event in self.events()
            if event["event"] == "asked"
        }

    def results(self) -> dict[str, TrialResult]:
        """The last result of every trial that ended, with its curve, by trial id."""
        return read_results(self.events())

    def sessions(self) -> list[Event]:
        """One event for each time the study was started: when, with what, on what machine."""
        return [event for event in self.events() if event["event"] == "session"]

    @property
    def finished(self) -> bool:
        """Whether the study was carried to its end."""
        return any(event["event"] == "finished" for event in self.events())


def read_results(events: Iterator[Event]) -> dict[str, TrialResult]:
    """The last result of every trial that ended, with its curve, by trial id.

    Raises RecordError for an event that is not what its name says."""
    configs: dict[str, TrialConfig] = {}
    curves: dict[tuple[str, int], list[Row]] = {}
    results: dict[str, TrialResult] = {}
    for number, event in enumerate(events, start=1):
        trial = event.get("trial", "")
        try:
            if event["event"] == "asked":
                configs[trial] = TrialConfig.from_json(event["config"])
            elif event["event"] == "epoch":
                curves.setdefault((trial, event["attempt"]), []).append(interned(event["row"]))
            elif event["event"] == "result":
                curve = tuple(curves.get((trial, event["attempt"]), ()))
                results[trial] = TrialResult.from_json(event["result"], configs[trial]).with_curve(curve)
        except (KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"journal line {number}: the event {shorten(event['event'])} of {shorten(trial)} is damaged "
                f"({shorten(str(error))}); restore the file"
            ) from error
    return results


class JournalWriter:
    """The one writer of a study's journal; a second one is refused while it lives.

    The operating system frees the lock when its owner dies, however it dies.
    """

    def __init__(self, record: StudyRecord) -> None:
        self.record = record
        self._lock = FileLock(record.folder / ".lock")
        self._file: FileIO | None = None
        self._in_session = False

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=LOOK_S)
        except OSError as error:
            if not isinstance(error, Timeout):
                raise RecordError(f"{self.record.folder}: cannot be written: {error.strerror}") from error
            raise RecordError(
                f"{self.record.folder}: the study is running in another process; "
                f"watch it with: study status {self.record.name}"
            ) from error
        drop_torn_line(self.record.journal)
        self._file = FileIO(self.record.journal, "a")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            self.ended(None if kind is None else one_line(f"{kind.__name__}: {error}"))
        finally:
            self._in_session = False
            if self._file:
                self._file.close()
                self._file = None
            self._lock.release()

    def append(self, event: str, durable: bool = True, **fields: Any) -> None:
        """Write one event. ``durable`` events outlive a power cut; others outlive the process.

        Raises RecordError, and leaves nothing of the event, where the disk does not take it.
        """
        assert self._file is not None, "the journal is not open"
        line = json.dumps(
            {"event": event, "time": time.time(), **fields}, allow_nan=False, separators=(",", ":")
        )
        end = self._file.seek(0, os.SEEK_END)
        try:
            write_all(self._file, line.encode() + b"\n")
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)
            raise RecordError(
                f"{self.record.journal}: cannot be written: {error.strerror}; make room, then run the same "
                "command again to go on"
            ) from error

    def session(self, environment: Mapping[str, Any], command: list[str]) -> None:
        """The study is started. If the session before this one was killed, that is written down first, and
        what it left of trials that had ended is dropped."""
        if open_session(self.record.events()):
            self.append("fault", what="the session before this one ended without a word: it was killed")
        for trial, result in self.record.results().items() if self.record.checkpoints.is_dir() else ():
            self._drop_checkpoints(trial, result)
        criterion = self.record.spec.criterion
        self.append("session", format=FORMAT, environment=environment, command=command, criterion=criterion)
        self._in_session = True

    def ended(self, why: str | None) -> None:
        """The session ends; ``why`` before the study is finished. Said once, at the latest on closing."""
        if self._in_session:
            self._in_session = False
            self.append("ended", why=why)

    def finished(self) -> None:
        """The study is complete: nothing is left to be resumed."""
        self.append("finished")
        shutil.rmtree(self.record.checkpoints, ignore_errors=True)

    def asked(self, config: TrialConfig) -> None:
        self.append("asked", trial=config.id, config=config.to_json())

    def started(self, trial: str, attempt: int, epoch: int = 0) -> None:
        """``epoch`` is the one whose end a resumed attempt goes on from."""
        resumed = {"epoch": epoch} if epoch else {}
        self.append("started", trial=trial, attempt=attempt, **resumed, durable=False)

    def epoch(self, trial: str, attempt: int, row: Row, saved: bool = False) -> None:
        """``saved``: a checkpoint of the epoch's end was written."""
        mark = {"saved": True} if saved else {}
        self.append("epoch", trial=trial, attempt=attempt, row=row, **mark, durable=False)

    def result(self, trial: str, attempt: int, result: TrialResult) -> None:
        """The curve stands in the epochs' lines, the config in the asked line."""
        data = asdict(result.with_curve(()))
        del data["config"], data["curve"]
        self.append("result", trial=trial, attempt=attempt, result=data)
        self._drop_checkpoints(trial, result)

    def _drop_checkpoints(self, trial: str, result: TrialResult) -> None:
        """A trial that ended needs them no more. What the disk does not let go is found by the audit."""
        if result.verdict.status != "failed" or result.verdict.kind in FROM_THE_START:
            shutil.rmtree(checkpoint_folder(self.record.checkpoints, trial), ignore_errors=True)


def checkpoint_folder(checkpoints: Path, trial: str) -> Path:
    """Where a trial's checkpoints are; its id's parts have letters, digits and ._+- alone."""
    return checkpoints / trial.replace("/", "-")


def open_session(events: Iterable[Event]) -> bool:
    """Whether the last session has not ended: it is running, or was killed."""
    is_open = False
    for event in events:
        if event["event"] == "session":
            is_open = event.get("format", 1) >= 2
        elif event["event"] == "ended":
            is_open = False
    return is_open


def is_running(record: StudyRecord) -> bool:
    """Whether some process is writing the record now."""
    path = record.folder / ".lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # somebody else's record, or a disk that is read only
        return _held(path)
    lock.release()
    return False


def _held(path: Path) -> bool:
    """Whether a lock is held that we may not take; as far as we may look."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def folders(root: Path, name: str) -> list[Path]:
    """The record folders under ``root`` of the study ``name`` (``*`` for all)."""
    if name != "*" and not studyfile.NAME.match(name):
        raise RecordError(f"a study's name has 1 to 64 letters, digits and ._+-, not {shorten(name)}")
    return sorted(path.parent for path in root.glob(f"{name}/*/study.toml") if _is_digest(path.parent.name))


def drop_torn_line(journal: Path) -> None:
    """Cut off a last line without its line end: it was being written when the process died."""
    if not journal.is_file():
        return
    with journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        while size > 0:
            step = min(size, 65536)
            file.seek(size - step)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                file.truncate(size - step + newline + 1)
                return
            size -= step
        file.truncate(0)


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of it: the system may take a part at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def write_whole(path: Path, content: str | bytes, writer: str = "") -> None:
    """Write a file that appears under its name only when whole and on the disk.

    ``writer`` tells apart those who may write the same file at the same time.
    """
    partial = path.with_name(f".{path.name}{writer}.partial")
    with partial.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _parse(line: bytes, place: str) -> Event:
    try:
        event: Any = json.loads(line)
    except ValueError:
        event = {}
    if (
        not isinstance(event, dict)
        or "event" not in event
        or not isinstance(event.get("format", FORMAT), int)
    ):
        raise RecordError(f"{place}: is not a line of a journal ({shorten(line[:60])}); restore the file")
    if event.get("format", FORMAT) > FORMAT:
        raise RecordError(
            f"{place}: was written by a newer version (format {event['format']}); upgrade study"
        )
    return dict(event)


def _is_digest(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{12}(-\d+)?", name) is not None


def _number(folder: Path) -> int:
    return int(folder.name.partition("-")[2] or 1)


def last_written(folder: Path) -> float:
    journal = folder / "journal.jsonl"
    return (journal if journal.is_file() else folder / "study.toml").stat().st_mtime
