"""Bringing a record into MLflow: once (``sync``), or alongside a running study (``Feeder``)."""

from __future__ import annotations

import gzip
import importlib
import json
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from study.errors import StudyError, TrackingError, one_line
from study.record import StudyRecord, is_running
from study.tracking import machine, outbox
from study.tracking.projection import SILENT, Projection
from study.tracking.runs import STUDY
from study.tracking.store import Store, load_mlflow

# Events handed over between two notes of the position: enough that a backlog goes in few requests,
# few enough that an interruption repeats little.
BATCH = 5000

# While a study runs, its journal is brought over after so many seconds, in parts of so many bytes: what a
# lost machine takes with it is little, and no part grows large.
ARCHIVE_EVERY_S = 60.0
SEGMENT_BYTES = 2**20
JOURNAL_PARTS = "record/journal"

# A store that is away is asked again after 2, 4, 8 ... and then this many seconds.
LONGEST_WAIT_S = 15.0


@dataclass(frozen=True)
class Synced:
    """How many of the journal's events and of the record's files, the journal too, were handed over."""

    events: int
    files: int


class Feed(AbstractContextManager["Feed"]):
    """One hold on a record's way into one store; a second one, in any process, is refused meanwhile."""

    def __init__(self, record: StudyRecord, uri: str) -> None:
        self.record, self.uri = record, uri
        self._lock = FileLock(record.folder / ".mlflow.lock")
        self._archived_at = time.monotonic()

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise TrackingError(
                f"{self.record.folder}: another process is bringing it into MLflow"
            ) from error
        try:
            self._attach()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._lock.release()

    def drain(self, whole: bool = False) -> Synced:
        """Hand over what is pending: events, then files, and the journal itself when it is due or all is
        to be ``whole``. Where it fails it can be called again, and goes on where it was."""
        self._recover()
        events = self._hand_over()
        files = self._upload() if STUDY in self.store.runs else 0
        if STUDY in self.store.runs and (whole or time.monotonic() - self._archived_at > ARCHIVE_EVERY_S):
            files += self._archive()
        self.store.describe()
        self._in_doubt = False
        return Synced(events, files)

    def settle(self) -> None:
        """The study is not running: end what MLflow still shows as running."""
        self.projection.settle()
        self._push()

    def _attach(self) -> None:
        """Make contact, then bring the projection to where the last hold left it."""
        self.store = Store(self.record, self.uri)
        self.cursor = outbox.load(self.record, self.uri)
        self._in_doubt = False
        self._begin()

    def _begin(self) -> None:
        if self.cursor.runs > len(self.store.runs):
            # Somebody deleted runs, or the database: all over again.
            self.cursor = outbox.Cursor()
        self.projection, self._folded = Projection(self.record), self.cursor.position
        for number, (event, position) in enumerate(outbox.events_from(self.record, 0)):
            if position > self.cursor.position:
                break
            self.projection.fold(event)
            if number % BATCH == 0:
                self.projection.handed_over()  # what is there already need not be kept
        self.projection.handed_over()

    def _recover(self) -> None:
        """After a failure nobody knows which requests were carried out: look."""
        if self._in_doubt:
            self.store.look()
            if self.cursor.runs > len(self.store.runs):
                self._begin()
        self._in_doubt = True

    def _hand_over(self) -> int:
        count = 0
        while True:
            self._push()
            if self._folded != self.cursor.position:
                self.cursor.position, self.cursor.runs = self._folded, len(self.store.runs)
                self._note()
            batch = list(islice(outbox.events_from(self.record, self._folded), BATCH))
            if not batch:
                return count
            for event, position in batch:
                self.projection.fold(event)
                self._folded = position
            count += sum(event["event"] not in SILENT for event, _ in batch)

    def _push(self) -> None:
        for key in list(self.projection.changed):
            self.store.push(key, self.projection.runs[key])
            self.projection.handed_over(key)

    def _upload(self) -> int:
        sessions = self.projection.sessions
        if self.cursor.sessions != len(sessions):
            lines = "".join(f"{json.dumps(event)}\n" for event in sessions)
            self.store.log_text(lines, "record/sessions.jsonl")
            self.cursor.sessions = len(sessions)
            self._note()
        waiting = outbox.pending_files(self.record, self.cursor)
        for name, signature in waiting.items():
            self.store.log_file(self.record.folder / name, artifact_folder(name))
            self.cursor.files[name] = signature
            self._note()
        return len(waiting)

    def _archive(self) -> bool:
        """Bring over the journal, from which the record can be had back whole. Whether there was more."""
        cursor, start = self.cursor, self.cursor.archived
        while cursor.archived < cursor.position:
            if cursor.archived >= cursor.segment + SEGMENT_BYTES:
                cursor.segment = cursor.archived
            end = min(cursor.position, cursor.segment + SEGMENT_BYTES)
            part = gzip.compress(outbox.journal_bytes(self.record, cursor.segment, end), mtime=0)
            self.store.log_bytes(part, segment_name(cursor.segment))
            cursor.archived = end
            self._note()
        self._archived_at = time.monotonic()
        return cursor.archived > start

    def _note(self) -> None:
        outbox.save(self.record, self.uri, self.cursor)


def segment_name(start: int) -> str:
    """Where the part of the journal from byte ``start`` on is kept; names sort as the parts follow."""
    return f"{JOURNAL_PARTS}/{start:015d}.jsonl.gz"


def artifact_folder(name: str) -> str | None:
    """Where a file of the record goes among the artifacts of the study's run."""
    if name == "study.toml":
        return "record"
    folder = str(Path(name).parent)
    return None if folder == "." else folder


def sync(record: StudyRecord, uri: str) -> Synced:
    """Bring all that is pending of a record into the store at ``uri``. Raises TrackingError where that
    cannot be done; what was handed over till then stays noted."""
    if not outbox.identity(record):
        return Synced(0, 0)
    try:
        with Feed(record, uri) as feed:
            done = feed.drain(whole=True)
            if not is_running(record):
                feed.settle()
    except OSError as error:
        raise TrackingError(f"{record.folder}: cannot be noted in: {error.strerror}") from error
    return done


class Feeder:
    """Feeds MLflow from a running study's journal, in a thread of its own. It never raises into the
    study and never holds it up; what a store that is away has missed stays pending in the journal.

        with Feeder(record, uri) as feeder:
            ...                          # append to the journal; write the report
        feeder.pending                   # 0, or what ``study sync`` can bring in later
        feeder.trouble                   # None, or why

    It begins on entering. MLflow is imported then, and not by the thread: two that import at once can find
    each other's libraries half-made. That takes two seconds, and to make a new store some more; one who has
    better to do first asks to ``wait``, to ``load`` and to ``begin`` when there is time. It begins at the end
    at the latest.
    """

    def __init__(
        self,
        record: StudyRecord,
        uri: str,
        *,
        every_s: float = 2.0,
        patience_s: float = 60.0,
        wait: bool = False,
    ) -> None:
        """``patience_s`` bounds how long ``close`` waits for the last events to arrive."""
        self.record, self.uri = record, uri
        self.every_s, self.patience_s = every_s, patience_s
        self.trouble: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-feeder", daemon=True)
        self._measuring = not machine.wanted(record.spec)
        self._wait, self.begun = wait, False

    def __enter__(self) -> Self:
        if not self._wait:
            self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """How many events and files are not in MLflow yet; the journal itself has time till the end."""
        return outbox.pending(self.record, self.uri, whole=self._closing.is_set())

    def load(self) -> None:
        """Import MLflow, unless that has been done."""
        load_mlflow()
        if not self._measuring:
            importlib.import_module("mlflow.system_metrics.system_metrics_monitor")

    def begin(self) -> None:
        """Start, unless it has started."""
        if not self.begun:
            self.load()
            self.begun = True
            self._thread.start()

    def close(self) -> None:
        """One last try at handing over all there is; gives up when ``patience_s`` is over."""
        self.begin()
        self._closing.set()
        self._thread.join(self.patience_s)
        if self._thread.is_alive():
            self.trouble = self.trouble or "no answer yet"

    # -- in the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        with ExitStack() as held:
            feed: Feed | None = None
            failures, done, last = 0, 0, False
            while not last:
                last = self._closing.is_set()
                began = time.monotonic()
                try:
                    if feed is None and outbox.identity(self.record):
                        feed = held.enter_context(Feed(self.record, self.uri))
                    if feed is not None:
                        feed.drain(whole=last)
                        self._measure(held, feed)
                        if last:
                            feed.settle()
                    failures, self.trouble = 0, None
                except Exception as error:  # noqa: BLE001 the study goes on whatever happens; told at its end
                    progress = feed.store.steps if feed else 0
                    failures = 1 if progress > done else failures + 1
                    done, self.trouble = progress, self._told(error)
                # Never busy more than half of the time, however slow the store is.
                took = time.monotonic() - began
                backed_off = min(self.every_s * 2**failures, max(LONGEST_WAIT_S, self.every_s))
                self._closing.wait(backed_off if failures else max(self.every_s, took))

    def _measure(self, held: ExitStack, feed: Feed) -> None:
        """Once the study's run is there: what MLflow measures of the machine, if that is wanted."""
        if not self._measuring and STUDY in feed.store.runs:
            held.enter_context(machine.measured(feed.store.runs[STUDY].run_id, self.uri))
            self._measuring = True

    @staticmethod
    def _told(error: Exception) -> str:
        return str(error) if isinstance(error, StudyError) else one_line(f"{type(error).__name__}: {error}")
