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

from study.tuning.hanging import End, end_process
from study.tuning.trainable import stack_file, waiting_to_be_heard

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
    end = end_process(pid, stack, spare=True)
    assert end is not None
    assert "was killed" in end.how
    assert f" in {how.__name__}" in end.stack
    assert gone(pid)


def test_a_process_that_was_stopped_is_gone_too_and_told_as_such(processes: ForkServerContext) -> None:
    pid, stack = hanging(processes, spin)
    stop(pid)
    assert end_process(pid, stack, spare=True) == End("its process (stopped) was killed")
    assert gone(pid)


def test_a_process_that_is_gone_already_is_no_error(processes: ForkServerContext) -> None:
    pid, stack = hanging(processes, doze)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert end_process(pid, stack, spare=True) == End("its process is gone")


def wait_to_be_heard() -> None:
    with waiting_to_be_heard():
        time.sleep(3600)


def spin_once_heard() -> None:
    with waiting_to_be_heard():
        pass
    spin()


def test_a_process_that_waits_to_be_heard_is_spared(processes: ForkServerContext) -> None:
    """The driver does not fetch what it says: the network may be at fault, or the driver."""
    pid, stack = hanging(processes, wait_to_be_heard)
    assert end_process(pid, stack, spare=True) is None
    assert psutil.pid_exists(pid)
    end = end_process(pid, stack, spare=False)
    assert end is not None
    assert "was killed" in end.how
    assert gone(pid)


def test_one_that_was_heard_and_hangs_since_is_not(processes: ForkServerContext) -> None:
    pid, stack = hanging(processes, spin_once_heard)
    assert end_process(pid, stack, spare=True) is not None
    assert gone(pid)


def test_nor_is_one_that_was_stopped_while_it_waited(processes: ForkServerContext) -> None:
    pid, stack = hanging(processes, wait_to_be_heard)
    stop(pid)
    assert end_process(pid, stack, spare=True) == End("its process (stopped) was killed")
    assert gone(pid)


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)


def gone(pid: int, seconds: float = 10) -> bool:
    """Within so many seconds; one whose parent has not looked yet counts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
