"""Processes of this machine: known again later, ended, and the ports that they leave open to others."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

HOST = "127.0.0.1"
GRACE_S = 10.0

# starttime in proc(5).
START_FIELD = 22

# What is in the command lines of whatever Ray, MLflow and PostgreSQL serve with.
SERVERS = ("ray::", "/ray/", "mlflow", "/bin/postgres ")


def known(pid: int, born: float) -> psutil.Process | None:
    """The process of that number and start time; None once it has ended, though another may have its number
    by now."""
    try:
        process = psutil.Process(pid)
        alive = birth(pid) == born and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def birth(pid: int) -> float:
    """When a process began, in seconds since this machine started: setting the clock does not move it, as it
    moves psutil's create_time, which stands in where there is no /proc. NoSuchProcess where there is none."""
    if not Path("/proc/self/stat").exists():
        return psutil.Process(pid).create_time()
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    after_name = text.rpartition(")")[2].split()  # the name may hold anything; these begin with field 3
    return int(after_name[START_FIELD - 3]) / os.sysconf("SC_CLK_TCK")


def family(process: psutil.Process | None) -> list[psutil.Process]:
    """The process and all that it started, as far as they live."""
    return [process, *_children(process)] if process else []


def naming(folder: str) -> Iterable[psutil.Process]:
    """This user's processes whose command lines name ``folder``."""
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and any(folder in word for word in process.cmdline()):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def session(pid: int, born: float) -> list[psutil.Process]:
    """What still lives of the session that a process began, itself or not. A number is not given to another
    process as long as a session has it."""
    if known(pid, born) is None and psutil.pid_exists(pid):
        return []
    return [process for process in psutil.process_iter() if _session_of(process) == pid]


def end(processes: Iterable[psutil.Process]) -> None:
    """End them all: politely, then for good."""
    left = list(processes)
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            try:
                send(process)
            except psutil.NoSuchProcess:
                continue
        left = psutil.wait_procs(left, timeout=GRACE_S)[1]


def open_to_others() -> list[tuple[str, str, int]]:
    """Where Ray, MLflow and PostgreSQL on this machine listen for other machines: the process's name, the
    address and the port; of processes that we may not look into, nothing."""
    found: set[tuple[str, str, int]] = set()
    for process in psutil.process_iter(["name", "cmdline"]):
        line = " ".join([*(process.info["cmdline"] or ()), ""])
        if any(word in line for word in SERVERS):
            found |= {(process.info["name"], *place) for place in listening(process)}
    return sorted(each for each in found if each[1] not in (HOST, "::1"))


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """The addresses and ports on which it takes connections; none of one that is gone, or hidden from us."""
    try:
        found = process.net_connections("tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
    return {
        (each.laddr.ip.removeprefix("::ffff:"), int(each.laddr.port))
        for each in found
        if each.status == psutil.CONN_LISTEN
    }


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _children(process: psutil.Process) -> Sequence[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return ()


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None
