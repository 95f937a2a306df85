"""A worker or a driver dies at any step of a trial: nothing is lost, doubled or changed.

Cases 1, 2, 4, 5 and 7 of the faults. The steps are not listed here but found: every message and every
touch of a file that an undisturbed trial makes is a place to die at, and so is each that is added.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from study.analysis.findings import read_findings
from study.analysis.tables import ranking_csv
from study.audit import audit
from study.components.datasets import load_dataset
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord
from study.spec import StudySpec
from tests.faults import toy
from tests.faults.toy import TRAINED, Message, a_study, events, keeping_of, numbers, run_computed, run_trained

pytestmark = pytest.mark.faults

DIGITS = load_dataset("digits", None)
ONE_ARM = {**TRAINED, "scientific": {"activation": {"name": ["elu"]}}}


class Died(BaseException):
    """A process's end: nothing that it would have caught."""


def one_trial() -> StudySpec:
    return a_study(ONE_ARM, trials_per_arm=1, replicates=1)


@cache
def undisturbed(root: Path) -> dict[str, Any]:
    return numbers(run_trained(root, one_trial(), DIGITS))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the study of one tuning trial and one replicate, without a fault."""
    return undisturbed(tmp_path_factory.getbasetemp() / "undisturbed")


def finish(root: Path, spec: StudySpec) -> StudyRecord:
    """The same command again, till the end."""
    record = run_trained(root, spec, DIGITS)
    assert record.finished
    assert audit(record) == []
    return record


# -- a worker dies before and after each message ---------------------------------------------------

MESSAGES = ("started", *("row",) * toy.EPOCHS, "result")


def kind(message: Message) -> str:
    return next(name for name in ("started", "row", "result") if name in message)


def test_these_are_all_messages_of_a_trial(tmp_path: Path) -> None:
    said = []
    with toy.conducting(tmp_path, one_trial()) as conductor:
        toy.train_next(
            conductor,
            DIGITS,
            keeping_of(StudyRecord.latest(tmp_path, "toy")),
            tap=lambda when, message: said.append((when, kind(message))),
        )
    assert tuple(name for when, name in said if when == "after") == MESSAGES


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(len(MESSAGES)), ids=lambda number: f"{number}-{MESSAGES[number]}")
def test_a_worker_that_dies_at_a_message_costs_no_number(
    tmp_path: Path, expected: dict[str, Any], when: str, number: int
) -> None:
    said: list[str] = []

    def die(moment: str, message: Message) -> None:
        said.append(moment)
        if moment == when and said.count(when) == number + 1:
            raise Died

    spec = one_trial()
    record = StudyRecord.create(tmp_path, spec)
    with JournalWriter(record) as journal:
        journal.session({}, [])
        conductor = Conductor(record, journal, worst=toy.CHANCE)
        config = conductor.next_trial()
        assert config is not None
        with pytest.raises(Died):
            toy.train_it(conductor, config, DIGITS, keeping_of(record), die)
        if config.id in conductor.running:  # Ray starts its trial again in another process
            toy.train_it(conductor, config, DIGITS, keeping_of(record))
    assert numbers(finish(tmp_path, spec)) == expected
    resumed = [event.get("epoch", 0) for event in events(record, "started") if event["trial"] == config.id]
    if len(resumed) == 2 and number:
        assert resumed[1] >= number - 1, "no epoch is trained again whose end was saved"


# -- a worker dies before each touch of a file ------------------------------------------------------


class CrashPoints:
    """Dies before the n-th touch of a file under a folder, by Python's audit events; they cannot be
    taken off, so this stays and does nothing outside its ``with``."""

    EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")

    def __init__(self) -> None:
        self.folder, self.at, self.seen = "", 0, [""]
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.folder and event in self.EVENTS and str(arguments[0]).startswith(self.folder):
            self.seen.append(event)
            if len(self.seen) == self.at:
                self.folder = ""
                raise Died

    @contextmanager
    def dying(self, folder: Path, at: int) -> Iterator[list[str]]:
        self.folder, self.at, self.seen = str(folder), at, []
        try:
            yield self.seen
        finally:
            self.folder = ""


CRASH_POINTS = CrashPoints()


def train_once(root: Path, spec: StudySpec, die_at: int) -> int:
    """One trial whose worker dies before the touch number ``die_at``; how many touches there were."""
    record = StudyRecord.create(root, spec)
    with JournalWriter(record) as journal:
        journal.session({}, [])
        conductor = Conductor(record, journal, worst=toy.CHANCE)
        config = conductor.next_trial()
        assert config is not None
        keeping = keeping_of(record)
        try:
            with CRASH_POINTS.dying(keeping.folder, die_at) as seen:
                toy.train_it(conductor, config, DIGITS, keeping)
        except Died:
            if config.id in conductor.running:
                toy.train_it(conductor, config, DIGITS, keeping)
    return len(seen)


def test_a_worker_that_dies_at_any_touch_of_a_file_costs_no_number(
    tmp_path: Path, expected: dict[str, Any]
) -> None:
    spec = one_trial()
    touches = train_once(tmp_path / "whole", spec, die_at=0)
    assert touches >= 3 * toy.EPOCHS, "a checkpoint is opened, written and renamed after each epoch"
    for number in range(1, touches + 1):
        train_once(tmp_path / str(number), spec, die_at=number)
        assert numbers(finish(tmp_path / str(number), spec)) == expected, f"at touch {number}"


# -- a driver dies: what lies on the disk is all there is -------------------------------------------


def copies_of_a_running_study(root: Path, spec: StudySpec, copies: int, seed: int) -> Iterator[Path]:
    """Carry a study out, and copy its folder at random moments: as many power cuts."""
    record = StudyRecord.create(root, spec)
    moments = random.Random(seed)
    made = 0

    def cut(chance: float) -> Iterator[Path]:
        nonlocal made
        if made < copies and moments.random() < chance:
            made += 1
            shutil.copytree(record.folder.parent.parent, root.parent / f"copy-{made}")
            yield root.parent / f"copy-{made}"

    with JournalWriter(record) as journal:
        journal.session({"data": {"fingerprint": "toy"}}, [])
        conductor = Conductor(record, journal, worst=toy.CHANCE, concurrent=2)
        waiting = []
        while not conductor.exhausted():
            while (config := conductor.next_trial()) is not None:
                waiting.append(config)
            config, token = waiting.pop(0), f"{len(conductor.done)}"
            conductor.started(config, token)
            for row in toy.rows(config):
                yield from cut(0.7)
                conductor.reported(config, token, row)
            conductor.ended(toy.outcome(config), token)
            yield from cut(0.7)
    assert made == copies


def tear(root: Path, moments: random.Random) -> None:
    """The last write was not whole: cut somewhere inside the journal's last line."""
    (journal,) = root.glob("*/*/journal.jsonl")
    content = journal.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    journal.write_bytes(content[: moments.randint(last, len(content))])


def test_a_power_cut_at_any_of_50_moments_is_gone_on_from(tmp_path: Path) -> None:
    spec, moments = a_study(trials_per_arm=7), random.Random(7)
    with toy.conducting(tmp_path / "whole", spec) as conductor:
        run_computed(conductor)
    whole = numbers(StudyRecord.latest(tmp_path / "whole", "toy"))
    copies = list(copies_of_a_running_study(tmp_path / "running" / "runs", spec, copies=50, seed=7))
    for root in copies:
        tear(root, moments)
        assert audit(StudyRecord.latest(root, "toy")) == []
        with toy.conducting(root, spec) as conductor:
            run_computed(conductor)
        record = StudyRecord.latest(root, "toy")
        assert audit(record) == []
        assert numbers(record) == whole
        assert "ended without a word" in events(record, "fault")[0]["what"]


def drive(root: Path, answer: Connection) -> None:
    """A driver and its worker, in one process."""
    answer.send("begins")
    run_trained(root, a_study(TRAINED), DIGITS)
    answer.send("done")


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_kill_9_of_everything_again_and_again_changes_no_number(
    tmp_path: Path, processes: ForkServerContext, times: int
) -> None:
    """SIGKILL at seeded random moments, then the same command: the numbers are the undisturbed ones to
    the last bit, and no trial that ended runs again."""
    spec, moments, root = a_study(TRAINED), random.Random(4), tmp_path / "killed"
    undisturbed = run_trained(tmp_path / "whole", spec, DIGITS)
    for _ in range(times):
        receive, send = processes.Pipe(duplex=False)
        process = processes.Process(target=drive, args=(root, send))
        process.start()
        assert receive.recv() == "begins"
        wait_for_growth(root, receive)
        receive.poll(moments.uniform(0, 1.0))
        process.kill()
        process.join()
        assert audit(StudyRecord.latest(root, "toy")) == []
    record = finish(root, spec)
    assert numbers(record) == numbers(undisturbed)
    assert ranking_csv(read_findings(record).ranking) == ranking_csv(read_findings(undisturbed).ranking)
    ends = [event["trial"] for event in events(record, "result")]
    assert len(ends) == len(set(ends)) == spec.trial_count
    killed = [event for event in events(record, "fault") if "without a word" in event["what"]]
    assert len(killed) >= times - 1, "one may have come through before it was killed"


def wait_for_growth(root: Path, receive: Connection) -> None:
    """Until an epoch is reported that is new: the study gets on, however often it is killed."""
    before = epochs_of(root)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and epochs_of(root) == before and not receive.poll(0.02):
        continue


def epochs_of(root: Path) -> int:
    return sum(path.read_bytes().count(b'"event":"epoch"') for path in root.glob("*/*/journal.jsonl"))


# -- a driver dies while it writes -------------------------------------------------------------------


def append_until_killed(root: Path, limit: int) -> None:
    """The system kills the process in the middle of the write that would pass the limit."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with toy.conducting(root, a_study()) as conductor:
        run_computed(conductor)
    os._exit(7)


@pytest.mark.parametrize("beyond", [7, 177, 424, 900, 1448, 2401])
def test_a_driver_killed_inside_a_write_leaves_the_state_before_it(
    tmp_path: Path, processes: ForkServerContext, beyond: int
) -> None:
    limit = len(a_study().to_toml()) + beyond  # the study file is written whole
    process = processes.Process(target=append_until_killed, args=(tmp_path, limit))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGXFSZ
    record = StudyRecord.latest(tmp_path, "toy")
    assert record.journal.stat().st_size == limit, "the last line is torn"
    before = list(record.events())
    assert audit(record) == []
    with toy.conducting(tmp_path, a_study()) as conductor:
        assert list(record.events())[: len(before)] == before
        run_computed(conductor)
    assert audit(record) == []


@pytest.mark.parametrize("left", ["nothing", "half", "all"])
def test_a_driver_killed_before_the_study_file_had_its_name_begins_anew(tmp_path: Path, left: str) -> None:
    spec = a_study()
    folder = tmp_path / "toy" / spec.digest
    folder.mkdir(parents=True)
    text = spec.to_toml()  # what follows was written by a process of a number that none has
    if left != "nothing":
        (folder / ".study.toml.9999999.partial").write_text(text if left == "all" else text[: len(text) // 2])
    record = StudyRecord.create(tmp_path, spec)
    assert record.folder == folder
    assert record.spec == spec
    assert not (folder / ".study.toml.9999999.partial").exists()


def test_what_the_disk_did_not_take_is_taken_back(tmp_path: Path, processes: ForkServerContext) -> None:
    """A full disk, as a limit on the size of files: a clear line, nothing torn; with room it goes on."""
    receive, send = processes.Pipe(duplex=False)
    process = processes.Process(target=append_on_a_full_disk, args=(tmp_path, send))
    process.start()
    said = receive.recv()
    process.join()
    record = StudyRecord.latest(tmp_path, "toy")
    assert "cannot be written: File too large; make room" in said
    assert record.journal.read_bytes().endswith(b"\n")
    for line in record.journal.read_text().splitlines():
        json.loads(line)
    with toy.conducting(tmp_path, a_study()) as conductor:
        run_computed(conductor)
    assert audit(record) == []


def append_on_a_full_disk(root: Path, answer: Connection) -> None:
    import resource

    from study.errors import RecordError

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    try:
        with toy.conducting(root, a_study()) as conductor:
            run_computed(conductor)
    except RecordError as error:
        answer.send(str(error))
