"""The conductor and its record, model-checked: whatever drivers and workers do, and in whatever order
their words arrive, every trial ends exactly once and the numbers are those of a quiet run.

Cases 22 and 32 of the faults.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from study.audit import audit
from study.conductor import Conductor
from study.errors import RecordError
from study.record import JournalWriter, StudyRecord
from study.trial import TrialConfig
from tests.faults.toy import a_study, conducting, failed, numbers, outcome, rows, run_computed

pytestmark = pytest.mark.faults

SPEC = a_study(trials_per_arm=3, replicates=2)
WORKERS = 2

# What is flushed to the disk thousands of times goes to one without a spindle, where there is one.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@cache
def quiet() -> dict[str, Any]:
    """The numbers of the study without a fault."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        with conducting(Path(folder), SPEC) as conductor:
            run_computed(conductor)
        return numbers(StudyRecord.latest(Path(folder), "toy"))


@dataclass
class Attempt:
    """What a worker is at; its process may be long given up and still speak."""

    config: TrialConfig
    token: str
    epoch: int = 0


class Machine(RuleBasedStateMachine):
    """Two drivers that want the study, two workers; every step may come at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY))
        self.lives = 0
        self.number = 0
        self.failures = 0
        self.handed: list[TrialConfig] = []
        self.attempts: list[Attempt] = []
        self.given_up: list[Attempt] = []
        self.saved: dict[str, int] = {}
        self.abandoned: list[AbstractContextManager[Conductor]] = []

    @initialize()
    def begin(self) -> None:
        self.session = conducting(self.root, SPEC, concurrent=WORKERS)
        self.conductor = self.session.__enter__()
        self.handed, self.attempts = [], []
        self.ask()

    @property
    def root(self) -> Path:
        return self.folder / str(self.lives)

    @property
    def record(self) -> StudyRecord:
        return StudyRecord.latest(self.root, "toy")

    # -- the driver

    @rule()
    def ask(self) -> None:
        while (config := self.conductor.next_trial()) is not None:
            self.handed.append(config)
        assert len(self.conductor.running) <= WORKERS

    @rule(how=st.sampled_from(["killed", "stopped", "disturbed", "disturbed"]))
    def the_driver_is(self, how: str) -> None:
        {"killed": self._killed, "stopped": self._stopped, "disturbed": self._disturbed}[how]()

    def _killed(self) -> None:
        """What is on the disk is all that the next one has."""
        before = self.root
        self.given_up += self.attempts
        self.abandoned.append(self.session)
        self.lives += 1
        shutil.copytree(before, self.root)
        self.begin()

    def _stopped(self) -> None:
        self.given_up += self.attempts
        self.session.__exit__(None, None, None)
        assert audit(self.record) == []
        self.begin()

    def _disturbed(self) -> None:
        """A second driver is turned away."""
        before = self.record.journal.read_bytes()
        with pytest.raises(RecordError, match="running in another process"):
            JournalWriter(self.record).__enter__()
        assert self.record.journal.read_bytes() == before

    # -- workers

    @precondition(lambda self: self.handed)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """An attempt begins, from its last checkpoint or from the one before it."""
        config = data.draw(st.sampled_from(self.handed), "trial")
        resumed = data.draw(st.integers(0, self.saved.get(config.id, 0)), "resumed")
        self.given_up += [attempt for attempt in self.attempts if attempt.config == config]
        self.attempts = [attempt for attempt in self.attempts if attempt.config != config]
        self.number += 1
        attempt = Attempt(config, f"token {self.number}", resumed)
        self.conductor.started(config, attempt.token, resumed)
        for row in rows(config)[:resumed]:
            self.conductor.reported(config, attempt.token, row)
        self.attempts.append(attempt)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), saved=st.booleans())
    def goes_on(self, data: st.DataObject, saved: bool) -> None:
        """The next epoch is reported or, behind the last one, the result."""
        attempt = data.draw(st.sampled_from(self.attempts), "attempt")
        curve = rows(attempt.config)
        if attempt.epoch == len(curve):
            self._end(attempt, outcome(attempt.config), attempt.token)
            return
        self.conductor.reported(attempt.config, attempt.token, curve[attempt.epoch], saved)
        attempt.epoch += 1
        if saved:
            self.saved[attempt.config.id] = max(self.saved.get(attempt.config.id, 0), attempt.epoch)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def goes_on_and_on(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.attempts), "attempt")
        for row in rows(attempt.config)[attempt.epoch :]:
            self.conductor.reported(attempt.config, attempt.token, row)
        self._end(attempt, outcome(attempt.config), attempt.token)

    @precondition(lambda self: self.attempts and self.failures < 4)
    @rule(data=st.data(), kind=st.sampled_from(["crash", "oom", "worker_death", "hang"]))
    def fail(self, data: st.DataObject, kind: str) -> None:
        attempt = data.draw(st.sampled_from(self.attempts), "attempt")
        token = None if kind in ("worker_death", "hang") else attempt.token
        self.failures += 1
        if kind == "crash":
            self.saved.pop(attempt.config.id, None)
        self._end(attempt, failed(attempt.config, kind), token)

    def _end(self, attempt: Attempt, result: Any, token: str | None) -> None:
        self.conductor.ended(result, token)
        self.handed.remove(attempt.config)
        self.attempts.remove(attempt)
        self.given_up.append(attempt)

    # -- late, doubled and reordered words

    @precondition(lambda self: self.given_up)
    @rule(data=st.data())
    def one_that_was_given_up_speaks(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.given_up), "attempt")
        curve = rows(attempt.config)
        row = data.draw(st.sampled_from(curve), "row")
        before = self.record.journal.read_bytes()
        self.conductor.reported(attempt.config, attempt.token, row, saved=True)
        self.conductor.ended(outcome(attempt.config), attempt.token)
        assert self.record.journal.read_bytes() == before

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def one_speaks_out_of_turn(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.attempts), "attempt")
        before = self.record.journal.read_bytes()
        for row in rows(attempt.config):
            if row["epoch"] != attempt.epoch + 1:
                self.conductor.reported(attempt.config, attempt.token, row)
        assert self.record.journal.read_bytes() == before

    # -- always

    @invariant()
    def what_the_conductor_knows_is_what_is_recorded(self) -> None:
        if not hasattr(self, "conductor"):
            return
        ends = [event for event in self.record.events() if event["event"] == "result"]
        well = [event["trial"] for event in ends if event["result"]["verdict"]["status"] != "failed"]
        assert len(well) == len(set(well)), "a trial has ended twice"
        known = self.conductor.done
        assert {trial for trial in known if known[trial].verdict.status != "failed"} == set(well)

    def teardown(self) -> None:
        try:
            if hasattr(self, "session"):
                self._carry_to_its_end()
        finally:
            for session in self.abandoned:
                session.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    def _carry_to_its_end(self) -> None:
        self.session.__exit__(None, None, None)
        with conducting(self.root, SPEC) as conductor:
            run_computed(conductor)
        record = self.record
        assert audit(record) == []
        ended = numbers(record)
        if self.failures:  # a failure may change which trial was best when the replicates began
            assert ended.keys() == quiet().keys()
            assert all(ended[trial] == quiet()[trial] for trial in ended if "/tune/" in trial)
        else:
            assert ended == quiet()


def machine(examples: int, steps: int) -> Any:
    class Sized(Machine):
        pass

    case = Sized.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    return case


TestTwentyRuns = machine(examples=20, steps=50)


@pytest.mark.slow
class TestFiftyThousandSteps(machine(examples=1000, steps=50)):  # type: ignore[misc]
    """As many as the promise names."""
