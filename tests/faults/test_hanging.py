"""A process that hangs is ended wherever it hangs, and says where it stood.

Case 17 of the faults, without Ray; the rest of it is in test_ray.py and tests/test_silence.py.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext

import psutil
import pytest

from study.tuning.hanging import end_process
from study.tuning.trainable import stack_file

pytestmark = pytest.mark.faults


def spin() -> None:
    while True:
        pass


def doze() -> None:
    time.sleep(3600)


def wait_in_c() -> None:
    """Holding Python's lock, deaf to all that is Python."""
    import ctypes

    while True:  # a signal ends the sleep
        ctypes.PyDLL(None).sleep(3600)


def hang(how: Callable[[], None], answer: Connection) -> None:
    answer.send(stack_file().fileno())
    how()


def hanging(processes: ForkServerContext, how: Callable[[], None]) -> tuple[int, int]:
    """The number of a process that hangs, and the descriptor of its stack's file."""
    receive, send = processes.Pipe(duplex=False)
    process = processes.Process(target=hang, args=(how, send))
    process.start()
    stack = receive.recv()
    time.sleep(0.3)
    assert process.pid is not None
    return process.pid, stack


@pytest.mark.parametrize("how", [spin, doze, wait_in_c])
def test_a_process_that_hangs_says_where_and_is_gone(
    processes: ForkServerContext, how: Callable[[], None]
) -> None:
    pid, stack = hanging(processes, how)
    end = end_process(pid, stack)
    assert "was killed" in end.how
    assert f" in {how.__name__}" in end.stack
    assert gone(pid)


def test_a_process_that_was_stopped_is_gone_too_and_told_as_such(processes: ForkServerContext) -> None:
    pid, stack = hanging(processes, spin)
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    end = end_process(pid, stack)
    assert end.how == "its process (stopped) was killed"
    assert gone(pid)


def test_a_process_that_is_gone_already_is_no_error(processes: ForkServerContext) -> None:
    pid, stack = hanging(processes, doze)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert end_process(pid, stack).how == "its process is gone"


def gone(pid: int, seconds: float = 10) -> bool:
    """Within so many seconds; one whose parent has not looked yet counts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
