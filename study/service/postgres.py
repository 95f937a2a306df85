"""A PostgreSQL of its own in a folder: for this machine alone, and for those alone who know its password.

    FOLDER/postgres       its data, and its socket where the path is short enough for one
           postgres.log   what it says
           pgpass         its password, as PostgreSQL's own clients read it (PGPASSFILE), mode 0600

PostgreSQL refuses to run as root; started by root, it runs as the account that Debian's package makes.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from study.errors import StudyError, one_line, shorten
from study.private import new_log, new_secret, write_private
from study.processes import HOST

ROLE, DATABASE, ACCOUNT = "study", "mlflow", "postgres"

# A worker of MLflow's server takes up to some forty connections at once; PostgreSQL's own limit is 100.
SETTINGS = {"max_connections": "400"}

# One folder a version, which Debian keeps apart from the PATH.
DEBIAN = Path("/usr/lib/postgresql")
WAY_OUT = "apt install postgresql, or name a server: --database postgresql://USER@HOST/NAME"

# The path of a socket has 107 characters at most, of which PostgreSQL's name for it takes 20.
MAX_SOCKET_FOLDER = 87

READY_WITHIN_S = 120.0
COMMAND_S = 120.0
# How long a shutdown may take that writes everything out; one that is cut short is made up at the next start.
SHUTDOWN_S = 60.0


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the PostgreSQL of ``folder``, made first where there is none. It does not answer yet. StudyError
    where there are no programs for it, or root's account cannot reach the folder."""
    data, account = folder / "postgres", account_of(folder)
    if not data.exists():
        _create(folder, account)
    programs = programs_for((data / "PG_VERSION").read_text(encoding="ascii").strip())
    with new_log(folder / "postgres.log") as log:
        return subprocess.Popen(
            command(programs, data, port),
            **_as(account),
            env=_environment(),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def command(programs: Path, data: Path, port: int) -> list[str]:
    sockets = str(data) if len(str(data)) <= MAX_SOCKET_FOLDER else ""
    settings = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": sockets} | SETTINGS
    words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    return [str(programs / "postgres"), "-D", str(data), *words]


def wait(process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    """Until it takes connections and has the database. StudyError where it ends before that."""
    programs = programs_for((folder / "postgres" / "PG_VERSION").read_text(encoding="ascii").strip())
    deadline = time.monotonic() + READY_WITHIN_S
    ready = [str(programs / "pg_isready"), "-q", "-h", HOST, "-p", str(port)]
    while subprocess.run(ready, env=_environment(), check=False, timeout=COMMAND_S).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            log = folder / "postgres.log"
            raise StudyError(f"PostgreSQL did not start ({_said(log)}); see {log}")
        time.sleep(0.1)
    create = [str(programs / "createdb"), "-w", "-h", HOST, "-p", str(port), "-U", ROLE, DATABASE]
    _run(create, may_say="already exists", environment=_environment() | access(folder))


def stop(process: psutil.Process) -> None:
    """PostgreSQL's fast shutdown, or its immediate one where that takes too long; never SIGKILL, after which
    its shared memory stays behind."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        try:
            process.send_signal(number)
            process.wait(SHUTDOWN_S)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue
        return


def uri(port: int) -> str:
    return f"postgresql://{ROLE}@{HOST}:{port}/{DATABASE}"


def access(folder: Path) -> dict[str, str]:
    """What a client must have in its environment."""
    return {"PGPASSFILE": str(folder / "pgpass")}


def programs_for(version: str | None = None, places: Path = DEBIAN) -> Path:
    """The folder of PostgreSQL's programs: of that major version, or of the newest where None. ``places`` has
    a folder for each version."""
    found = {int(path.name): path / "bin" for path in places.glob("*") if path.name.isdecimal()}
    found = {number: path for number, path in found.items() if (path / "initdb").is_file()}
    if (on_path := shutil.which("initdb")) and (number := _version(on_path)):
        found[number] = Path(on_path).resolve().parent
    if not found:
        raise StudyError(f"there is no PostgreSQL here, on the PATH or in {places}; {WAY_OUT}")
    if version is None:
        return found[max(found)]
    if int(version) not in found:
        there = ", ".join(map(str, sorted(found)))
        raise StudyError(f"the data are PostgreSQL {version}'s, and there is only {there}; see pg_upgrade")
    return found[int(version)]


def account_of(folder: Path) -> int | None:
    """Who PostgreSQL runs as: None for ourselves, a user's number for root's. StudyError where that account
    is not there, or may not enter the folder."""
    if os.geteuid():
        return None
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError as error:
        raise StudyError(
            f"PostgreSQL does not run as root, and there is no account {ACCOUNT}; {WAY_OUT}"
        ) from error
    for each in (folder.resolve(), *folder.resolve().parents):
        if each.stat().st_uid != account.pw_uid and not each.stat().st_mode & stat.S_IXOTH:
            raise StudyError(
                f"{folder}: PostgreSQL does not run as root, and its account {ACCOUNT} may not enter {each}; "
                "choose another --folder, e.g. /var/lib/study"
            )
    return account.pw_uid


def _create(folder: Path, account: int | None) -> None:
    """A new PostgreSQL with one role, whose password is new too. It appears under its name when whole."""
    programs, partial = programs_for(), folder / "postgres.partial"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    password = new_secret()
    given = write_private(folder / ".password", password)
    if account is not None:
        os.chown(partial, account, -1)
        os.chown(given, account, -1)
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username", ROLE]
    words = [str(programs / "initdb"), "--pgdata", str(partial), "--pwfile", str(given), *options]
    try:
        _run(words, account=account, cwd=partial)
    finally:
        given.unlink()
    write_private(folder / "pgpass", f"*:*:*:{ROLE}:{password}\n")
    partial.rename(folder / "postgres")


def _said(log: Path) -> str:
    """What it gave up with."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() or ["nothing was said"]
    last = next((line for line in reversed(lines) if "FATAL" in line), lines[-1])
    return shorten(one_line(last.rpartition("FATAL: ")[2]), 200)


def _run(
    words: list[str],
    *,
    account: int | None = None,
    may_say: str | None = None,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """StudyError, in the program's words, where it fails, unless it says ``may_say``."""
    done = subprocess.run(
        words,
        **_as(account),
        env=environment or _environment(),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    if done.returncode and not (may_say and may_say in done.stderr):
        raise StudyError(f"{Path(words[0]).name}: {shorten(one_line(done.stderr), 300)}")


def _environment() -> dict[str, str]:
    """Ours without the settings of other PostgreSQLs, in a language that is known."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"}


def _as(account: int | None) -> dict[str, Any]:
    """How a program is started as that user, with none of our groups."""
    if account is None:
        return {}
    return {"user": account, "group": pwd.getpwuid(account).pw_gid, "extra_groups": ()}


def _version(initdb: str) -> int | None:
    """15 of `initdb (PostgreSQL) 15.18 (Debian ...)`."""
    done = subprocess.run(
        [initdb, "--version"], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    found = re.search(r"\) (\d+)", done.stdout)
    return int(found[1]) if found else None
