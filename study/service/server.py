"""MLflow's server as the service runs it: its environment, where passwords are, and its passwords' files.

FOLDER/secrets.env      the administrator's name and password, as MLflow's clients read them; mode 0600
       basic-auth.ini   how MLflow asks for passwords: cluster/basic-auth.ini, and where its users are
       flask-key        what the server signs its forms with; mode 0600
       mlflow.log       what it says
"""

from __future__ import annotations

import os
import subprocess
from configparser import ConfigParser
from io import StringIO
from pathlib import Path

import requests

from study.errors import StudyError
from study.private import new_log, new_secret, write_private
from study.processes import HOST
from study.service.wanted import Wanted
from study.submission.target import bundled_folder
from study.tracking.server import SERVER_SETTINGS, Server, server_command, site_arguments
from study.tracking.store import SETTINGS

ADMIN, SECRETS = "admin", "secrets.env"
NAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"

CONTACT_S = 30.0

# Said of hosts that MLflow knows itself as long as it is told no others.
THIS_MACHINE = ("localhost", HOST)


def start(wanted: Wanted, database: str, folder: Path, access: dict[str, str]) -> Server:
    """Start it; it does not answer yet. ``access`` is what PostgreSQL's client wants in its environment."""
    environment = environment_of(database, access)
    if wanted.basic_auth:
        environment |= guard(folder, database)
    artifacts = wanted.artifacts or str(own_artifacts(folder))
    log = new_log(folder / "mlflow.log")
    process = subprocess.Popen(
        command(wanted, artifacts),
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    return Server(address(wanted), process, log)


def command(wanted: Wanted, artifacts: str) -> list[str]:
    """MLflow's server, without a word that would be a secret."""
    app = ["--app-name", "basic-auth"] if wanted.basic_auth else site_arguments()
    words = server_command(wanted.host, wanted.port, artifacts, app, wanted.workers)
    return words + hosts(wanted.allowed_hosts)


def hosts(names: tuple[str, ...]) -> list[str]:
    """The names by which the server lets itself be called, with any port, and the pages that may write to it:
    its own. None given: MLflow's own, which are this machine's and private addresses."""
    if not names:
        return []
    called = [form for name in (*THIS_MACHINE, *names) for form in _forms(name)]
    pages = [f"{scheme}://{form}" for scheme in ("http", "https") for form in called]
    return ["--allowed-hosts", ",".join(called), "--cors-allowed-origins", ",".join(pages)]


def _forms(name: str) -> tuple[str, ...]:
    return (name,) if ":" in name or "*" in name else (name, f"{name}:*")


def environment_of(database: str, access: dict[str, str]) -> dict[str, str]:
    """Ours, without what an MLflow's client would send where and, with ``access`` to a PostgreSQL of its own,
    without the settings of another one."""
    foreign = ("MLFLOW_TRACKING_", "PG") if access else ("MLFLOW_TRACKING_",)
    ours = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return ours | SETTINGS | SERVER_SETTINGS | {"MLFLOW_BACKEND_STORE_URI": database} | access


def guard(folder: Path, database: str) -> dict[str, str]:
    """Have passwords asked: the files for it, where they are missing, and what the server must know of them.
    Users are kept in the same database."""
    secrets, key = folder / SECRETS, folder / "flask-key"
    if not secrets.exists():
        write_private(secrets, f"{NAME}={ADMIN}\n{PASSWORD}={new_secret()}\n")
    if not key.exists():
        write_private(key, new_secret())
    name, password = login(folder)
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(write_private(folder / "basic-auth.ini", auth_settings(database))),
        "MLFLOW_AUTH_ADMIN_USERNAME": name,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key.read_text(encoding="ascii"),
    }


def auth_settings(database: str) -> str:
    """cluster/basic-auth.ini with another place for the users."""
    settings, text = ConfigParser(interpolation=None), StringIO()
    settings.read(bundled_folder() / "basic-auth.ini", encoding="utf-8")
    settings["mlflow"]["database_uri"] = database
    settings.write(text)
    return text.getvalue()


def login(folder: Path) -> tuple[str, str]:
    """The administrator's name and password. StudyError where the file is not what it should be."""
    path = folder / SECRETS
    lines = dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    if not lines.get(NAME) or not lines.get(PASSWORD):
        raise StudyError(f"{path}: must have the lines {NAME}=... and {PASSWORD}=...; mend it")
    return lines[NAME], lines[PASSWORD]


def check_login(running: Server, folder: Path) -> None:
    """StudyError where the database's users are older than our password, and the server does not know it."""
    path = folder / SECRETS
    try:
        answer = requests.get(f"{running.address}/version", auth=login(folder), timeout=CONTACT_S)
    except requests.RequestException as error:
        raise StudyError(
            f"{running.address}: does not answer any more; see {folder / 'mlflow.log'}"
        ) from error
    if answer.status_code == 401:
        raise StudyError(f"this database has an administrator with another password; write that into {path}")


def own_artifacts(folder: Path) -> Path:
    path = folder / "artifacts"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def address(wanted: Wanted) -> str:
    """Where this machine finds it."""
    host = {"0.0.0.0": HOST, "::": "::1"}.get(wanted.host, wanted.host)  # noqa: S104 -- what was asked for
    return f"http://[{host}]:{wanted.port}" if ":" in host else f"http://{host}:{wanted.port}"
