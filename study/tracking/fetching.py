"""Having a record back from MLflow alone: its study file and its journal, byte for byte."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from study import studyfile
from study.errors import RecordError, TrackingError, shorten
from study.record import JournalWriter, StudyRecord, folders, write_whole
from study.registry import nearest
from study.spec import StudySpec
from study.tracking.addresses import redacted
from study.tracking.feeder import JOURNAL_PARTS
from study.tracking.outbox import identity
from study.tracking.store import connect, dressed, load_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Fetched:
    """The record as it is here now, and whether it is ``new`` here, was ``updated``, or had all already."""

    record: StudyRecord
    change: Literal["new", "updated", "unchanged"]


def fetch(name: str, uri: str, root: Path) -> Fetched:
    """Bring the newest record of the study ``NAME`` (or that of ``NAME@DIGEST``) from the store at ``uri``
    under ``root``, as far as the store has its journal.

    A record that is here already is brought up to date; what is here and not there stays. TrackingError
    where the store has no such record, RecordError where it contradicts the one that is here.
    """
    load_mlflow()
    with tempfile.TemporaryDirectory() as place:
        with dressed(uri):
            client = connect(uri)
            run = _study_run(client, name, uri)
            client.download_artifacts(run.info.run_id, "record", place)
        return _keep(Path(place) / "record", run, root, redacted(uri))


def _study_run(client: MlflowClient, name: str, uri: str) -> Run:
    """The study's own run of the record that is meant; the newest one where several are."""
    study, _, digest = name.partition("@")
    if not studyfile.NAME.match(study):
        raise TrackingError(f"a study's name has 1 to 64 letters, digits and ._+-, not {shorten(study)}")
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        known = [each.name for each in client.search_experiments(max_results=1000)]
        raise TrackingError(f"{redacted(uri)}: has no study {study}; {nearest(study, known)}")
    found = client.search_runs(
        [experiment.experiment_id], "tags.phase = 'study'", order_by=["attributes.start_time DESC"]
    )
    known = [str(run.info.run_name) for run in found]
    wanted = f"{study}@{digest}"
    meant = [each for each in known if each == wanted] or [each for each in known if each.startswith(wanted)]
    if meant:
        return found[known.index(meant[0])]
    raise TrackingError(f"{redacted(uri)}: has no record {shorten(name)}; {nearest(name, known)}")


def _keep(brought: Path, run: Run, root: Path, place: str) -> Fetched:
    """Put what was brought where a record of it stands under ``root``, or where a new one may stand."""
    study, _, digest = str(run.info.run_name).partition("@")
    where = f"{place}: the record of {study}@{digest}"
    journal, known = _joined(brought, where), run.data.tags.get("study.record")
    if hashlib.sha256(journal.partition(b"\n")[0] + b"\n").hexdigest()[:12] != known:
        raise TrackingError(
            f"{where} has another record's journal; bring it in anew with: study sync {study}"
        )
    for folder in folders(root, study):
        here = StudyRecord(folder)
        if identity(here) == known:
            return Fetched(here, _extend(here, journal))
    spec = studyfile.validate(studyfile.read(brought / "study.toml"), study, f"{where}: study.toml")
    if not re.fullmatch(rf"{spec.digest}(-\d+)?", digest):
        raise TrackingError(f"{where} has another study's study.toml (digest {spec.digest})")
    return Fetched(_place(root / study, digest, spec, journal), "new")


def _place(parent: Path, digest: str, spec: StudySpec, journal: bytes) -> StudyRecord:
    """A new record, under the name it had or the next one that is free. The study file comes last, for
    it makes the folder a record."""
    base, number = digest.split("-")[0], 1
    folder = parent / digest
    while folder.exists():
        number += 1
        folder = parent / f"{base}-{number}"
    try:
        folder.mkdir(parents=True)
        write_whole(folder / "journal.jsonl", journal)
        write_whole(folder / "study.toml", spec.to_toml())
    except OSError as error:
        raise RecordError(f"{folder}: cannot be written: {error.strerror}; choose another --out") from error
    return StudyRecord(folder)


def _joined(brought: Path, where: str) -> bytes:
    """The journal out of its parts. A part that does not follow on the one before is what an earlier
    archive of a journal left that a power cut has shortened since."""
    parts = sorted((brought / Path(JOURNAL_PARTS).name).glob("*.jsonl.gz"))
    journal = b""
    for part in parts:
        if int(part.name.split(".")[0]) == len(journal):
            try:
                journal += gzip.decompress(part.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                raise TrackingError(f"{where}: {part.name} is damaged; bring it in anew") from error
    if not journal.endswith(b"\n"):
        raise TrackingError(f"{where} has no journal yet; on the machine that ran it: study sync NAME")
    for number, line in enumerate(journal.splitlines(), start=1):
        try:
            json.loads(line)
        except ValueError as error:
            raise TrackingError(f"{where}: journal line {number} is damaged; bring it in anew") from error
    return journal


def _extend(here: StudyRecord, journal: bytes) -> Literal["updated", "unchanged"]:
    """Bring the journal that is here up to the one that was brought, if it is its beginning."""
    with JournalWriter(here):
        mine = here.journal.read_bytes()
        if mine.startswith(journal):
            return "unchanged"
        if not journal.startswith(mine):
            raise RecordError(
                f"{here.folder}: went on here and elsewhere, in different ways; fetch it to another --out"
            )
        write_whole(here.journal, journal)
    return "updated"
