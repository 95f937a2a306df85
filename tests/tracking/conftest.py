"""MLflow stores for the tests: an SQLite file of one's own, and one real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.record import StudyRecord
from study.tracking.addresses import default_tracking_uri
from study.tracking.server import Server, mlflow_server
from study.tracking.store import connect, load_mlflow
from tests.tracking.records import new_record, write_study


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: that takes a second."""
    load_mlflow()
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    """An SQLite store beside the records of the test."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return default_tracking_uri(tmp_path)


@pytest.fixture
def record(tmp_path: Path) -> StudyRecord:
    """A finished study."""
    made = new_record(tmp_path)
    write_study(made)
    return made


@pytest.fixture(scope="package")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="package")
def server(server_folder: Path, empty_database: Path) -> Iterator[Server]:
    """A real MLflow server on loopback."""
    shutil.copy(empty_database, server_folder / "mlflow.db")
    with mlflow_server(default_tracking_uri(server_folder), server_folder / "mlartifacts", 0) as running:
        yield running
