"""MLflow's side: the experiment and the runs of one record, found by their tags and written to.

Whatever is written here may be written again: runs are looked for before any is made, a point that is
there already is not doubled (MLflow's key for it is metric, time, step and value), parameters are the
same ones, tags and ends overwrite themselves. A request that was carried out although its answer got
lost can leave a second, empty run; the next time the runs are looked for it is deleted.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from study.errors import TrackingError, one_line
from study.record import StudyRecord
from study.tracking.addresses import artifact_location, redacted, sqlite_path
from study.tracking.blank import at_hand
from study.tracking.machine import PREFIX
from study.tracking.outbox import identity
from study.tracking.runs import STUDY, DataSet, Point, Run, arm_key, is_trial
from study.tracking.views import Reported, experiment_tags, reported, study_note, verdict_counts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run as MlflowRun

# At most this many in one request (mlflow/utils/validation.py).
MAX_POINTS, MAX_WORDS = 1000, 100
# The longest digest of a data set; a fingerprint is longer, and stands whole in the data set's profile.
MAX_DIGEST = 36
PARENT = "mlflow.parentRunId"

# Said to MLflow before it is imported. Its own retries would hold a thread for minutes, and could make
# a run twice when an answer gets lost: going on later, from the journal, is the retry.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "DO_NOT_TRACK": "1",
}


@dataclass
class Known:
    """A run that MLflow has."""

    run_id: str
    attempt: int
    start_ms: int
    status: str
    params: frozenset[str] = frozenset()
    parent_id: str | None = None


class Store:
    """The runs of one record in one MLflow store. Every method may raise TrackingError."""

    def __init__(self, record: StudyRecord, uri: str, look_only: bool = False) -> None:
        """Make contact: find or make the study's experiment, and look for the record's runs. With
        ``look_only`` nothing is made or mended, and only ``found`` and ``points`` may be asked."""
        self.record, self.uri, self.identity = record, uri, identity(record)
        self.runs: dict[str, Known] = {}
        self.steps = 0  # requests that went through
        self._described = False
        self._noted = ("", "")  # the run that has its description, and which
        load_mlflow()
        with dressed(uri):
            self.client = connect(uri)
            self.experiment = self._experiment(look_only)
        if not look_only:
            self.look()

    def look(self) -> None:
        """Learn which runs there are; of several for one trial the others are deleted."""
        with dressed(self.uri):
            best: dict[str, MlflowRun] = {}
            for run in sorted(self._search(), key=standing):
                if (other := best.get(self._key(run))) is not None:
                    self.client.delete_run(other.info.run_id)
                best[self._key(run)] = run
            self.runs = {
                key: Known(
                    run.info.run_id,
                    attempt_of(run),
                    run.info.start_time,
                    run.info.status,
                    frozenset(run.data.params),
                    run.data.tags.get(PARENT),
                )
                for key, run in best.items()
            }

    def describe(self) -> None:
        """Give the experiment its description and its views, and the study's run its own, with what the last
        report says."""
        there = self.experiment
        if (known := self.runs.get(STUDY)) is not None:
            self._note(known.run_id, reported(self.record))
        if self._described:
            return
        with dressed(self.uri):
            for key, value in experiment_tags(
                self.record, there.experiment_id, there.creation_time or 0
            ).items():
                if there.tags.get(key) != value:
                    self.client.set_experiment_tag(there.experiment_id, key, value)
                    there.tags[key] = value
                    self.steps += 1
        self._described = True

    def _note(self, run_id: str, told: Reported) -> None:
        note = study_note(self.record, self.experiment.experiment_id, told)
        if self._noted == (run_id, note):
            return
        tags = {
            "mlflow.note.content": note,
            **({"claims": verdict_counts(told.claims)} if told.claims else {}),
        }
        with dressed(self.uri):
            for key, text in tags.items():
                self.client.set_tag(run_id, key, text)
        self._noted = (run_id, note)
        self.steps += 1

    def push(self, key: str, run: Run) -> None:
        """Write what of a run was not handed over yet."""
        with dressed(self.uri):
            known = self.runs.get(key)
            if known is not None and known.attempt > run.attempt:
                return
            if known is not None and (known.attempt, known.start_ms) != (run.attempt, run.start_ms):
                # Of an attempt that was given up, or that a power cut took out of the journal.
                self.client.delete_run(known.run_id)
                self.steps += 1
                known = None
            known = known or self._create(key, run)
            self._adopt(known, run)
            # A parameter can be set once; what an older version of ours wrote stands.
            run.params = {name: text for name, text in run.params.items() if name not in known.params}
            self._log(known.run_id, run)
            if run.data is not None:
                self._log_data(known.run_id, run.data)
                run.data = None  # what went through is not said again, or a try may never get beyond it
            self._end(key, known, run)

    def log_text(self, text: str, artifact: str) -> None:
        """A text as an artifact of the study's run."""
        with dressed(self.uri):
            self.client.log_text(self.runs[STUDY].run_id, text, artifact)
            self.steps += 1

    def log_bytes(self, data: bytes, artifact: str) -> None:
        """Bytes as an artifact of the study's run."""
        folder, _, name = artifact.rpartition("/")
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / name
            path.write_bytes(data)
            self.log_file(path, folder)

    def log_file(self, path: Path, folder: str | None) -> None:
        """A file as an artifact of the study's run, at the top or in a folder there."""
        with dressed(self.uri):
            self.client.log_artifact(self.runs[STUDY].run_id, str(path), folder)
            self.steps += 1

    def found(self) -> dict[str, list[MlflowRun]]:
        """The runs that MLflow holds of the record, by trial id."""
        runs: dict[str, list[MlflowRun]] = {}
        with dressed(self.uri):
            for run in self._search():
                runs.setdefault(self._key(run), []).append(run)
        return runs

    def points(self, run: MlflowRun) -> list[Point]:
        """All points of a run, but for what MLflow itself measured of the machine, on the study's run."""
        measured = PREFIX if run.data.tags.get("phase") == "study" else "\0"
        with dressed(self.uri):
            return [
                (point.key, point.value, point.timestamp, point.step)
                for metric in run.data.metrics
                if not metric.startswith(measured)
                for point in self.client.get_metric_history(run.info.run_id, metric)
            ]

    # -- inside ------------------------------------------------------------------------------------

    def _experiment(self, look_only: bool) -> Experiment:
        name = self.record.name
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            raise TrackingError(
                f"{redacted(self.uri)}: its experiment {name} was deleted; bring it back with: "
                f"mlflow experiments restore --experiment-id {found.experiment_id}"
            )
        if found is None and look_only:
            raise TrackingError(f"{redacted(self.uri)}: has no experiment {name}; study sync {name} makes it")
        if found is None:
            location = artifact_location(self.record, self.uri)
            made = self.client.create_experiment(name, artifact_location=location)
            found = self.client.get_experiment(made)
        return found

    def _search(self) -> Iterator[MlflowRun]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment.experiment_id],
                f"tags.`study.record` = '{self.identity}'",
                max_results=1000,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _key(self, run: MlflowRun) -> str:
        tags = run.data.tags
        match tags.get("phase"):
            case "study":
                return STUDY
            case "arm":
                return arm_key(tags.get("arm", "?"))
        return tags.get("trial", "?")

    def _create(self, key: str, run: Run) -> Known:
        tags = {"study.record": self.identity, **run.tags}
        parent_id = self._parent_id(run)
        if parent_id:
            tags[PARENT] = parent_id
        made = self.client.create_run(
            self.experiment.experiment_id, start_time=run.start_ms, tags=tags, run_name=run.name
        )
        self.steps += 1
        run.tags = {}
        known = Known(made.info.run_id, run.attempt, run.start_ms, made.info.status, parent_id=parent_id)
        self.runs[key] = known
        return known

    def _adopt(self, known: Known, run: Run) -> None:
        """The run stands under its parent's, which may be another one than when it was made."""
        parent_id = self._parent_id(run)
        if parent_id and parent_id != known.parent_id:
            self.client.set_tag(known.run_id, PARENT, parent_id)
            known.parent_id = parent_id
            self.steps += 1

    def _parent_id(self, run: Run) -> str | None:
        return None if run.parent is None else self.runs[run.parent].run_id

    def _log(self, run_id: str, run: Run) -> None:
        from mlflow.entities import Metric, Param, RunTag

        while run.points or run.params or run.tags:
            # A request holds at most 1,000 things in all.
            params = dict(islice(run.params.items(), MAX_WORDS))
            tags = dict(islice(run.tags.items(), MAX_WORDS))
            points = run.points[: MAX_POINTS - len(params) - len(tags)]
            self.client.log_batch(
                run_id,
                [Metric(key, value, time_ms, step) for key, value, time_ms, step in points],
                [Param(key, value) for key, value in params.items()],
                [RunTag(key, value) for key, value in tags.items()],
            )
            self.steps += 1
            run.told(len(points), params, tags)

    def _log_data(self, run_id: str, data: DataSet) -> None:
        """What the run trains on. MLflow knows a data set by name and digest, so it may be said again."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entry = Dataset(
            name=data.name,
            digest=data.fingerprint[:MAX_DIGEST],
            source_type="study",
            source=json.dumps({"name": data.name}),
            profile=json.dumps({"fingerprint": data.fingerprint, "part": data.part}),
        )
        self.client.log_inputs(run_id, [DatasetInput(entry, [InputTag("mlflow.data.context", "training")])])
        self.steps += 1

    def _end(self, key: str, known: Known, run: Run) -> None:
        if known.status == run.status:
            return
        if run.status != "RUNNING":
            self.client.set_terminated(known.run_id, run.status, run.end_ms)
        elif not is_trial(key):  # a study can be taken up again; a trial gets a new attempt
            self.client.update_run(known.run_id, status="RUNNING")
        else:
            return
        known.status = run.status
        self.steps += 1


def standing(run: MlflowRun) -> tuple[int, int, str]:
    """Which of two runs of one trial is kept: the later attempt, the fuller one, any but always the same."""
    return attempt_of(run), len(run.data.metrics), run.info.run_id


def attempt_of(run: MlflowRun) -> int:
    return int(run.data.tags.get("attempt", 1))


# -- the library -------------------------------------------------------------------------------------


def load_mlflow() -> None:
    """Import MLflow (1.5 to 2 s the first time) with our settings; with STUDY_DEBUG set it may talk."""
    os.environ.update(SETTINGS)
    # MLflow 3.17 on SQLAlchemy 2.1, on import.
    warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
    if not os.environ.get("STUDY_DEBUG"):
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
    # Its largest part, which a first contact would import otherwise.
    importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``; a database that is not there yet is made."""
    from mlflow import MlflowClient

    if path := sqlite_path(uri):
        path.parent.mkdir(parents=True, exist_ok=True)
    with at_hand(path):
        return MlflowClient(uri)


@contextmanager
def dressed(uri: str) -> Iterator[None]:
    """MLflow's errors, and those of what it stands on, as one line that names the store."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError, ImportError) as error:
        raise TrackingError(f"{redacted(uri)}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Why, in few words."""
    text = one_line(str(error))
    if code := re.search(r"too many (\d{3}) error responses", text):
        return f"it answers {code[1]}"
    for sign, meaning in REASONS.items():
        if sign in text:
            return meaning
    return text[:200]


REASONS = {
    "Connection refused": "nobody answers there",
    "NewConnectionError": "nobody answers there",
    "NameResolutionError": "there is no such host",
    "timed out": "no answer within 10 seconds",
    "RemoteDisconnected": "the connection broke off",
    "Connection reset": "the connection broke off",
    "out-of-date database schema": (
        "the database is of another MLflow version; take a copy of it, then: mlflow db upgrade sqlite:///FILE"
    ),
    "database is locked": "the database is locked by another process",
}
