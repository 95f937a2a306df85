"""Up, down, and what is there. Of an `up` that fails nothing is left running; data are never removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock, Timeout

from study.errors import StudyError, TrackingError
from study.processes import birth, end, free_port, session
from study.service import postgres, server
from study.service.state import MLFLOW, POSTGRES, Part, Service, forget, found, keep
from study.service.wanted import Wanted, wanted
from study.tracking import server as tracking

Say = Callable[[str], None]

CONTACT_S = 10.0

LOCK = "service.lock"


def up(folder: Path, given: Mapping[str, Any], say: Say) -> tuple[Service, bool]:
    """Start a service with the settings that are ``given`` (of Wanted), or join the one of ``folder`` that
    runs; True where it was joined. StudyError where the one that runs has other settings, or where a new one
    does not come up."""
    folder = folder.resolve()
    # Who asked for passwords once goes on asking.
    asked = wanted(
        {**given, "basic_auth": (folder / server.SECRETS).exists() or given.get("basic_auth", False)}
    )
    with _alone(folder):
        before = found(folder)
        if before is not None and before.alive():
            _refuse_other_settings(before, given)
            return before, True
        if before is not None:
            _end(before)
            say("what was left of an earlier service was ended")
        return _start(folder, asked, say), False


def down(folder: Path) -> Service:
    """End the service of ``folder``; its data stay. StudyError where there is none."""
    folder = folder.resolve()
    service = found(folder)
    if service is None:
        raise StudyError(f"no service was started from {folder}; name its --folder")
    _end(service)
    return service


def running(folder: Path) -> Service:
    """The service of ``folder`` that runs. StudyError where none does."""
    service = found(folder.resolve())
    if service is None:
        raise StudyError(f"no service runs from {folder}; start one: study service up")
    if not service.alive():
        gone = next((part.name for part in service.parts if part.process() is None), MLFLOW)
        raise StudyError(f"the service of {folder} has lost its {gone}; start it again: study service up")
    return service


def answers(service: Service) -> bool:
    """Whether MLflow's server says that it is well."""
    try:
        return requests.get(f"{service.tracking_uri}/health", timeout=CONTACT_S).ok
    except requests.RequestException:
        return False


def _start(folder: Path, asked: Wanted, say: Say) -> Service:
    asked = replace(asked, port=tracking.free_port(asked.port, asked.host))
    service = Service(folder, server.address(asked), asked.database or "", asked, ())
    try:
        access = {}
        if asked.database is None:
            service, access = _with_postgres(service, say), postgres.access(folder)
        return _with_mlflow(service, access, say)
    except BaseException:
        _end(found(folder) or service)
        raise


def _with_postgres(service: Service, say: Say) -> Service:
    folder, port = service.folder, free_port()
    made = "" if (folder / "postgres").exists() else "made and "
    process = postgres.start(folder, port)
    service = _added(replace(service, database=postgres.uri(port)), POSTGRES, process.pid)
    postgres.wait(process, folder, port)
    say(f"PostgreSQL is {made}up, port {port}")
    return service


def _with_mlflow(service: Service, access: dict[str, str], say: Say) -> Service:
    say("MLflow is starting (some 20 seconds) ...")
    running = server.start(service.wanted, service.database, service.folder, access)
    with running.log:
        service = _added(service, MLFLOW, running.process.pid)
        try:
            tracking.wait_till_ready(running)
        except TrackingError as error:
            raise StudyError(f"{error}; see {service.folder / 'mlflow.log'}") from error
    if service.wanted.basic_auth:
        server.check_login(running, service.folder)
    return service


def _added(service: Service, name: str, pid: int) -> Service:
    """The service with one more part, written down before it is waited for."""
    part = Part(name, pid, birth(pid))
    service = replace(service, parts=(*service.parts, part))
    keep(service)
    return service


def _end(service: Service) -> None:
    """End what runs of it, the server before its database."""
    for part in reversed(service.parts):
        process = part.process()
        if part.name != POSTGRES:
            end(session(part.pid, part.born))
        elif process is not None:
            postgres.stop(process)
    forget(service)


def _refuse_other_settings(service: Service, given: Mapping[str, Any]) -> None:
    there = asdict(service.wanted)
    any_port = ("port", 0)
    other = [key for key, value in given.items() if value != there[key] and (key, value) != any_port]
    if other:
        options = ", ".join(f"--{key.replace('_', '-')}" for key in other)
        raise StudyError(
            f"a service runs already at {service.tracking_uri}, with other settings ({options}); "
            "end it first: study service down"
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One `up` at a time in a folder."""
    lock = FileLock(_own(folder) / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise StudyError(f"a service is being started from {folder} already; wait for it") from error
    try:
        yield
    finally:
        lock.release()


def _own(folder: Path) -> Path:
    """The folder, made where it is missing, for its owner's eyes alone; root's lets PostgreSQL's account
    through. StudyError for a folder of something else, whose mode is not ours to set."""
    mode = 0o700 if os.geteuid() else 0o711
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / LOCK).exists():
            raise StudyError(f"--folder {folder}: holds something else; name an empty or a new one")
        folder.chmod(mode)
    except OSError as error:
        raise StudyError(f"--folder {folder}: cannot be used: {error.strerror}; choose another") from error
    return folder
