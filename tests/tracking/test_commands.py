"""study sync and study ui, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import psutil
import pytest
import requests

from study import tracking
from study.cli import run
from study.record import StudyRecord
from study.tracking.server import free_port
from tests.tracking.records import new_record

ROOT = Path(__file__).resolve().parents[2]


def test_sync_says_what_it_brought(
    record: StudyRecord, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sync", "acts", "--out", str(tmp_path)]) == 0
    count = tracking.pending(record, "elsewhere") - 2
    assert (
        capsys.readouterr().out
        == f"acts@{record.digest}: {count} events and 2 files were brought into MLflow\n"
    )
    assert tracking.differences(record, uri) == []


def test_sync_speaks_json(
    record: StudyRecord, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["sync", f"acts@{record.digest}", "--out", str(tmp_path), "--tracking-uri", uri, "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "study": "acts",
        "digest": record.digest,
        "folder": str(record.folder),
        "events": tracking.pending(record, "elsewhere") - 2,
        "files": 2,
        "pending": 0,
    }


def test_sync_into_a_server_that_is_away_is_unfinished(
    record: StudyRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{free_port(0)}"
    assert run(["sync", "acts", "--out", str(tmp_path), "--tracking-uri", address]) == 1
    left = tracking.pending(record, address)
    assert (
        capsys.readouterr().err
        == f"study: {address}: nobody answers there; {left} records are pending; try again later\n"
    )


@pytest.mark.parametrize("command", ["sync acts", "ui --port 0"])
def test_a_store_that_cannot_be_meant_is_the_users_mistake(
    record: StudyRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    arguments = [*command.split(), "--out", str(tmp_path), "--tracking-uri", "./mlruns"]
    assert run(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "sqlite:///FILE" in said


def test_ui_without_a_store_says_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ui", "--out", str(tmp_path)]) == 2
    way_out = "there is no MLflow store yet; run a study first, or name its --out"
    assert capsys.readouterr().err == f"study: {tmp_path / 'mlflow.db'}: {way_out}\n"


def test_ui_on_a_port_in_use_says_the_way_out(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["ui", "--out", str(tmp_path), "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"study: port {port} cannot be used (Address already in use); choose another one")


def test_ui_of_a_server_points_to_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ui", "--tracking-uri", "http://127.0.0.1:1", "--out", str(tmp_path)]) == 2
    assert "is a server with a UI of its own" in capsys.readouterr().err


@contextmanager
def ui_of(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """`study ui` on a folder's store, and what it prints."""
    command = [sys.executable, "-m", "study", "ui", "--port", "0", "--out", str(folder), *more]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=declared(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As at a terminal, also where the tests run in the background, which ignores Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 no other threads here
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout
    finally:
        process.kill()
        process.communicate()


@pytest.mark.xdist_group("mlflow")
def test_ui_shows_the_studies_on_this_machine_alone_until_ctrl_c(
    record: StudyRecord, uri: str, tmp_path: Path
) -> None:
    tracking.sync(record, uri)
    with ui_of(tmp_path) as (process, printed):
        page = printed.readline().split()[1]
        address = page.partition("/#/")[0]
        family = psutil.Process(process.pid).children(recursive=True)
        assert page == f"{address}/#/experiments?workflowType=machine_learning"
        view = f"{address}/#/experiments/1/runs?viewStateShareKey=trials&workflowType=machine_learning"
        assert printed.readline().split() == ["acts", view]
        assert '["mlflow.workflowType_v1", "machine_learning"]' in requests.get(address, timeout=30).text
        assistant = requests.get(f"{address}/ajax-api/3.0/mlflow/assistant/config", timeout=30)
        assert assistant.status_code == 404
        sockets = [each for kin in family for each in kin.net_connections("tcp")]
        assert {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        artifact = {"run_uuid": study_run(address), "path": "record/study.toml"}
        assert "question" in requests.get(f"{address}/get-artifact", params=artifact, timeout=30).text
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert alive(family) == []


@pytest.mark.xdist_group("mlflow")
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which tells a child of its parent's death")
def test_ui_that_is_killed_leaves_no_server(uri: str, tmp_path: Path) -> None:
    with ui_of(tmp_path) as (process, printed):
        printed.readline()
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert family
    psutil.wait_procs(family, timeout=60)
    assert alive(family) == []


def test_ui_shows_the_searches_in_optunas_dashboard(record: StudyRecord, tmp_path: Path) -> None:
    with ui_of(tmp_path, "--optuna") as (process, printed):
        address = printed.readline().split()[1].removesuffix("/dashboard")
        found = requests.get(f"{address}/api/studies", timeout=60).json()["study_summaries"]
        names = {each["study_name"] for each in found}
        assert names == {f"acts@{record.digest} relu", f"acts@{record.digest} elu"}
        sockets = psutil.Process(process.pid).net_connections("tcp")
        assert {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (0, False)


def test_ui_of_searches_without_a_record_says_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ui", "--optuna", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("holds no record; run a study first, or name its --out\n")


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    return [kin for kin in family if kin.is_running() and kin.status() != psutil.STATUS_ZOMBIE]


def study_run(address: str) -> str:
    """The run of the study itself."""
    question = f"{address}/api/2.0/mlflow/runs/search"
    wanted = {"experiment_ids": ["1"], "filter": "tags.phase = 'study'"}
    found = requests.post(question, json=wanted, timeout=30).json()["runs"]
    return str(found[0]["info"]["run_id"])


def declared(folder: Path) -> dict[str, str]:
    """An environment in which our plugin of MLflow's server is declared, as by the installed package."""
    facts = folder / "declared" / "face-0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: face\nVersion: 0\n")
    (facts / "entry_points.txt").write_text("[mlflow.app]\nstudy = study.tracking.site:app\n")
    path = os.pathsep.join([str(ROOT), str(facts.parent)])
    return {**os.environ, "PYTHONPATH": path}


def test_help_ends_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("sync", "ui"):
        assert run([command, "--help"]) == 0
        assert "Examples:" in capsys.readouterr().out


def test_a_record_that_is_not_there_is_the_users_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_record(tmp_path)
    assert run(["sync", "axts", "--out", str(tmp_path)]) == 2
    assert "did you mean acts?" in capsys.readouterr().err
