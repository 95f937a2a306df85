"""`study doctor`: what is there, and what would stop a study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import study as package
from study.tuning import nodes
from tests.cli.conftest import Command


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


@pytest.mark.parametrize(("host", "found"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_server_that_other_machines_reach_is_named(host: str, found: bool) -> None:
    """A process whose command line is like that of MLflow's server."""
    code = (
        "import socket, sys; listening = socket.create_server((sys.argv[1], 0)); "
        "print(listening.getsockname()[1], flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, host, "mlflow"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        assert (port in [each for _, each in nodes.open_to_others()]) is found
        server.communicate()


def test_a_cluster_that_cannot_be_reached_is_named(study: Command) -> None:
    said = study("doctor", "--to", "ray")
    assert said.code == 1
    assert "NO  target ray: no cluster runs on this machine" in said.out


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
