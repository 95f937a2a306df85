"""Feeding a real MLflow server from a running study, over a network that fails in every way."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from study import tracking
from study.errors import TrackingError
from study.record import JournalWriter, StudyRecord
from study.tracking.addresses import default_tracking_uri
from study.tracking.server import Server, free_port, mlflow_server
from study.tracking.store import connect
from tests.tracking.proxy import Proxy, proxy_before
from tests.tracking.records import begin, config, new_record, row, run_trial, write_study

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("mlflow")]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxy_before(server.address) as made:
        yield made


def feed(record: StudyRecord, uri: str, patience_s: float = 60.0) -> tracking.Feeder:
    return tracking.Feeder(record, uri, every_s=0.1, patience_s=patience_s)


def test_a_server_gets_the_same_as_a_database(record: StudyRecord, server: Server) -> None:
    (record.folder / "report.html").write_text("<p>report</p>")
    tracking.sync(record, server.address)
    assert tracking.differences(record, server.address) == []


def test_one_that_waits_does_nothing_before_it_begins_and_all_at_the_end(tmp_path: Path, uri: str) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal, tracking.Feeder(record, uri, every_s=0.01, wait=True) as feeder:
        begin(journal)
        time.sleep(0.1)
        assert not feeder.begun
        assert not (record.folder / "mlflow.json").exists()
        run_trial(journal, config())
    assert (feeder.pending, feeder.trouble) == (0, None)
    assert tracking.differences(record, uri) == []


def test_one_that_waits_imports_mlflow_when_told_to_load_or_to_begin(tmp_path: Path, uri: str) -> None:
    record = new_record(tmp_path)
    code = f"""
import sys
from pathlib import Path
from study.record import StudyRecord
from study.tracking import Feeder

def loaded():
    return "mlflow" in sys.modules

with Feeder(StudyRecord(Path({str(record.folder)!r})), {uri!r}, wait=True) as feeder:
    before = loaded()
    getattr(feeder, sys.argv[1])()
    print(before, loaded(), feeder.begun)
"""
    said = [
        subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True).stdout
        for word in ("load", "begin")
    ]
    assert said == ["False True False\n", "False True True\n"]


def test_a_server_takes_no_point_twice(record: StudyRecord, server: Server) -> None:
    tracking.sync(record, server.address)
    (record.folder / "mlflow.json").unlink()
    tracking.sync(record, server.address)
    assert tracking.differences(record, server.address) == []


def test_a_running_study_is_fed_while_it_runs(tmp_path: Path, server: Server) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal, feed(record, server.address) as feeder:
        begin(journal)
        run_trial(journal, config())
        wait_for(lambda: tracking.pending(record, server.address, whole=False) == 0)
        journal.asked(config(index=1))
        journal.started(config(index=1).id, 1)
        journal.epoch(config(index=1).id, 1, row(1))
        wait_for(lambda: tracking.pending(record, server.address, whole=False) == 0)
        assert tracking.differences(record, server.address) == []
    assert (feeder.pending, feeder.trouble) == (0, None)


def test_a_study_that_stops_leaves_nothing_running(tmp_path: Path, server: Server) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal, feed(record, server.address):
        begin(journal)
        journal.asked(config())
        journal.started(config().id, 1)
    assert tracking.differences(record, server.address) == []
    client = connect(server.address)
    experiment = client.get_experiment_by_name("acts")
    assert experiment is not None
    running = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    assert len(running) == 0


@pytest.mark.parametrize(
    "fate",
    ["reset", "503", "429", "500", "lost"],
    ids=["reset", "unavailable", "too many", "error", "answers lost"],
)
def test_every_third_request_fails_and_all_arrives_once(tmp_path: Path, proxy: Proxy, fate: str) -> None:
    record = new_record(tmp_path)
    proxy.trouble = lambda number, path: fate if number % 3 == 0 else ""
    with JournalWriter(record) as journal, feed(record, proxy.address):
        begin(journal)
        run_trial(journal, config())
        journal.append("finished")
        wait_for(lambda: tracking.pending(record, proxy.address, whole=False) == 0, 60)
        proxy.trouble = lambda number, path: ""
    assert tracking.differences(record, proxy.address) == []


@pytest.mark.parametrize("kind", ["runs/create", "runs/log-batch", "runs/update", "experiments/create"])
def test_a_request_whose_answer_was_lost_counts_once(tmp_path: Path, proxy: Proxy, kind: str) -> None:
    record = new_record(tmp_path)
    write_study(record, epochs=2)
    lost: list[str] = []

    def lose_the_first_two(number: int, path: str) -> str:
        if kind in path and len(lost) < 2:
            lost.append(path)
            return "lost"
        return ""

    proxy.trouble = lose_the_first_two
    for _ in range(5):
        try:
            tracking.sync(record, proxy.address)
        except TrackingError:
            continue
    assert tracking.differences(record, proxy.address) == []


def test_a_server_that_hangs_holds_nobody_up(tmp_path: Path, proxy: Proxy) -> None:
    record = new_record(tmp_path)
    proxy.trouble = lambda number, path: "hang"
    with JournalWriter(record) as journal, feed(record, proxy.address, patience_s=0.5) as feeder:
        begin(journal)
        slowest = 0.0
        for index in range(50):
            began = time.monotonic()
            journal.asked(config(index=index))
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.01)
        closing = time.monotonic()
    # Far less than the 10 s after which a request is given up, and more than a busy machine takes.
    assert time.monotonic() - closing < 5.0
    assert slowest < 2.0
    assert feeder.pending == 53
    assert feeder.trouble is not None


def test_a_server_that_is_not_there_is_told_at_the_end(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    address = f"http://127.0.0.1:{free_port(0)}"
    with JournalWriter(record) as journal, feed(record, address) as feeder:
        begin(journal)
        wait_for(lambda: feeder.trouble is not None)
    assert feeder.pending == 3  # one event, the study file and the journal
    assert feeder.trouble == f"{address}: nobody answers there"


def test_a_server_that_comes_back_is_caught_up(tmp_path: Path, empty_database: Path) -> None:
    record = new_record(tmp_path / "runs")
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    port = free_port(0)
    address = f"http://127.0.0.1:{port}"
    with JournalWriter(record) as journal, feed(record, address) as feeder:
        begin(journal)
        run_trial(journal, config(index=0))
        wait_for(lambda: feeder.trouble is not None)
        with mlflow_server(default_tracking_uri(tmp_path), tmp_path / "mlartifacts", port):
            wait_for(lambda: feeder.pending == 0 and feeder.trouble is None, 60)
        run_trial(journal, config(index=1))
        wait_for(lambda: feeder.trouble is not None)
        with mlflow_server(default_tracking_uri(tmp_path), tmp_path / "mlartifacts", port):
            wait_for(lambda: feeder.pending == 0, 60)
            assert tracking.differences(record, address) == []


def test_a_journal_that_cannot_be_read_stops_no_study(tmp_path: Path, uri: str) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
    with record.journal.open("ab") as lines:
        lines.write(b"not a line of a journal\n")
    with feed(record, uri) as feeder:
        wait_for(lambda: feeder.trouble is not None)
    assert feeder.trouble is not None
    assert "is not a line of a journal" in feeder.trouble


def wait_for(condition, within_s: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
