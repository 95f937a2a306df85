"""MLflow's UI on the store beside the records: a server for this machine alone, ended with its children."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

import requests

from study.errors import TrackingError, one_line
from study.processes import HOST
from study.tracking.addresses import is_server, redacted, sqlite_path
from study.tracking.blank import at_hand
from study.tracking.store import SETTINGS

# Without the job runner and with one worker it is 2 processes and 0.4 GB, not 15 and 1.6 GB. A pool as
# large as this, because a small one makes writers wait for each other until their requests time out.
SERVER_SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "64",
}

# A new database takes some 7 s on an idle machine; on a busy one, minutes were seen.
READY_WITHIN_S = 240.0
GRACE_S = 5.0


@dataclass(frozen=True)
class Server:
    """A server that was started here."""

    address: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def alive(self) -> bool:
        return self.process.poll() is None

    def complain(self) -> None:
        """Raise TrackingError with the last thing that the server said."""
        size = os.fstat(self.log.fileno()).st_size
        text = os.pread(self.log.fileno(), 4000, max(0, size - 4000)).decode(errors="replace").strip()
        last = one_line(text.splitlines()[-1]) if text else "study --debug ui shows more"
        raise TrackingError(f"MLflow's server ended, or did not answer: {last}")


@contextmanager
def mlflow_server(uri: str, artifacts: Path, port: int) -> Iterator[Server]:
    """A server on the database at ``uri``, reachable from this machine alone, while the context lasts;
    it answers when the context begins. Port 0 takes a free one. TrackingError where it cannot start.
    """
    port = free_port(port)
    with tempfile.TemporaryFile() as log, ExitStack() as until_ready:
        until_ready.enter_context(at_hand(sqlite_path(uri)))
        # In a group of its own, so that it ends as a whole, and only when we say so.
        process = subprocess.Popen(
            server_command(HOST, port, str(artifacts), site_arguments()),
            env=os.environ | SETTINGS | SERVER_SETTINGS | {"MLFLOW_BACKEND_STORE_URI": uri},
            stdin=subprocess.DEVNULL,
            stdout=None if os.environ.get("STUDY_DEBUG") else log,
            stderr=None if os.environ.get("STUDY_DEBUG") else log,
            process_group=0,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 no other threads here
        )
        server = Server(f"http://{HOST}:{port}", process, log)
        try:
            wait_till_ready(server)
            until_ready.close()
            yield server
        finally:
            end(process)


def server_command(host: str, port: int, artifacts: str, app: Sequence[str], workers: int = 1) -> list[str]:
    """MLflow's server, artifacts passing through it. Its database it learns from its environment
    (MLFLOW_BACKEND_STORE_URI), which others do not see."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    command += ["--workers", str(workers), "--serve-artifacts", "--artifacts-destination", artifacts]
    return [*command, *app]


def wait_till_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while server.alive() and time.monotonic() < deadline:
        try:
            if requests.get(f"{server.address}/health", timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    server.complain()


def end(process: subprocess.Popen[bytes]) -> None:
    """End the server's whole group: politely, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def end_with_parent() -> None:
    """In the server's process: be told to end when the process that started it dies, however it dies."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def site_arguments() -> list[str]:
    """Our face on MLflow's server (study.tracking.site), where the installed package declares it."""
    return ["--app-name", "study"] if entry_points(group="mlflow.app", name="study") else []


def free_port(port: int, host: str = HOST) -> int:
    """``port``, or a free one for 0; TrackingError where somebody listens there already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            hint = "choose another one with --port, or 0 for a free one"
            where = f"port {port}" if host == HOST else f"port {port} of {host}"
            raise TrackingError(f"{where} cannot be used ({error.strerror}); {hint}") from error
        return int(probe.getsockname()[1])


def studies(address: str) -> dict[str, str]:
    """The studies that a server knows, by name, each with its experiment's id; the youngest first."""
    question = f"{address}/api/2.0/mlflow/experiments/search"
    wanted = {"max_results": 1000, "order_by": ["last_update_time DESC"]}
    try:
        answer = requests.post(question, json=wanted, timeout=30)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise TrackingError(f"MLflow does not say which studies it has: {one_line(str(error))}") from error
    found = answer.json().get("experiments", [])
    ours = [each for each in found if any(tag["key"] == "study" for tag in each.get("tags", []))]
    return {each["name"]: each["experiment_id"] for each in ours}


def local_store(uri: str) -> Path:
    """The folder of artifacts beside an SQLite store; TrackingError where there is no store to show."""
    if is_server(uri):
        raise TrackingError(f"{redacted(uri)}: is a server with a UI of its own; open it in a browser")
    path = sqlite_path(uri)
    if path is None:
        raise TrackingError(f"{redacted(uri)}: study ui opens sqlite:///FILE; for another, see mlflow server")
    if not path.is_file():
        raise TrackingError(f"{path}: there is no MLflow store yet; run a study first, or name its --out")
    return path.resolve().parent / "mlartifacts"
