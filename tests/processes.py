"""The processes that a test has started, itself or not, while they come and go."""

from __future__ import annotations

import subprocess

import psutil


def command_of(process: psutil.Process) -> str:
    """Its command line; empty when it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one too
        return ""


def trains(process: psutil.Process) -> bool:
    """Whether it is a worker that trains, or waits to."""
    return "ImplicitFunc" in command_of(process)


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers that train among the descendants of a process."""
    return [each for each in psutil.Process(pid).children(recursive=True) if trains(each)]


def in_namespace(name: str) -> list[psutil.Process]:
    """The processes that live in a network namespace."""
    done = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    return [each for each in psutil.process_iter() if str(each.pid) in done.stdout.split()]
