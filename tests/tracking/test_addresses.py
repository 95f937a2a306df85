"""Which MLflow stores can be meant, and what is said of those that cannot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.errors import TrackingError
from study.tracking.addresses import artifact_location, check, default_tracking_uri, redacted, sqlite_path
from study.tracking.server import free_port
from tests.tracking.proxy import Proxy, proxy_before
from tests.tracking.records import new_record


@pytest.fixture
def nobody() -> str:
    return f"http://127.0.0.1:{free_port(0)}"


@pytest.fixture
def somebody(nobody: str) -> Iterator[Proxy]:
    """Somebody who answers as they are told to."""
    with proxy_before(nobody) as proxy:
        yield proxy


def test_a_new_database_can_be_used(tmp_path: Path) -> None:
    assert check(default_tracking_uri(tmp_path / "runs" / "of mine")) is None
    assert not (tmp_path / "runs").exists()


def test_a_database_of_mlflow_can_be_used(uri: str) -> None:
    assert check(uri) is None


@pytest.mark.parametrize("uri", ["postgresql://me:secret@host/mlflow", "mysql+pymysql://host/mlflow"])
def test_another_kind_of_database_is_let_through(uri: str) -> None:
    assert check(uri) is None


@pytest.mark.parametrize(
    "uri", ["./mlruns", "file:///tmp/mlruns", "", "mlflow.db", "ftp://host", "databricks"]
)
def test_what_is_no_store_is_refused(uri: str) -> None:
    with pytest.raises(
        TrackingError, match=r"--tracking-uri .*: must be sqlite:///FILE, http://HOST:PORT or"
    ):
        check(uri)


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_must_be_a_file(uri: str) -> None:
    with pytest.raises(TrackingError, match="must name a file"):
        check(uri)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"is a folder; name a file in it: sqlite:///.*/mlflow\.db"):
        check(f"sqlite:///{tmp_path}")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="cannot be written; choose another place"):
        check(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("notes of mine, nothing else")
    with pytest.raises(TrackingError, match=r"mlflow\.db: is not an SQLite database"):
        check(default_tracking_uri(tmp_path))


def test_a_database_of_something_else_is_named(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute("CREATE TABLE birds (name TEXT)")
    connection.close()
    with pytest.raises(TrackingError, match="is the database of something else than MLflow"):
        check(default_tracking_uri(tmp_path))


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 4000)
    with pytest.raises(TrackingError, match=r"mlflow\.db: cannot be read: "):
        check(default_tracking_uri(tmp_path))


def test_a_server_that_is_not_there_is_a_warning(nobody: str) -> None:
    said = check(nobody)
    assert said == f"MLflow: nobody answers at {nobody}; the study runs without it and catches it up later"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_a_warning(somebody: Proxy, status: int) -> None:
    somebody.trouble = lambda number, path: str(status)
    assert f"answers {status}" in (check(somebody.address) or "")


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_us_is_named_with_the_way_out(somebody: Proxy, status: int) -> None:
    somebody.trouble = lambda number, path: str(status)
    with pytest.raises(TrackingError, match=rf"refuses us \({status}\); set MLFLOW_TRACKING_USERNAME"):
        check(somebody.address)


@pytest.mark.parametrize("status", [200, 404])
def test_a_server_of_something_else_is_named(somebody: Proxy, status: int) -> None:
    somebody.trouble = lambda number, path: str(status)
    with pytest.raises(TrackingError, match="somebody answers there, but not an MLflow server"):
        check(somebody.address)


@pytest.mark.parametrize("uri", ["http://", "http:///x"])
def test_a_server_must_be_named(uri: str) -> None:
    with pytest.raises(TrackingError, match="names no host"):
        check(uri)


@pytest.mark.parametrize("uri", ["http://host:port", "http://[half/x", "http://bad host:80"])
def test_what_is_no_url_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match="is not a URL"):
        check(uri)


def test_a_password_is_not_shown() -> None:
    assert redacted("postgresql://me:secret@host:5432/mlflow") == "postgresql://host:5432/mlflow"
    assert redacted("postgresql://host/mlflow?password=secret&a=1") == "postgresql://host/mlflow?a=1"
    assert redacted("http://127.0.0.1:5000/x") == "http://127.0.0.1:5000/x"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////abs/mlflow.db", "/abs/mlflow.db"),
        ("sqlite:///here/mlflow.db", "here/mlflow.db"),
        ("sqlite+pysqlite:////abs/of mine.db?timeout=3", "/abs/of mine.db"),
        ("postgresql://host/sqlite:///x", None),
    ],
)
def test_the_file_of_a_database_is_found(uri: str, path: str | None) -> None:
    assert sqlite_path(uri) == (Path(path) if path else None)


def test_a_server_decides_where_artifacts_go(tmp_path: Path) -> None:
    assert artifact_location(new_record(tmp_path), "http://host:5000") is None


def test_artifacts_of_another_database_stand_beside_the_records(tmp_path: Path) -> None:
    location = artifact_location(new_record(tmp_path), "postgresql://host/mlflow")
    assert location == (tmp_path / "mlartifacts" / "acts").as_uri()
