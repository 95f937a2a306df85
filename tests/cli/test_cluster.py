"""The cluster of this machine: what is started, what is believed of a file, what is ended. `sleep` plays Ray
here; tests/faults/test_cluster.py starts the real one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from study.errors import StudyError
from study.processes import birth, free_port
from study.tuning import nodes
from study.tuning.nodes import Cluster, Node
from tests.cli.conftest import Command, assert_one_line

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def sleeper() -> Iterator[Start]:
    """Start a process that does nothing; the words are for its command line."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the local cluster's state, as the commands see it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "study" / "cluster"


def node(pid: int, born: float | None = None) -> Node:
    return Node("node 1", pid, birth(pid) if born is None else born, 1)


def planted(folder: Path, *found: Node) -> Cluster:
    """A cluster's state, as `up` leaves it."""
    folder.mkdir(parents=True)
    (folder / "token").write_text("secret")
    (folder / "scratch").mkdir()
    cluster = Cluster(
        "127.0.0.1:6379", "http://127.0.0.1:8265", folder / "token", folder / "scratch", tuple(found)
    )
    (folder / "cluster.json").write_text(json.dumps(cluster.to_json()))
    return cluster


def gone() -> Node:
    """A node whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Node("node 1", process.pid, 1.0, 1)


def test_a_cluster_for_kubernetes_is_rendered(study: Command) -> None:
    said = study("cluster", "render", "--to", "kuberay", "--name", "research")
    assert said.code == 0
    manifest = yaml.safe_load(said.out)
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("RayCluster", "research")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "slurm"), ("--to 'slurm': must be a target of kind kuberay",)),
        (("--to", "kuberay", "--name", "My Cluster"), ("--name: must be at most 53 small letters",)),
        (("--to", "kuberay", "--name", "x" * 54), ("--name: must be at most 53",)),
    ],
    ids=" ".join,
)
def test_what_kubernetes_would_refuse_is_refused(
    arguments: tuple[str, ...], words: tuple[str, ...], study: Command
) -> None:
    assert_one_line(study("cluster", "render", *arguments), *words)


@pytest.mark.parametrize("words", [("show",), ("down",)], ids=" ".join)
def test_where_no_cluster_was_started_that_is_said(
    words: tuple[str, ...], study: Command, state: Path
) -> None:
    assert_one_line(study("cluster", *words), "no cluster", "on this machine")


def test_a_cluster_that_is_gone_is_told_from_one_that_runs(study: Command, state: Path) -> None:
    planted(state, gone())
    assert_one_line(study("cluster", "show"), "127.0.0.1:6379", "is gone", "study cluster up")


def test_another_process_of_the_same_number_is_not_the_node(state: Path) -> None:
    assert node(os.getpid()).process() is not None
    assert node(os.getpid(), born=1.0).process() is None


def test_what_a_cluster_that_is_gone_left_is_removed(study: Command, state: Path) -> None:
    planted(state, gone())
    assert study("cluster", "down").code == 0
    assert list(state.iterdir()) == []


def test_a_damaged_state_is_refused_in_one_line(study: Command, state: Path) -> None:
    planted(state, gone())
    for text in ("{", "[]", '{"nodes": 3}', "\x00"):
        (state / "cluster.json").write_text(text)
        assert_one_line(study("cluster", "show"), "cluster.json: is damaged")


def test_a_second_cluster_is_refused(study: Command, state: Path, sleeper: Start) -> None:
    planted(state, node(sleeper().pid))
    assert_one_line(
        study("cluster", "up", "--local-nodes", "2"), "a cluster of 1 nodes runs already", "cluster down"
    )


def test_the_end_of_a_cluster_is_the_end_of_its_orphans_and_of_nobody_else(
    state: Path, sleeper: Start
) -> None:
    orphan, other = sleeper(str(state / "scratch" / "raylet")), sleeper()
    planted(state, node(sleeper().pid))
    ended = nodes.down(state)
    assert ended is not None
    assert ended.nodes[0].process() is None
    assert not psutil.pid_exists(orphan.pid)
    assert other.poll() is None


def test_all_that_the_first_node_opens_is_on_the_loopback_interface(state: Path) -> None:
    cluster = planted(state)
    command = " ".join(nodes.start_command(cluster, 0, 3, 1))
    assert "--node-ip-address 127.0.0.1" in command
    assert "--dashboard-host 127.0.0.1" in command
    assert nodes.node_environment(cluster, 0)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


@pytest.mark.parametrize("number", [0, 1])
def test_a_node_is_told_where_the_token_is_not_what_it_is(number: int, state: Path) -> None:
    cluster = planted(state)
    environment = nodes.node_environment(cluster, number)
    assert (environment["RAY_AUTH_MODE"], environment["RAY_AUTH_TOKEN_PATH"]) == (
        "token",
        str(cluster.token_file),
    )
    assert "secret" not in " ".join([*environment.values(), *nodes.start_command(cluster, number, 3, 1)])


@pytest.mark.parametrize("number", [0, 1])
def test_trials_on_a_node_keep_memory_unless_the_user_says_otherwise(
    number: int, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in nodes.MEMORY:
        monkeypatch.delenv(key, raising=False)
    cluster = planted(state)
    assert nodes.MEMORY.items() <= nodes.node_environment(cluster, number).items()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert nodes.node_environment(cluster, number)["MALLOC_ARENA_MAX"] == "4"


def test_settings_of_another_cluster_do_not_reach_the_nodes(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "far:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "theirs")
    environment = nodes.node_environment(planted(state), 0)
    assert "RAY_ADDRESS" not in environment
    assert "RAY_AUTH_TOKEN" not in environment


def test_no_two_nodes_unpack_into_the_same_folder(state: Path) -> None:
    cluster = planted(state)
    commands = [nodes.start_command(cluster, number, 3, 1) for number in range(3)]
    folders = {command[command.index("--temp-dir") + 1] for command in commands}
    assert len(folders) == 3
    assert all(Path(each).is_relative_to(cluster.scratch) for each in folders)


def test_nodes_share_the_machine_s_memory(state: Path) -> None:
    cluster = planted(state)

    def memory(count: int) -> int:
        command = nodes.start_command(cluster, 1, count, 1)
        return int(command[command.index("--memory") + 1])

    assert memory(4) == pytest.approx(memory(1) / 4, rel=0.2), "free memory moves between two looks"


def test_a_token_is_new_each_time_and_its_owner_s_alone(tmp_path: Path) -> None:
    first = nodes._token(tmp_path).read_text()
    path = nodes._token(tmp_path)
    assert path.read_text() != first
    assert len(first) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="token: the token cannot be read"):
        nodes.bearer(tmp_path / "token")


def test_nobody_counts_the_nodes_where_nobody_answers(state: Path) -> None:
    cluster = planted(state)
    absent = Cluster(**{**vars(cluster), "jobs": f"http://127.0.0.1:{free_port()}"})
    assert nodes.alive_nodes(absent) is None
