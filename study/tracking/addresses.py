"""MLflow stores by their address: which kinds there are, where they keep things, whether one can be used."""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import requests

from study.errors import TrackingError, one_line, shorten
from study.record import StudyRecord

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SQLITE_HEADER = b"SQLite format 3\x00"

# How long a server may take to say that it is there, before the study starts without it.
CONTACT_S = 3.0


def default_tracking_uri(root: Path) -> str:
    """The store that stands beside the records under ``root``."""
    return f"sqlite:///{root.resolve() / 'mlflow.db'}"


def check(uri: str) -> str | None:
    """First contact, before a study starts. TrackingError where ``uri`` cannot be meant; a line to
    show where a server is not there (yet): the study runs without it, and MLflow is caught up later."""
    try:
        scheme = urlsplit(uri).scheme.partition("+")[0]
    except ValueError as error:
        raise TrackingError(f"--tracking-uri: is not a URL ({error}); e.g. http://127.0.0.1:5000") from error
    if is_server(uri):
        return _check_server(uri)
    if scheme not in DATABASES:
        raise TrackingError(
            f"--tracking-uri {shorten(redacted(uri))}: must be sqlite:///FILE, http://HOST:PORT or a "
            "database's URI (MLflow keeps no runs in plain folders any more)"
        )
    if scheme == "sqlite":
        _check_sqlite(uri)
    return None


def _check_sqlite(uri: str) -> None:
    path = sqlite_path(uri)
    if path is None or path.name == ":memory:":
        raise TrackingError(f"--tracking-uri {shorten(uri)}: must name a file: sqlite:///mlflow.db")
    place = f"--tracking-uri {path}"
    if path.is_dir():
        raise TrackingError(f"{place}: is a folder; name a file in it: sqlite:///{path / 'mlflow.db'}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise TrackingError(f"{place}: cannot be written; choose another place")
    if path.exists():
        _check_database(path, place)


def _check_database(path: Path, place: str) -> None:
    with path.open("rb") as file:
        header = file.read(len(SQLITE_HEADER))
    if header not in (b"", SQLITE_HEADER):
        raise TrackingError(f"{place}: is not an SQLite database; choose another file")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=CONTACT_S)
        try:
            tables = {
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise TrackingError(f"{place}: cannot be read: {one_line(str(error))}") from error
    if tables and "experiments" not in tables:
        raise TrackingError(f"{place}: is the database of something else than MLflow; choose another file")


def _check_server(uri: str) -> str | None:
    if not urlsplit(uri).hostname:
        raise TrackingError(
            f"--tracking-uri {shorten(redacted(uri))}: names no host; e.g. http://127.0.0.1:5000"
        )
    place = f"--tracking-uri {redacted(uri)}"
    try:
        # What MLflow's own client asks first, with the credentials it would use.
        question = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search"
        answer = requests.post(
            question, json={"max_results": 1}, timeout=CONTACT_S, headers=_token(), auth=_login()
        )
    except (requests.exceptions.InvalidURL, UnicodeError, ValueError) as error:
        raise TrackingError(f"{place}: is not a URL; e.g. http://127.0.0.1:5000") from error
    except requests.RequestException:
        return f"MLflow: nobody answers at {redacted(uri)}; the study runs without it and catches it up later"
    if answer.status_code in (401, 403):
        raise TrackingError(
            f"{place}: refuses us ({answer.status_code}); set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or have the name we call it by added to its --allowed-hosts"
        )
    if answer.status_code == 429 or answer.status_code >= 500:
        return f"MLflow: {redacted(uri)} answers {answer.status_code}; the study runs and catches it up later"
    if not answer.ok or not answer.headers.get("content-type", "").startswith("application/json"):
        raise TrackingError(f"{place}: somebody answers there, but not an MLflow server; check the address")
    return None


def database_trouble(uri: str) -> str:
    """Why a database cannot be connected to, in a line; empty where it can, or where it is a file that the
    first run makes."""
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        return ""
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
        with engine.connect():
            pass
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        return f"cannot be connected to: {one_line(str(getattr(error, 'orig', None) or error))}"
    return ""


def server_version(uri: str) -> str | None:
    """Which MLflow answers at ``uri``, with the credentials that its client would use; None where it does
    not say."""
    try:
        answer = requests.get(
            f"{uri.rstrip('/')}/version", timeout=CONTACT_S, headers=_token(), auth=_login()
        )
    except requests.RequestException:
        return None
    found = answer.ok and re.fullmatch(r"[0-9][0-9A-Za-z.+-]{0,39}", answer.text.strip())
    return found[0] if found else None


def _token() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _login() -> tuple[str, str] | None:
    name, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (name, password) if name and password else None


def is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store, or None where ``uri`` names another kind, or none."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(\?.*)?", uri)
    return Path(match[1]) if match else None


def artifact_location(record: StudyRecord, uri: str) -> str | None:
    """Where artifacts go: beside an SQLite store, beside the records for another database; a server
    decides itself (None)."""
    if is_server(uri):
        return None
    database = sqlite_path(uri)
    beside = database.parent if database else record.folder.parent.parent
    return (beside.resolve() / "mlartifacts" / record.name).as_uri()


def redacted(uri: str) -> str:
    """``uri`` without user name and password."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    secrets = {key for key, _ in parse_qsl(parts.query) if "password" in key.lower()}
    if host == parts.netloc and not secrets:
        return uri
    query = "&".join(each for each in parts.query.split("&") if each.partition("=")[0] not in secrets)
    return urlunsplit(parts._replace(netloc=host, query=query))


def has_password(uri: str) -> bool:
    """Whether a password stands in it, where `ps` and logs would show it."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False  # it is no address at all
    return parts.password is not None or any("password" in key.lower() for key, _ in parse_qsl(parts.query))
