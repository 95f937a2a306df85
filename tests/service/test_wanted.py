"""What a service may be asked, before anything is started: mistakes are one line, with the way out."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from study.errors import StudyError
from study.processes import birth
from study.service import operations, postgres, server, state
from study.service.state import Part, Service
from study.service.wanted import Wanted, wanted
from tests.cli.conftest import Command, assert_one_line

MISTAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a port beyond the last": (("--port", "65536"), ("--port", "65536 is not in the range")),
    "no workers": (("--workers", "0"), ("--workers", "0 is not in the range")),
    "a host that is none": (("--host", "a b"), ("--host 'a b': must be a host's name or address",)),
    "an option for a host": (("--allowed-hosts", "a.example,--x"), ("--allowed-hosts '--x': must be",)),
    "no hosts": (("--allowed-hosts", ""), ("--allowed-hosts '': must be a host's name",)),
    "a password": (
        ("--database", "postgresql://me:hush@db/mlflow"),
        ("--database: must not hold a password", "~/.pgpass", "PGPASSFILE"),
    ),
    "a password among the options": (
        ("--database", "postgresql://me@db/mlflow?password=hush"),
        ("--database: must not hold a password",),
    ),
    "another database": (
        ("--database", "sqlite:///mlflow.db"),
        ("'sqlite:///mlflow.db'", "must be the URI of a PostgreSQL's database", "postgresql://mlflow@"),
    ),
    "no database's name": (("--database", "postgresql://me@db"), ("must be the URI of a PostgreSQL's",)),
    "a port that is none": (("--database", "postgresql://db:x/mlflow"), ("--database: is not a URI",)),
    "artifacts without boto3": (("--artifacts", "s3://bucket/a"), ("needs boto3; install it",)),
    "artifacts nowhere": (("--artifacts", "here"), ("--artifacts 'here': must be a whole path, or s3://",)),
    "artifacts with a password": (
        ("--artifacts", "ftp://me:hush@store/a"),
        ("--artifacts: must not hold a password",),
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_refused_in_one_line(what: str, study: Command, folder: Path) -> None:
    arguments, words = MISTAKES[what]
    said = study("service", "up", "--folder", folder / "service", *arguments)
    assert_one_line(said, *words)
    assert "hush" not in said.err
    assert not (folder / "service").exists()


@pytest.mark.parametrize(
    ("library", "given"), [("psycopg", {}), ("flask_wtf", {"basic_auth": True})], ids=["psycopg", "flask_wtf"]
)
def test_a_missing_library_is_named_with_what_installs_it(
    library: str,
    given: dict[str, Any],
    study: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    options = ["--basic-auth"] if given else []
    said = study("service", "up", "--folder", folder / "service", *options)
    assert_one_line(said, f"needs {library}", "pip install 'study-service[service]'")


def test_without_postgresql_the_way_out_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    way_out = "there is no PostgreSQL here.*apt install postgresql.*--database postgresql://"
    with pytest.raises(StudyError, match=way_out) as error:
        postgres.programs_for(places=folder)
    assert "\n" not in str(error.value)


def test_data_of_a_version_that_is_not_here_are_refused(programs: Path) -> None:
    with pytest.raises(StudyError, match="the data are PostgreSQL 7's, and there is only"):
        postgres.programs_for("7")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as whom PostgreSQL does not run")
def test_a_folder_that_postgresql_s_account_may_not_enter_is_refused(
    study: Command,
    folder: Path,
    programs: Path,
) -> None:
    folder.chmod(0o700)
    said = study("service", "up", "--port", "0", "--folder", folder / "service")
    assert_one_line(said, "PostgreSQL does not run as root", "may not enter", "choose another --folder")


def test_a_port_in_use_is_refused(study: Command, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = study("service", "up", "--port", port, "--folder", folder / "service")
    assert_one_line(said, f"port {port} cannot be used (Address already in use)")


@pytest.mark.parametrize("command", ["status", "down"])
def test_where_no_service_was_started_that_is_said(command: str, study: Command, folder: Path) -> None:
    assert_one_line(study("service", command, "--folder", folder / "service"), "no service")


def test_a_damaged_state_is_refused(study: Command, folder: Path) -> None:
    for text in ("{", "[]", '{"parts": 3}', "\x00"):
        (folder / "service.json").write_text(text)
        assert_one_line(study("service", "status", "--folder", folder), "service.json: is damaged")


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(study: Command, folder: Path) -> None:
    folder.chmod(0o755)
    said = study("service", "up", "--folder", folder)
    assert_one_line(said, "holds something else; name an empty or a new one")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert_one_line(
        study("service", "up", "--folder", folder / "mine.toml" / "x"), "cannot be used: Not a dir"
    )


def test_two_at_once_are_one_too_many(study: Command, folder: Path) -> None:
    (folder / "mine.toml").unlink()
    with FileLock(folder / operations.LOCK):
        assert_one_line(study("service", "up", "--folder", folder), "is being started from", "already; wait")


def kept(folder: Path, wanted: Wanted, *pids: int) -> Service:
    """A service's state, as `up` leaves it, of processes that play its parts."""
    born = [birth(pid) for pid in pids]
    names = (state.POSTGRES, state.MLFLOW)[-len(pids) :]
    parts = tuple(Part(name, pid, at) for name, pid, at in zip(names, pids, born, strict=True))
    service = Service(folder, "http://127.0.0.1:1", "postgresql://study@127.0.0.1/mlflow", wanted, parts)
    state.keep(service)
    return service


def test_a_service_that_runs_is_joined_by_whoever_asks_for_no_other(study: Command, folder: Path) -> None:
    (folder / operations.LOCK).touch()
    kept(folder, Wanted(basic_auth=True), os.getpid(), os.getpid())
    for arguments in ([], ["--basic-auth"], ["--port", "5000"], ["--port", "0"]):
        said = study("service", "up", "--folder", folder, "--json", *arguments)
        assert json.loads(said.out)["joined"] is True
    other = study("service", "up", "--folder", folder, "--host", "0.0.0.0", "--workers", "2")
    assert_one_line(other, "a service runs already", "(--host, --workers)", "study service down")


def test_what_was_kept_is_found_again(folder: Path) -> None:
    asked = Wanted(port=5001, allowed_hosts=("a.example",), artifacts="s3://bucket/a")
    assert state.found(folder) is None
    service = kept(folder, asked, os.getpid(), os.getpid())
    assert state.found(folder) == service
    assert service.alive()


def test_a_service_without_its_server_is_none(study: Command, folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    kept(folder, Wanted(), os.getpid(), process.pid)
    process.communicate(b"\n")
    said = study("service", "status", "--folder", folder)
    assert_one_line(said, "has lost its MLflow", "study service up")


def test_the_end_of_a_service_is_the_end_of_the_whole_session_and_of_nobody_else(folder: Path) -> None:
    """A server whose first process was killed leaves another one, which has the port."""
    code = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); "
        "print(child.pid, flush=True); time.sleep(600)"
    )
    leader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    with leader.stdout:
        orphan = psutil.Process(int(leader.stdout.readline()))
    kept(folder, Wanted(), leader.pid)
    leader.kill()
    leader.wait()
    operations.down(folder)
    assert not orphan.is_running()
    assert state.found(folder) is None


@pytest.mark.parametrize(
    ("host", "open_to_others"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("db.example", True)],
)
def test_who_can_reach_it_is_known(host: str, open_to_others: bool) -> None:
    assert wanted({"host": host}).open() is open_to_others


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::", "http://[::1]:5000"),
        ("10.0.0.5", "http://10.0.0.5:5000"),
    ],
)
def test_the_address_is_one_that_this_machine_can_call(host: str, address: str) -> None:
    assert server.address(Wanted(host=host)) == address


def test_a_name_is_allowed_with_any_port_and_this_machine_stays_so() -> None:
    hosts, pages = server.hosts(("mlflow.example", "10.0.0.5:5000"))[1::2]
    assert hosts.split(",") == [
        *("localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*"),
        *("mlflow.example", "mlflow.example:*", "10.0.0.5:5000"),
    ]
    assert "https://mlflow.example" in pages.split(",")
    assert server.hosts(()) == []


def test_the_server_is_not_given_what_a_client_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush")
    monkeypatch.setenv("PGHOST", "far")
    own = server.environment_of("postgresql:///mlflow", {"PGPASSFILE": "here"})
    assert "hush" not in own.values()
    assert "PGHOST" not in own
    assert server.environment_of("postgresql:///mlflow", {})["PGHOST"] == "far"


@pytest.mark.parametrize("text", ["", "MLFLOW_TRACKING_USERNAME=admin\n", "MLFLOW_TRACKING_PASSWORD=\n"])
def test_a_file_of_passwords_that_has_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text(text)
    with pytest.raises(StudyError, match=r"secrets\.env: must have the lines"):
        server.login(tmp_path)
