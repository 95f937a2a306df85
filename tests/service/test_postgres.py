"""A PostgreSQL of the service's own, the real one: who gets in, from where, and what stays when it ends."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from study.errors import StudyError
from study.processes import family, free_port, listening
from study.service import postgres

pytestmark = pytest.mark.xdist_group("mlflow")


@pytest.fixture(scope="module")
def home(place: Path) -> Path:
    folder = place / "alone"
    folder.mkdir(mode=0o711)
    return folder


@pytest.fixture(scope="module")
def port(home: Path) -> Iterator[int]:
    """The port of one that runs."""
    number = free_port()
    with postgres.start(home, number) as process:
        postgres.wait(process, home, number)
        yield number
        postgres.stop(psutil.Process(process.pid))


def password(home: Path) -> str:
    return (home / "pgpass").read_text().strip().rpartition(":")[2]


def connect(host: str, port: int, password: str) -> psycopg.Connection:
    return psycopg.connect(
        host=host, port=port, user=postgres.ROLE, dbname=postgres.DATABASE, password=password
    )


def test_its_password_opens_it(home: Path, port: int) -> None:
    for host in ("127.0.0.1", str(home / "postgres")):
        with connect(host, port, password(home)) as connection:
            assert connection.execute("select current_database()").fetchone() == (postgres.DATABASE,)


@pytest.mark.parametrize("wrong", ["", "wrong"])
def test_another_password_does_not(wrong: str, home: Path, port: int) -> None:
    for host in ("127.0.0.1", str(home / "postgres")):
        with pytest.raises(psycopg.OperationalError, match="password"):
            connect(host, port, wrong)


def test_passwords_travel_as_scram(home: Path, port: int) -> None:
    with connect("127.0.0.1", port, password(home)) as connection:
        assert connection.execute("show password_encryption").fetchone() == ("scram-sha-256",)
        found = connection.execute("select rolpassword from pg_authid where rolname = 'study'").fetchone()
    assert found is not None
    assert str(found[0]).startswith("SCRAM-SHA-256$")


def test_it_listens_on_this_machine_alone(home: Path, port: int) -> None:
    pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    assert {place for each in family(psutil.Process(pid)) for place in listening(each)} == {
        ("127.0.0.1", port)
    }


def test_it_does_not_run_as_root(home: Path, port: int) -> None:
    pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    mine = pwd.getpwuid(os.geteuid()).pw_name
    assert psutil.Process(pid).username() == ("postgres" if mine == "root" else mine)


def test_its_password_is_in_one_file_that_its_owner_alone_reads(home: Path, port: int) -> None:
    assert stat.S_IMODE((home / "pgpass").stat().st_mode) == 0o600
    told = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not any(password(home) in line for line in told)
    assert password(home) not in (home / "postgres.log").read_text()
    assert {path.name.split(".")[0] for path in home.iterdir()} == {"pgpass", "postgres"}


def test_what_is_kept_outlives_it(place: Path) -> None:
    home, seen = place / "kept", []
    home.mkdir(mode=0o711)
    for statement in ("create table t as select 7 as n", "select n from t"):
        number = free_port()
        with postgres.start(home, number) as process:
            postgres.wait(process, home, number)
            with connect("127.0.0.1", number, password(home)) as connection:
                answer = connection.execute(statement)
                seen.append(answer.fetchone() if answer.description else None)
            postgres.stop(psutil.Process(process.pid))
        assert process.returncode == 0
    assert seen == [None, (7,)]


def test_one_that_cannot_start_says_why(home: Path, port: int, place: Path) -> None:
    """A second one on the same data."""
    other = free_port()
    with (
        postgres.start(home, other) as second,
        pytest.raises(StudyError, match=r"PostgreSQL did not start \(.*already exists.*\); see .*\.log"),
    ):
        postgres.wait(second, home, other)


def test_a_beginning_that_was_cut_short_is_begun_anew(place: Path, programs: Path) -> None:
    home = place / "cut"
    (home / "postgres.partial" / "base").mkdir(parents=True)
    home.chmod(0o711)
    with postgres.start(home, free_port()) as process:
        postgres.stop(psutil.Process(process.pid))
    assert (home / "postgres" / "PG_VERSION").is_file()
    assert not (home / "postgres.partial").exists()


def test_a_path_too_long_for_a_socket_goes_without(programs: Path) -> None:
    words = postgres.command(programs, Path("/" + "x" * postgres.MAX_SOCKET_FOLDER), 5432)
    assert "unix_socket_directories=" in words
    data = Path("/" + "x" * (postgres.MAX_SOCKET_FOLDER - 1))
    assert f"unix_socket_directories={data}" in postgres.command(programs, data, 5432)


def test_the_settings_of_another_one_do_not_reach_it(
    home: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGDATABASE", "PGSSLMODE"):
        monkeypatch.setenv(name, "require")
    with subprocess.Popen(["true"]) as nobody:
        postgres.wait(nobody, home, port)
