"""A real cluster of three nodes on this machine, a study that is submitted to it, and what happens to both.

Cases 3, 6, 20 and 27 of the faults. Nobody but the commands themselves speaks to Ray here.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests

from study.components.datasets import load_dataset
from study.processes import listening
from study.record import StudyRecord
from study.tuning import nodes
from tests.faults.test_ray import LONG, ROOT, epochs, wait_for
from tests.faults.toy import a_study, numbers, run_trained
from tests.processes import command_of, trains

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(1200),
]

Call = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "toy.toml").write_text(a_study(LONG, lag=0).to_toml(), encoding="utf-8")
    (folder / "ray.toml").write_text(f'kind = "ray"\nout = "{folder}/there"\n', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def call(place: Path) -> Iterator[Call]:
    """Run a `study` command to its end; what it prints. The cluster it may start ends with the tests."""

    def run(*words: str, code: int = 0, seconds: float = 600) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "study", *words],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(place / "state")},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    yield run
    nodes.down(state(place))


def state(place: Path) -> Path:
    return place / "state" / "study" / "cluster"


@pytest.fixture(scope="module")
def cluster(place: Path, call: Call) -> nodes.Cluster:
    call("cluster", "up", "--local-nodes", "3", "--cpus-per-node", "1")
    return nodes.running(state(place))


def submit(call: Call, *words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(call("submit", "./toy.toml", "--to", "./ray.toml", "--json", *words))
    return told


def listened_on(cluster: nodes.Cluster) -> set[str]:
    return {address for process in nodes.belonging(cluster) for address, _ in listening(process)}


def test_nobody_comes_in_without_the_token_or_from_elsewhere(cluster: nodes.Cluster) -> None:
    assert listened_on(cluster) == {"127.0.0.1"}
    for page in ("/api/jobs/", "/api/v0/nodes", "/nodes?view=summary"):
        assert requests.get(cluster.jobs + page, timeout=10).status_code == 401
        wrong = {"Authorization": "Bearer wrong"}
        assert requests.get(cluster.jobs + page, headers=wrong, timeout=10).status_code == 403
    job = {"entrypoint": "touch canary"}
    assert requests.post(f"{cluster.jobs}/api/jobs/", json=job, timeout=10).status_code == 401


def test_doctor_says_which_versions_it_has(cluster: nodes.Cluster, call: Call) -> None:
    said = call("doctor", "--to", "./ray.toml")
    assert f"ray {version('ray')}, as here; python {platform.python_version()}, as here" in said


def test_the_token_is_in_no_command_line_and_no_log(cluster: nodes.Cluster, place: Path) -> None:
    token = cluster.token_file.read_text()
    assert cluster.token_file.stat().st_mode & 0o077 == 0
    for process in nodes.belonging(cluster):
        assert token not in command_of(process)
    for file in (*place.rglob("*.log"), *cluster.scratch.rglob("*.log"), *cluster.scratch.rglob("*.out")):
        assert token not in file.read_text(errors="replace"), file


def test_a_study_outlives_a_node_and_ends_with_the_same_numbers(
    cluster: nodes.Cluster, place: Path, call: Call
) -> None:
    first = submit(call, "--max-concurrent", "2")  # so that one trains on a node that is not the head
    assert submit(call, "--max-concurrent", "2") == {**first, "joined": True}
    wait_for(place / "there", lambda found: epochs(found) >= 10)
    record = StudyRecord.latest(place / "there", "toy")
    lost = node_that_trains(cluster)
    for process in nodes.family(lost):
        process.kill()
    began = time.monotonic()
    wait_for(place / "there", lambda found: any(event.get("attempt") == 2 for event in found))
    assert time.monotonic() - began < 60, "30 s to notice, and a new worker's start on a busy machine"
    log = call("logs", "toy", "--follow")
    assert "of 4 trials" in log or "[4/4]" in log
    assert record.finished
    undisturbed = run_trained(place / "undisturbed", a_study(LONG, lag=0), load_dataset("digits", None))
    assert numbers(record) == numbers(undisturbed)
    shown = json.loads(call("cluster", "show", "--json"))
    assert [node["name"] for node in shown["nodes"] if not node["alive"]] == [lost.name]


def node_that_trains(cluster: nodes.Cluster) -> nodes.Node:
    """One with a trial's worker, but not the head: that one's loss is another test's."""
    return next(node for node in cluster.nodes[1:] if any(trains(process) for process in nodes.family(node)))


def test_the_record_comes_home_and_reports_the_same(place: Path, call: Call) -> None:
    call("fetch", "toy")
    there = json.loads(call("report", "toy", "--json", "--out", str(place / "there")))
    here = json.loads(call("report", "toy", "--json"))
    for key in ("digest", "phases", "ranking", "claims"):
        assert here[key] == there[key]
    (entry,) = json.loads(call("status", "--json"))
    assert (entry["state"], entry["submission"]["state"]) == ("finished", "finished")


def test_a_study_that_was_stopped_goes_on_when_it_is_submitted_again(place: Path, call: Call) -> None:
    other = ("--set", "search.seed=9")
    first = submit(call, *other)
    name = f"toy@{first['digest']}"
    wait_for_epochs(place, name, 10)
    call("stop", name)
    wait_until_ended(call, name, "stopped")
    before = list(StudyRecord.latest(place / "there", name).events())
    assert before[-1]["event"] == "ended", "it stopped by itself, and was not killed"
    again = submit(call, *other)
    assert again["id"] == f"{first['id']}-2"
    assert not again["joined"]
    call("logs", name, "--follow")
    assert StudyRecord.latest(place / "there", name).finished


def test_a_study_goes_on_after_the_whole_cluster_was_lost(
    cluster: nodes.Cluster, place: Path, call: Call
) -> None:
    other = ("--set", "search.seed=10")
    name = f"toy@{submit(call, *other)['digest']}"
    wait_for_epochs(place, name, 10)
    for process in nodes.belonging(cluster):
        process.kill()
    call("submit", "./toy.toml", "--to", "./ray.toml", *other, code=2)
    call("cluster", "up", "--local-nodes", "1", "--cpus-per-node", "2", "--warm")
    assert submit(call, *other)["id"].endswith(name.partition("@")[2]), "this cluster knows no other"
    call("logs", name, "--follow")
    record = StudyRecord.latest(place / "there", name)
    assert record.finished
    call("audit", name, "--out", str(place / "there"))
    left = nodes.running(state(place))
    head = left.nodes[0].process()
    assert head is not None
    assert nodes.WARM.items() <= head.environ().items()
    call("cluster", "down")
    assert nodes.belonging(left) == []
    assert not left.scratch.exists()


def wait_for_epochs(place: Path, name: str, count: int) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        time.sleep(0.1)
        found = list((place / "there" / "toy").glob(f"{name.partition('@')[2]}/journal.jsonl"))
        if found and epochs(list(StudyRecord(found[0].parent).events())) >= count:
            return
    raise AssertionError("the study does not begin")


def wait_until_ended(call: Call, name: str, state: str) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        if json.loads(call("status", name, "--json"))["submission"]["state"] == state:
            return
        time.sleep(1)
    raise AssertionError(f"{name} is not {state}")
