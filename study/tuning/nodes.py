"""A Ray cluster of several nodes on this machine: each a raylet of its own, none reachable from outside.

    FOLDER/cluster.json   what runs: addresses, and each node's process
           token          what a client must show; made anew for each cluster
           node-1.log ... what `ray start` says

The nodes outlive the command that started them. A process is known by its number and its start time, so
that a file left by a cluster that is gone (a reboot, a kill) is never taken for one that runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
from filelock import FileLock, Timeout

from study.errors import StudyError, one_line, shorten
from study.private import new_secret, write_private
from study.processes import HOST, birth, end, free_port, known, naming
from study.processes import family as family_of
from study.record import write_whole

# Linux leads to this machine for 0.0.0.0 too. Ray takes any other name of the loopback interface for a
# mistake, and puts the machine's outer address in its place (services.resolve_ip_for_localhost).
HEAD_AS_SEEN_BY_NODES = "0.0.0.0"  # noqa: S104 -- connected to, never listened on

# For whoever starts Ray or connects to it.
SETTINGS = {
    # Ray executes what it is sent; without a token anybody who reaches its ports may send.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray gives its processes 30 s to start, which a busy machine does not keep.
    "RAY_raylet_start_wait_time_s": "180",
    # CPU-only workers are not told to hide accelerators in the next release; take that behaviour now.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# glibc's malloc: one heap for all threads, since Tune gives each trial a new one, and nothing of it returned
# to the system while the process lives. By itself it returns what a step frees, many times a step, and the
# next one waits until the system has cleared it again: an eighth of a step of ALL-CNN-C in fp32 on the CPU.
MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
}
# The processes that a node has ready, one for each CPU, import all that a trial needs; three seconds of it.
WARM = {
    "RAY_preload_python_modules": "study.tuning.warm",
    # As soon as the node is there, and not first when somebody connects.
    "RAY_enable_worker_prestart": "1",
    # Ray lets as many idle processes live as CPUs are free. None is, once room is reserved for trials: which
    # is just before these ask for a process each.
    "RAY_num_workers_soft_limit": "1000000",
}
# With this, which is meant for macOS and Windows, Ray's ports are on 127.0.0.1 and not on all interfaces.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# A node gives its head up after 60 s without an answer; under a load of 60 on two cores that was too soon.
PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "300"}

# An idle machine needs 10 s for the first node and 8 s for the others together; a busy one, minutes.
READY_WITHIN_S = 300.0

# Of the memory that is free, for trials and for shared objects; the rest is for Ray and whatever else runs.
TRIALS_SHARE, OBJECTS_SHARE = 0.6, 0.2
OBJECTS_BYTES = (128 * 2**20, 2 * 2**30)


@dataclass(frozen=True)
class Node:
    """One node's first process (`ray start`), and what the node offers."""

    name: str
    pid: int
    born: float
    cpus: int

    def process(self) -> psutil.Process | None:
        """Its process; None once it has ended."""
        return known(self.pid, self.born)


@dataclass(frozen=True)
class Cluster:
    """A cluster that was started here. ``address`` is for drivers, ``jobs`` for the Jobs API; ``scratch``
    holds Ray's sockets, logs and packages."""

    address: str
    jobs: str
    token_file: Path
    scratch: Path
    nodes: tuple[Node, ...]

    def alive(self) -> bool:
        """Whether its first node, without which it is none, still runs."""
        return bool(self.nodes) and self.nodes[0].process() is not None

    def to_json(self) -> dict[str, Any]:
        table = asdict(self)
        return {**table, "token_file": str(self.token_file), "scratch": str(self.scratch)}

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Cluster:
        nodes = tuple(Node(**each) for each in table["nodes"])
        paths = {key: Path(table[key]) for key in ("token_file", "scratch")}
        return cls(address=table["address"], jobs=table["jobs"], nodes=nodes, **paths)


def found(folder: Path) -> Cluster | None:
    """The cluster that ``folder`` tells of, alive or not. StudyError for a file that tells of none."""
    path = folder / "cluster.json"
    if not path.is_file():
        return None
    try:
        return Cluster.from_json(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path}: is damaged; remove it once no Ray process is left") from error


def running(folder: Path) -> Cluster:
    """The cluster that runs on this machine. StudyError where none does."""
    cluster = found(folder)
    if cluster is None:
        raise StudyError("no cluster runs on this machine; start one: study cluster up --local-nodes 2")
    if not cluster.alive():
        raise StudyError(
            f"the cluster that was started here ({cluster.address}) is gone; start another: study cluster up"
        )
    return cluster


def up(
    folder: Path, nodes: int, cpus: int | None, say: Callable[[str], None], *, warm: bool = False
) -> Cluster:
    """Start a cluster of so many nodes, each with ``cpus`` CPUs (an equal share of the machine's where None,
    one at least) and an equal share of the free memory. The first node has the machine's GPUs, if any. The
    processes that a ``warm`` one has ready for trials import what these need.

    Raises StudyError where one runs already, or where it does not come up: then nothing is left of it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    try:
        with FileLock(folder / "lock", timeout=0):
            return _up(folder, nodes, cpus, say, warm)
    except Timeout as error:
        raise StudyError(
            "a cluster is being started already; see how far it is: study cluster show"
        ) from error


def _up(folder: Path, nodes: int, cpus: int | None, say: Callable[[str], None], warm: bool) -> Cluster:
    before = found(folder)
    if before is not None and before.alive():
        raise StudyError(
            f"a cluster of {len(before.nodes)} nodes runs already ({before.address}); "
            "end it first: study cluster down"
        )
    if before is not None:
        remove(before, folder)
        say(f"what was left of the cluster at {before.address} was removed")
    # Not TMPDIR, which may be long: a socket's path has 107 characters at most, and Ray's own part takes 70.
    scratch = Path(tempfile.mkdtemp(prefix="study-cluster-", dir="/tmp"))
    cluster = Cluster(f"{HOST}:{free_port()}", f"http://{HOST}:{free_port()}", _token(folder), scratch, ())
    each = cpus or max(1, (os.cpu_count() or 1) // nodes)
    try:
        for number in range(nodes):
            node = _start(cluster, folder, number, nodes, each, warm=warm)
            cluster = Cluster(**{**vars(cluster), "nodes": (*cluster.nodes, node)})
            write_whole(folder / "cluster.json", json.dumps(cluster.to_json(), indent=2))
            # Nodes that start together on few cores outwait each other's patience.
            _wait(cluster, folder)
            say(f"{node.name} is up, {node.cpus} CPUs")
    except BaseException:
        remove(cluster, folder)
        raise
    return cluster


def down(folder: Path) -> Cluster | None:
    """End the cluster that ``folder`` tells of and remove what it leaves; None where there is none."""
    cluster = found(folder)
    if cluster is not None:
        remove(cluster, folder)
    return cluster


def remove(cluster: Cluster, folder: Path) -> None:
    """End a cluster's processes, and leave nothing of it but the logs."""
    end(belonging(cluster))
    shutil.rmtree(cluster.scratch, ignore_errors=True)
    cluster.token_file.unlink(missing_ok=True)
    (folder / "cluster.json").unlink(missing_ok=True)


def belonging(cluster: Cluster) -> list[psutil.Process]:
    """All processes of the cluster that still live: its nodes' families, and those who lost theirs, known by
    the cluster's own folder in their command lines."""
    of_nodes = {each for node in cluster.nodes for each in family(node)}
    return [*of_nodes, *(each for each in naming(str(cluster.scratch)) if each not in of_nodes)]


def family(node: Node) -> list[psutil.Process]:
    """A node's processes that still live."""
    return family_of(node.process())


def alive_nodes(cluster: Cluster) -> int | None:
    """How many nodes the cluster itself counts as alive; None while it does not answer."""
    try:
        answer = requests.get(
            f"{cluster.jobs}/nodes?view=summary", headers=bearer(cluster.token_file), timeout=5
        )
        listed: list[dict[str, Any]] = answer.json()["data"]["summary"]
    except (requests.RequestException, ValueError, KeyError):
        return None
    return sum(1 for each in listed if each.get("raylet", {}).get("state") == "ALIVE")


def bearer(token_file: Path) -> dict[str, str]:
    """What a request must carry. StudyError where the token cannot be read."""
    try:
        return {"Authorization": f"Bearer {token_file.read_text(encoding='utf-8').strip()}"}
    except OSError as error:
        raise StudyError(f"{token_file}: the token cannot be read: {error.strerror}") from error


def _token(folder: Path) -> Path:
    return write_private(folder / "token", new_secret())


def _start(cluster: Cluster, folder: Path, number: int, nodes: int, cpus: int, *, warm: bool) -> Node:
    name = f"node {number + 1}"
    with (folder / f"node-{number + 1}.log").open("wb") as log:
        process = subprocess.Popen(
            start_command(cluster, number, nodes, cpus),
            env=node_environment(cluster, number) | (WARM if warm else {}),
            cwd=cluster.scratch,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Node(name, process.pid, birth(process.pid), cpus)


def node_environment(cluster: Cluster, number: int) -> dict[str, str]:
    """What a node's processes see. The token is named by its file, never by its text."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    inherited = MEMORY | {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    ours = {
        **SETTINGS,
        **PATIENCE,
        "RAY_AUTH_TOKEN_PATH": str(cluster.token_file),
        "PATH": path,
    }
    return inherited | ours | ({} if number else LOOPBACK)


def start_command(cluster: Cluster, number: int, nodes: int, cpus: int) -> list[str]:
    """`ray start` for the first node or, from 1 on, another one."""
    free = psutil.virtual_memory().available / nodes
    objects = min(max(int(OBJECTS_SHARE * free), OBJECTS_BYTES[0]), OBJECTS_BYTES[1])
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    command += ["--num-cpus", str(cpus), "--memory", str(int(TRIALS_SHARE * free))]
    command += ["--object-store-memory", str(objects), "--dashboard-agent-listen-port", str(free_port())]
    # Of nodes with one folder in common each would unpack what was sent into it, under the others' feet.
    command += ["--temp-dir", str(cluster.scratch / str(number + 1))]
    port = cluster.address.rpartition(":")[2]
    if number:
        return [*command, "--address", f"{HEAD_AS_SEEN_BY_NODES}:{port}", "--num-gpus", "0"]
    command += ["--head", "--node-ip-address", HOST, "--port", port]
    command += ["--dashboard-host", HOST, "--dashboard-port", cluster.jobs.rpartition(":")[2]]
    return [*command, "--ray-client-server-port", str(free_port())]


def _wait(cluster: Cluster, folder: Path) -> None:
    """Until the cluster counts all the nodes that were started. StudyError where one ends before that."""
    deadline = time.monotonic() + READY_WITHIN_S
    node = cluster.nodes[-1]
    while time.monotonic() < deadline and node.process() is not None:
        if alive_nodes(cluster) == len(cluster.nodes):
            return
        time.sleep(0.5)
    log = folder / f"{node.name.replace(' ', '-')}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = next((one_line(line) for line in reversed(lines) if "Error" in line), "no error of its own")
    raise StudyError(f"{node.name} of the cluster did not come up ({shorten(said, 200)}); see {log}")
