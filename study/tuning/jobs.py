"""Ray's Jobs API: a command with its files sent to a running cluster, followed and stopped there."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from study.errors import StudyError, one_line, shorten
from study.tuning.nodes import SETTINGS, bearer

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

# How long a head may take to say that it is there.
CONTACT_S = 5.0
# How long a stopped study may take to end: it stops at the next report of its trials. Ray's own 3 s are few.
STOP_S = 60


@dataclass(frozen=True)
class Service:
    """A cluster's Jobs API, and the file of the token that it asks for."""

    address: str
    token_file: Path


@dataclass(frozen=True)
class RayJob:
    """A job as the cluster knows it: ``status`` in Ray's word, ``at`` in seconds since 1970, ``metadata`` as
    it was submitted."""

    id: str
    status: str
    message: str
    at: float
    metadata: Mapping[str, str]


def submit(
    service: Service, job_id: str, command: str, folder: Path, metadata: Mapping[str, str]
) -> str | None:
    """Send ``folder`` and run ``command`` in it, on the head; None where ``job_id`` was used before."""
    environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S), "PYTHONUNBUFFERED": "1"}
    with _client(service) as client:
        try:
            client.submit_job(
                entrypoint=command,
                submission_id=job_id,
                runtime_env={"working_dir": str(folder), "env_vars": environment},
                metadata=dict(metadata),
            )
        except RuntimeError as error:
            if f"{job_id} already exists" in str(error):
                return None
            raise
    return job_id


def jobs(service: Service) -> list[RayJob]:
    """All jobs that were submitted to the cluster since it was started."""
    with _client(service) as client:
        return [_job(each) for each in client.list_jobs() if each.submission_id]


def versions(service: Service) -> dict[str, str]:
    """The cluster's versions of Ray and of Python, as far as it says them."""
    headers = bearer(service.token_file)
    _contact(service, headers)

    def ask(page: str) -> dict[str, Any]:
        answer = requests.get(f"{service.address}{page}", headers=headers, timeout=CONTACT_S)
        found: dict[str, Any] = answer.json() if answer.ok else {}
        return found

    try:
        ray, python = ask("/api/version"), ask("/api/v0/cluster_metadata").get("data", {})
    except (requests.RequestException, ValueError) as error:
        raise StudyError(f"{service.address}: does not say its versions; {one_line(str(error))}") from error
    said = {"ray": ray.get("ray_version"), "python": python.get("pythonVersion")}
    return {name: shorten(version, 40).strip("'") for name, version in said.items() if version}


def logs(service: Service, job_id: str) -> str:
    """All that the job has printed."""
    with _client(service) as client:
        return client.get_job_logs(job_id)


def follow(service: Service, job_id: str) -> Iterator[str]:
    """What the job prints, from its beginning on, as it does, until it ends."""
    with _client(service) as client, asyncio.Runner() as runner:
        chunks: AsyncIterator[str] = client.tail_job_logs(job_id)
        while (chunk := runner.run(_next(chunks))) is not None:
            yield chunk


def stop(service: Service, job_id: str) -> None:
    """Ask the job to end; it is killed where it takes longer than ``STOP_S``."""
    with _client(service) as client:
        client.stop_job(job_id)


async def _next(chunks: AsyncIterator[str]) -> str | None:
    return await anext(chunks, None)


def _job(details: JobDetails) -> RayJob:
    at = (details.start_time or 0) / 1000
    said = one_line(details.message or "")
    return RayJob(str(details.submission_id), details.status.value, said, at, details.metadata or {})


@contextmanager
def _client(service: Service) -> Iterator[JobSubmissionClient]:
    """Ray's client, once somebody answers; what it raises is said in one line."""
    headers = bearer(service.token_file)
    _contact(service, headers)
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    from aiohttp import ClientError
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.WARNING)
    try:
        yield JobSubmissionClient(service.address, headers=headers)
    except (RuntimeError, OSError, ClientError) as error:
        raise StudyError(f"{service.address}: {shorten(one_line(str(error)), 300)}") from error


def _contact(service: Service, headers: Mapping[str, str]) -> None:
    """First contact, with a limit on time, which Ray's client does not have."""
    place = service.address
    try:
        answer = requests.get(f"{place}/api/version", headers=headers, timeout=CONTACT_S)
    except requests.RequestException as error:
        raise StudyError(
            f"{place}: nobody answers ({type(error).__name__}); is the cluster up, its port forwarded here?"
        ) from error
    if answer.status_code in (401, 403):
        raise StudyError(f"{place}: refuses our token ({service.token_file}); take the cluster's own")
    if not answer.ok or "ray_version" not in answer.text:
        raise StudyError(f"{place}: somebody answers there, but not Ray's Jobs API; check the address")
