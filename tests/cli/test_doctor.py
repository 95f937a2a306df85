"""`study doctor`: what is there, and what would stop a study."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

import study as package
from study.processes import open_to_others
from tests.cli.conftest import Command, assert_one_line


def test_doctor_finds_nothing_wrong_here(study: Command) -> None:
    document = json.loads(study("doctor", "--json").out)
    checks = {check["check"]: check for check in document["checks"]}
    assert document["ok"] is True
    assert document["environment"]["study"] == package.__version__
    assert set(checks) >= {"device", "ray", "records", "shared memory", "data cifar10", "data digits"}
    assert checks["data digits"]["says"] == "embedded in scikit-learn"


@pytest.fixture(autouse=True)
def no_cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.mark.parametrize("program", ["mlflow", "/site-packages/ray/core/raylet", "/usr/lib/bin/postgres -D"])
@pytest.mark.parametrize(("host", "found"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_server_that_other_machines_reach_is_named(host: str, found: bool, program: str) -> None:
    """A process whose command line is like that of a server."""
    code = (
        "import socket, sys; listening = socket.create_server((sys.argv[1], 0)); "
        "print(listening.getsockname()[1], flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, host, program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        assert ((host, port) in [each[1:] for each in open_to_others()]) is found
        server.communicate()


def test_a_cluster_that_cannot_be_reached_is_named(study: Command) -> None:
    said = study("doctor", "--to", "ray")
    assert said.code == 1
    assert "NO  target ray: no cluster runs on this machine" in said.out


@contextmanager
def playing(pages: Mapping[str, str]) -> Iterator[str]:
    """A server that says what each of its pages has; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in pages else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(pages.get(self.path, "").encode())

        do_POST = do_GET  # noqa: N815 -- http.server's name

        def log_message(self, *words: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


SEARCH = "/api/2.0/mlflow/experiments/search"


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ({"/version": "1.2.3"}, f"mlflow differs: 1.2.3 there, {version('mlflow')} here"),
        ({"/version": version("mlflow")}, f"mlflow {version('mlflow')}, as here"),
        ({"/version": "<html>"}, "its version is unknown"),
        ({}, "its version is unknown"),
    ],
    ids=["another", "the same", "something else", "none"],
)
def test_an_mlflow_of_another_version_is_named(pages: dict[str, str], words: str, study: Command) -> None:
    with playing({SEARCH: "{}", **pages}) as address:
        said = study("doctor", "--tracking-uri", address)
    assert (said.code, f"ok  mlflow {address}: answers; {words}\n" in said.out) == (0, True), said.out


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://127.0.0.1:1", "nobody answers at http://127.0.0.1:1"),
        ("http://me@127.0.0.1:1", "nobody answers at http://127.0.0.1:1"),
        ("postgresql+psycopg://127.0.0.1:1/mlflow", "cannot be connected to"),
        ("./mlruns", "must be sqlite:///FILE"),
    ],
)
def test_an_mlflow_that_cannot_be_used_is_named(uri: str, words: str, study: Command) -> None:
    said = study("doctor", "--tracking-uri", uri)
    assert said.code == 1
    assert words in said.out


@pytest.mark.parametrize("command", ["run", "sync", "fetch", "promote", "audit", "ui", "doctor"])
@pytest.mark.parametrize("uri", ["http://me:hush@127.0.0.1:1", "postgresql://db/mlflow?password=hush"])
def test_a_password_is_no_argument(command: str, uri: str, study: Command) -> None:
    names = () if command in ("ui", "doctor") else ("mine",)
    said = study(command, *names, "--tracking-uri", uri)
    assert_one_line(said, "--tracking-uri: must not hold a password")
    assert "hush" not in said.out + said.err


def test_a_slurm_that_is_not_there_is_named(study: Command, folder: Path) -> None:
    text = f'kind = "slurm"\nout = "{folder / "nowhere"}"\nnodes = 1\ncpus_per_node = 1\n'
    (folder / "slurm.toml").write_text(text)
    said = study("doctor", "--to", "./slurm.toml")
    assert said.code == 1
    assert "NO  target ./slurm.toml: " in said.out


def test_a_database_has_no_server_to_ask(study: Command, folder: Path) -> None:
    said = study("doctor", "--tracking-uri", f"sqlite:///{folder}/mlflow.db")
    assert (said.code, "a database, with no server before it" in said.out) == (0, True)


@pytest.mark.parametrize("damage", [{}, {"/api/v0/cluster_metadata": "<html>"}], ids=["whole", "garbled"])
def test_a_ray_of_other_versions_is_named(damage: dict[str, str], study: Command, folder: Path) -> None:
    pages = {
        "/api/version": json.dumps({"version": "4", "ray_version": "2.9.0"}),
        "/api/jobs/": "[]",
        "/api/v0/cluster_metadata": json.dumps({"data": {"pythonVersion": platform.python_version()}}),
    }
    (folder / "token").write_text("secret")
    with playing({**pages, **damage}) as address:
        text = f'kind = "ray"\naddress = "{address}"\ntoken_file = "{folder}/token"\nout = "/there"\n'
        (folder / "far.toml").write_text(text)
        said = study("doctor", "--to", "./far.toml")
    differs = f"ray differs: 2.9.0 there, {version('ray')} here; python {platform.python_version()}, as here"
    assert (differs in said.out) is (not damage)
    assert ("does not say its versions" in said.out) is bool(damage)
    assert said.code == bool(damage)


def test_doctor_is_readable(study: Command) -> None:
    lines = study("doctor").out.splitlines()
    assert lines[0].startswith(f"study {package.__version__}  python ")
    assert all(line.startswith("ok  ") for line in lines[2:])


def test_doctor_says_where_data_is_missing_and_how_to_get_it(study: Command, folder: Path) -> None:
    out = study("doctor", "--data-dir", folder).out
    assert "data cifar10: not here; study data fetch cifar10" in out


def test_doctor_refuses_a_folder_without_room(study: Command) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux's /proc, a folder that never has room")
    said = study("doctor", "--out", "/proc/self/runs")
    assert said.code == 1
    assert "NO  records: /proc/self/runs" in said.out
    assert "choose another --out" in said.out


def test_doctor_makes_no_folder(study: Command, folder: Path) -> None:
    study("doctor", "--out", "new/runs")
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]
