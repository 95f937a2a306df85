"""What was submitted from here, a small file each under OUT/submitted: NAME is enough to ask after it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from study.errors import RecordError, StudyError, shorten
from study.record import write_whole
from study.registry import nearest
from study.submission.order import LIVE, Job, Order, State, base_id
from study.submission.sending import newest_job
from study.submission.target import Target, load, validate


@dataclass(frozen=True)
class Submission:
    """A study that was sent somewhere. ``to`` is how the target was named, ``table`` what it said then; it
    names files of secrets, and holds none."""

    study: str
    digest: str
    id: str
    to: str
    table: dict[str, Any]
    out: str
    tracking_uri: str | None
    at: str

    ended: str = ""  # its last state, once that is known to be one

    @property
    def target(self) -> Target:
        return validate(self.table, self.to)


def remember(root: Path, order: Order, target: Target, to: str, job_id: str) -> Submission:
    """Write down that ``order`` runs at ``target`` as ``job_id``."""
    submission = Submission(
        order.spec.name,
        order.spec.digest,
        job_id,
        to,
        target.model_dump(mode="json", exclude_none=True),
        order.out,
        order.tracking_uri,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _write(root, submission)
    return submission


def look(root: Path, submission: Submission) -> Job:
    """How far a submission is: the cluster is asked until it has said how it ended."""
    if submission.ended:
        return Job(submission.id, cast(State, submission.ended))
    job = newest_job(submission.target, submission.study, submission.digest)
    if job is None:
        return Job(submission.id, "gone", "the cluster knows nothing of it (any more)")
    if job.state not in LIVE:
        _write(root, replace(submission, id=job.id, ended=job.state))
    return job


def remembered(
    root: Path, name: str = "*", digest: str = "", complain: Callable[[str], None] = lambda line: None
) -> list[Submission]:
    """What was submitted from here, the newest last; ``complain`` is told of damaged files where
    all are asked for."""
    found = []
    for path in _folder(root).glob("study-*.json"):
        try:
            found.append(_read(path))
        except RecordError as error:
            if path.name.startswith(f"study-{name}-"):
                raise  # it is, or may be, what was asked for; others do not stand in its way
            if name == "*":
                complain(str(error))
    wanted = [each for each in found if name in ("*", each.study) and each.digest.startswith(digest)]
    return sorted(wanted, key=lambda each: each.at)


def recall(root: Path, name: str) -> Submission:
    """The newest submission of ``NAME`` or ``NAME@DIGEST``. StudyError where nothing of it was sent."""
    study, _, digest = name.partition("@")
    found = remembered(root, study, digest)
    if not found:
        known = sorted({each.study for each in remembered(root)})
        hint = nearest(study, known) if known else "submit it first: study submit NAME --to TARGET"
        raise StudyError(
            f"{root}: {shorten(name)} was not submitted from here; {hint}, or name its target with --to"
        )
    return found[-1]


def whereabouts(root: Path, name: str, to: str | None) -> tuple[str, str, Target]:
    """Study, digest and target of ``NAME`` or ``NAME@DIGEST``: the target named, or else the one it was
    submitted to from here."""
    study, _, digest = name.partition("@")
    if to is not None:
        return study, digest, load(to)
    submission = recall(root, name)
    return submission.study, submission.digest, submission.target


def store_of(root: Path, name: str) -> str | None:
    """The MLflow store that a submitted study feeds, as far as it is known here and can be seen from here;
    None for a study that was not submitted from here."""
    study, _, digest = name.partition("@")
    found = remembered(root, study, digest)
    if not found:
        return None
    beside = Path(found[-1].out) / "mlflow.db"
    uri = found[-1].tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None and not beside.is_file():
        raise StudyError(
            f"{found[-1].id}: its MLflow store is {beside} on the cluster, which is not seen from here; name "
            "a way to it with --tracking-uri, or fetch where it is seen"
        )
    return uri or f"sqlite:///{beside}"


def _write(root: Path, submission: Submission) -> None:
    path = _folder(root) / f"{base_id(submission.study, submission.digest)}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(submission), indent=2))
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written: {error.strerror}; {submission.id} runs, so ask after it with "
            f"--to {submission.to}"
        ) from error


def _folder(root: Path) -> Path:
    return root / "submitted"


def _read(path: Path) -> Submission:
    try:
        return Submission(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise RecordError(f"{path}: is damaged; remove it, and name the study's target with --to") from error
