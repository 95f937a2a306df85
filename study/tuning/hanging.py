"""Ending a process that hangs, on whatever node it is: its stack is read first."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# How long a node may take to start a process that kills another; then it is lost, and Ray finds out.
PATIENCE_S = 60.0

# Writing a stack takes no longer, where the process can be scheduled at all.
STACK_S = 1.0


@dataclass(frozen=True)
class End:
    """What became of the process, and where it stood: empty where it could not say."""

    how: str
    stack: str = ""


def put_down(place: Mapping[str, Any], spare: bool) -> End | None:
    """Kill the process at ``place`` (study.tuning.trainable.place), which may be stopped or stuck in C.

    To ``spare`` is one that may merely be cut off, for its node does not answer or it waits to be heard:
    then None, and nothing is done.
    """
    on_its_node = NodeAffinitySchedulingStrategy(place["node"], soft=False)
    task = ray.remote(end_process).options(num_cpus=0, max_retries=0, scheduling_strategy=on_its_node)
    try:
        end: End | None = ray.get(task.remote(place["pid"], place["stack"], spare), timeout=PATIENCE_S)
    except RayError as error:
        return None if spare else End(f"its node does not answer ({type(error).__name__})")
    return end


def end_process(pid: int, stack: int, spare: bool) -> End | None:
    """Kill the process ``pid`` of this machine; its open file number ``stack`` takes its stack on SIGUSR1.
    None where it waits to be heard and is to ``spare``."""
    try:
        process = psutil.Process(pid)
        status = process.status()
        if spare and status != psutil.STATUS_STOPPED and _waits(pid, stack):
            return None
        os.kill(pid, signal.SIGUSR1)
        text = _stack(Path(f"/proc/{pid}/fd/{stack}"))
        process.kill()
    except psutil.NoSuchProcess:
        return End("its process is gone")
    return End(f"its process ({status}) was killed", text)


def _waits(pid: int, stack: int) -> bool:
    """See study.tuning.trainable.waiting_to_be_heard."""
    try:
        return Path(f"/proc/{pid}/fd/{stack}").stat().st_mtime == 0
    except OSError:
        return False  # not Linux, or gone


def _stack(file: Path) -> str:
    """What is written to ``file`` once it grows no more; nothing where it cannot be read."""
    text, deadline = "", time.monotonic() + STACK_S
    while time.monotonic() < deadline:
        time.sleep(STACK_S / 10)
        try:
            grown = file.read_text(errors="replace")
        except OSError:
            break
        if grown and grown == text:
            break
        text = grown
    return text
