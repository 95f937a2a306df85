"""Two drivers want one study: one has it, the other is told so, and a dead one holds up nobody.

Cases 20 and 21 of the faults.
"""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from study.audit import audit
from study.errors import RecordError
from study.record import StudyRecord, is_running
from tests.faults.toy import a_study, compute, conducting, events, run_computed

pytestmark = pytest.mark.faults

DRIVERS = 20


def compete(root: Path, go: Connection, answer: Connection) -> None:
    """Start the study; who has it waits for a word before it carries the study out."""
    go.recv()
    try:
        with conducting(root, a_study()) as conductor:
            answer.send("has it")
            go.recv()
            run_computed(conductor)
    except RecordError as error:
        answer.send(str(error))


def test_of_twenty_that_start_at_once_one_has_the_study(tmp_path: Path, processes: ForkServerContext) -> None:
    drivers = []
    for _ in range(DRIVERS):
        (hear, say), (ours, theirs) = processes.Pipe(duplex=False), processes.Pipe(duplex=False)
        process = processes.Process(target=compete, args=(tmp_path, hear, theirs))
        process.start()
        drivers.append((process, say, ours))
    for _, say, _ in drivers:
        say.send("go")
    answers = [ours.recv() for _, _, ours in drivers]
    refused = [answer for answer in answers if answer != "has it"]
    assert len(refused) == DRIVERS - 1
    assert all("is running in another process; watch it with: study status toy" in line for line in refused)
    drivers[answers.index("has it")][1].send("carry it out")
    for process, _, _ in drivers:
        process.join()
    assert len(list((tmp_path / "toy").iterdir())) == 1
    record = StudyRecord.latest(tmp_path, "toy")
    assert record.finished
    assert audit(record) == []
    assert len(events(record, "session")) == 1


def drive_slowly(root: Path, answer: Connection) -> None:
    """Says when it has the study and when a trial has ended, and waits a little before each."""
    with conducting(root, a_study()) as conductor:
        answer.send("has it")
        while (config := conductor.next_trial()) is not None:
            time.sleep(0.02)
            compute(conductor, config, config.id)


def begun(root: Path, processes: ForkServerContext) -> int:
    """The process of a driver that has the study."""
    receive, send = processes.Pipe(duplex=False)
    process = processes.Process(target=drive_slowly, args=(root, send))
    process.start()
    assert receive.recv() == "has it"
    assert process.pid is not None
    return process.pid


def test_a_driver_that_was_stopped_keeps_its_study(tmp_path: Path, processes: ForkServerContext) -> None:
    """Stopped for however long: nobody takes over what may go on at any moment."""
    pid = begun(tmp_path, processes)
    os.kill(pid, signal.SIGSTOP)
    try:
        record = StudyRecord.latest(tmp_path, "toy")
        before = record.journal.read_bytes()
        for _ in range(3):
            with (
                pytest.raises(RecordError, match="is running in another process"),
                conducting(tmp_path, a_study()),
            ):
                pass
        assert record.journal.read_bytes() == before
    finally:
        os.kill(pid, signal.SIGCONT)
    while is_running(record):
        time.sleep(0.02)
    assert record.finished
    assert audit(record) == []


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_driver_that_was_killed_is_followed_at_once(
    tmp_path: Path, processes: ForkServerContext, state: str
) -> None:
    pid = begun(tmp_path, processes)
    if state == "stopped":
        os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    record = StudyRecord.latest(tmp_path, "toy")
    deadline = time.monotonic() + 10
    while is_running(record):  # the system has not come to it yet
        assert time.monotonic() < deadline
    with conducting(tmp_path, a_study()) as conductor:
        run_computed(conductor)
    assert audit(record) == []
    assert "ended without a word" in events(record, "fault")[0]["what"]
