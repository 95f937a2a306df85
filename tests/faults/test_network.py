"""Several hosts with addresses of their own, as network namespaces of this machine, and a broken network.

Each host has its own interfaces and loopback; a bridge joins them. The folder of the records is one that all
of them see, as on a cluster.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from study.components.datasets import load_dataset
from study.processes import end
from study.record import StudyRecord
from study.tuning.nodes import SETTINGS
from tests.faults.test_ray import ROOT
from tests.faults.toy import TRAINED, a_study, numbers, run_trained
from tests.processes import command_of, in_namespace, trains

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(2400),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's to make"),
    pytest.mark.skipif(not shutil.which("ip"), reason="network namespaces are made by iproute2"),
]

PARTITION_S = 60.0
PORT = 6379

# Trials of half a minute or more: two run when the network breaks, and some are left when it is whole again.
STUDY: dict[str, Any] = {
    **TRAINED,
    "scientific": {"activation": {"name": ["elu"]}},
    "fixed": {**TRAINED["fixed"], "training": {**TRAINED["fixed"]["training"], "epochs": 500}},
    "search": {**TRAINED["search"], "sampler": "random"},  # proposals do not depend on which trial ends first
}


Start = Callable[..., "subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Host:
    """A network namespace with one address on the bridge; ``link`` is the bridge's end of its cable."""

    name: str
    address: str
    link: str

    def runs(self, *command: str) -> list[str]:
        """``command``, to be run on this host."""
        return ["ip", "netns", "exec", self.name, *command]


@pytest.fixture
def hosts() -> Iterator[tuple[Host, ...]]:
    """Three hosts on a bridge; whatever still runs on them at the end is killed."""
    tag = secrets.token_hex(2)
    bridge = f"br-{tag}"
    made = tuple(Host(f"study-{tag}-{n}", f"10.77.{int(tag[:2], 16)}.{n}", f"v-{tag}-{n}") for n in (1, 2, 3))
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("link", "set", bridge, "up")
        for host in made:
            ip("netns", "add", host.name)
            ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            ip("link", "set", host.link, "master", bridge, "up")
            ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            ip("-n", host.name, "link", "set", "eth0", "up")
            ip("-n", host.name, "link", "set", "lo", "up")
        yield made
    finally:
        for host in made:
            end(in_namespace(host.name))
            subprocess.run(["ip", "netns", "delete", host.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What every process sees: token authentication, as for each cluster that is started by `study`."""
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {**inherited, **SETTINGS, "RAY_AUTH_TOKEN_PATH": str(token), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def start(hosts: tuple[Host, ...], environment: dict[str, str]) -> Iterator[Start]:
    """Start a command on a host; what it says goes into a file."""
    started: list[subprocess.Popen[bytes]] = []

    def run(host: Host, command: Sequence[str], says: Path) -> subprocess.Popen[bytes]:
        with says.open("wb") as log:
            started.append(
                subprocess.Popen(
                    host.runs(*command), cwd=says.parent, env=environment, stdout=log, stderr=log
                )
            )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def ray_start(host: Host, head: Host, folder: Path) -> list[str]:
    """`ray start`, as an administrator has it. The head runs no trials."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address", host.address, "--object-store-memory", str(128 * 2**20)]
    command += ["--temp-dir", str(folder / host.address)]
    if host == head:
        command += ["--head", "--port", str(PORT), "--num-cpus", "0", "--include-dashboard", "false"]
    else:
        command += ["--address", f"{head.address}:{PORT}", "--num-cpus", "1"]
    return command


def is_up(host: Host, folder: Path) -> bool:
    return "Ray runtime started" in log_of(host, folder).read_text(errors="replace")


def log_of(host: Host, folder: Path) -> Path:
    return folder / f"{host.name}.log"


def trained(runs: Path) -> int:
    """How many trials have got beyond their first epochs."""
    events = StudyRecord.latest(runs, "toy").events() if (runs / "toy").is_dir() else ()
    count = Counter(event["trial"] for event in events if event["event"] == "epoch")
    return sum(epochs > 5 for epochs in count.values())


def reachable(host: Host, other: Host) -> bool:
    words = f"import socket; socket.create_connection(('{other.address}', {PORT}), 2)"
    tried = subprocess.run(host.runs(sys.executable, "-c", words), capture_output=True, check=False)
    return tried.returncode == 0


def test_a_partition_of_a_minute_loses_nothing_and_the_host_is_used_again(
    hosts: tuple[Host, ...], start: Start, tmp_path: Path
) -> None:
    head, _, cut_off = hosts
    (tmp_path / "toy.toml").write_text(a_study(STUDY).to_toml(), encoding="utf-8")
    folder = Path(f"/tmp/{head.name}")  # a socket's path has 107 characters at most
    folder.mkdir(mode=0o700)
    said = tmp_path / "said.txt"
    try:
        for host in hosts:
            start(host, ray_start(host, head, folder), log_of(host, folder))
        wait_until(lambda: all(is_up(host, folder) for host in hosts), 200)
        study = [sys.executable, "-m", "study", "run", "toy.toml", "--out", str(tmp_path / "runs")]
        driver = start(head, [*study, "--address", f"{head.address}:{PORT}"], said)
        wait_until(lambda: trained(tmp_path / "runs") == 2 and trains_on(cut_off), 300, said)
        ip("link", "set", cut_off.link, "down")
        began = time.monotonic()
        assert not reachable(cut_off, head)
        assert driver.poll() is None
        time.sleep(max(0.0, began + PARTITION_S - time.monotonic()))
        ip("link", "set", cut_off.link, "up")
        wait_until(lambda: not has_node(cut_off), 120)  # it has learnt that it was given up
        end(in_namespace(cut_off.name))
        start(
            cut_off, ray_start(cut_off, head, folder), log_of(cut_off, folder)
        )  # as whoever keeps it up does
        wait_until(lambda: trains_on(cut_off), 200, said)
        assert driver.wait(1000) == 0, said.read_text()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    record = StudyRecord.latest(tmp_path / "runs", "toy")
    assert record.finished
    assert any(event.get("attempt") == 2 for event in record.events()), "the partition touched no trial"
    undisturbed = run_trained(tmp_path / "undisturbed", a_study(STUDY), load_dataset("digits", None))
    assert numbers(record) == numbers(undisturbed)


def has_node(host: Host) -> bool:
    return any("raylet/raylet" in command_of(process) for process in in_namespace(host.name))


def trains_on(host: Host) -> bool:
    return any(trains(process) for process in in_namespace(host.name))


def wait_until(true: Callable[[], bool], seconds: float, said: Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, said.read_text() if said else "too long"
        time.sleep(0.2)
