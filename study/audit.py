"""The audit: whether a study's record keeps its promises, judged from the record and from MLflow alone.

I1  every trial that was asked for ends exactly once, and their number is the plan's
I2  an attempt's epochs are there from the first to the last, each once
I3  the samplers, made anew from the record, hold exactly its trials and values
I4  MLflow holds what the record says
I5  arms share their seeds, and what is confirmed is what tuning found best
I6  nothing is left behind: files of trials that ended, runs that nobody carries on
I7  a trial that was cut short goes on from its last checkpoint
I8  what went wrong can be seen in the record
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from study import tracking
from study.check import worst_value
from study.components.datasets import DATASETS
from study.conductor import ArmProgress, Conductor
from study.errors import RecordError, StudyError, TrackingError, one_line
from study.record import FROM_THE_START, Event, JournalWriter, StudyRecord, checkpoint_folder, is_running
from study.trial import PHASES, Row, TrialConfig


@dataclass(frozen=True)
class Violation:
    """A promise that was broken: which one, what for, and what was found."""

    invariant: str
    says: str
    trial: str | None = None

    def __str__(self) -> str:
        return f"{self.invariant}  {self.trial + ': ' if self.trial else ''}{self.says}"


def audit(record: StudyRecord, tracking_uri: str | None = None) -> list[Violation]:
    """What breaks the promises above; empty where all are kept. Changes nothing.

    A study that is running, or was cut short, is judged by what it has done so far. MLflow is asked
    only where its ``tracking_uri`` is given.
    """
    ledger = Ledger()
    try:
        for event in record.events():
            ledger.take(event)
    except RecordError as error:
        return [Violation("I2", str(error))]
    found = [*ledger.violations, *_whole(ledger), *_seeds(ledger), *_work_lost(ledger), *_silent(ledger)]
    found += _samplers(record, ledger)
    found += _left_behind(record, ledger)
    if tracking_uri is not None:
        found += _mlflow(record, tracking_uri)
    return sorted(found, key=lambda violation: violation.invariant)


# -- the journal, event by event ---------------------------------------------------------------------


@dataclass
class Attempt:
    """One attempt at a trial: the epoch it went on from, its rows, its last checkpoint, its end."""

    number: int
    resumed: int = 0
    rows: list[Row] = field(default_factory=list)
    saved: int = 0
    result: dict[str, Any] | None = None

    @property
    def failed(self) -> bool:
        return self.result is not None and self.result["verdict"]["status"] == "failed"


@dataclass
class Account:
    """All that the journal says of one trial."""

    config: TrialConfig
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether it has ended for good: a failed trial is tried again."""
        return any(attempt.result is not None and not attempt.failed for attempt in self.attempts)


@dataclass
class Ledger:
    """The journal's events as accounts; what contradicts what stood before is a violation."""

    accounts: dict[str, Account] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    faults: set[str] = field(default_factory=set)
    sessions: int = 0
    since: float = 0.0
    silent: list[int] = field(default_factory=list)
    finished: bool = False
    _open: bool = False

    def take(self, event: Event) -> None:
        """Take in the next event. One of a kind that is not known says nothing here."""
        entry = {
            "session": self._session,
            "ended": self._session_ended,
            "fault": self._fault,
            "asked": self._asked,
            "started": self._started,
            "epoch": self._epoch,
            "result": self._result,
            "finished": self._finished,
        }.get(event.get("event", ""))
        try:
            if entry is not None:
                entry(event)
        except (KeyError, TypeError, ValueError) as error:
            self._broken("I2", f"its event {event.get('event')} is not whole ({one_line(str(error))})", event)

    def _broken(self, invariant: str, says: str, event: Event) -> None:
        self.violations.append(Violation(invariant, says, event.get("trial")))

    def _session(self, event: Event) -> None:
        if self._open:
            self.silent.append(self.sessions)
        self.sessions += 1
        self.since = float(event["time"])
        self._open = event.get("format", 1) >= 2

    def _session_ended(self, event: Event) -> None:
        self._open = False

    def _fault(self, event: Event) -> None:
        self.faults.add(event.get("trial", ""))
        if "trial" not in event:
            self._open = False

    def _finished(self, event: Event) -> None:
        self.finished = True

    def _asked(self, event: Event) -> None:
        config = TrialConfig.from_json(event["config"])
        if config.id != event["trial"]:
            self._broken("I1", f"was asked for as {config.id}", event)
        if event["trial"] in self.accounts:
            self._broken("I1", "was asked for twice", event)
        else:
            self.accounts[event["trial"]] = Account(config)

    def _account(self, event: Event, did: str) -> Account | None:
        account = self.accounts.get(event["trial"])
        if account is None:
            self._broken("I1", f"{did}, and was never asked for", event)
        elif account.ended:
            self._broken("I1", f"{did} after it had ended", event)
        else:
            return account
        return None

    def _started(self, event: Event) -> None:
        if account := self._account(event, "was started"):
            last = account.attempts[-1].number if account.attempts else 0
            if event["attempt"] <= last:
                self._broken("I2", f"its attempt {event['attempt']} follows attempt {last}", event)
            account.attempts.append(Attempt(event["attempt"], event.get("epoch", 0)))

    def _epoch(self, event: Event) -> None:
        account = self._account(event, "has an epoch")
        attempt = account.attempts[-1] if account and account.attempts else None
        if account is None:
            return
        if attempt is None or attempt.number != event["attempt"] or attempt.result is not None:
            self._broken("I2", f"has an epoch of attempt {event['attempt']}, which was not under way", event)
            return
        epoch, expected = event["row"]["epoch"], len(attempt.rows) + 1
        if epoch != expected:
            self._broken(
                "I2", f"epoch {epoch} stands where {expected} should, in attempt {attempt.number}", event
            )
        attempt.rows.append(event["row"])
        if event.get("saved"):
            attempt.saved = epoch

    def _result(self, event: Event) -> None:
        account = self._account(event, "ended")
        if account is None:
            return
        if not account.attempts:  # its worker died before it could say that it had begun
            account.attempts.append(Attempt(event["attempt"]))
        attempt = account.attempts[-1]
        if attempt.number != event["attempt"]:
            self._broken("I2", f"ended in attempt {event['attempt']} of {attempt.number}", event)
        attempt.result = event["result"]
        str(attempt.result["verdict"]["status"])


# -- what the accounts must add up to ----------------------------------------------------------------


def _whole(ledger: Ledger) -> Iterator[Violation]:
    """A trial that ended well has every epoch, and its final metrics are its last epoch's."""
    for trial, account in ledger.accounts.items():
        attempt = account.attempts[-1] if account.attempts else None
        if attempt is None or attempt.result is None or attempt.result["verdict"]["status"] != "ok":
            continue
        epochs = account.config.hyperparameters.get("training.epochs", len(attempt.rows))
        if len(attempt.rows) != epochs:
            yield Violation("I2", f"ended ok with {len(attempt.rows)} epochs of {epochs}", trial)
        metrics, last = attempt.result.get("metrics", {}), attempt.rows[-1] if attempt.rows else {}
        for name in sorted(metrics.keys() & last.keys()):
            if metrics[name] != last[name]:
                yield Violation("I2", f"{name} is {metrics[name]}, and {last[name]} in its last epoch", trial)


def _seeds(ledger: Ledger) -> Iterator[Violation]:
    """Arms are compared in pairs: the same seeds for the same phase and index, others for another."""
    seeds: dict[tuple[str, int], tuple[int, int]] = {}
    owners: dict[tuple[str, int], int] = {}
    for trial, account in ledger.accounts.items():
        config = account.config
        mine = (config.seed, config.split_seed)
        if seeds.setdefault((config.phase, config.index), mine) != mine:
            yield Violation("I5", "has other seeds than the other arms' trials of its number", trial)
        elif owners.setdefault((config.phase, config.seed), config.index) != config.index:
            yield Violation("I5", "has the seed of a trial of another number", trial)


def _work_lost(ledger: Ledger) -> Iterator[Violation]:
    """An attempt goes on from the last checkpoint before it, unless a fault says why it cannot."""
    for trial, account in ledger.accounts.items():
        saved = 0
        for attempt in account.attempts:
            if attempt.resumed < saved and trial not in ledger.faults:
                yield Violation(
                    "I7",
                    f"attempt {attempt.number} went on from epoch {attempt.resumed}, and a checkpoint of "
                    f"epoch {saved} was written",
                    trial,
                )
            saved = max(saved, attempt.saved, attempt.resumed)
            if attempt.result is not None and attempt.result["verdict"].get("kind") in FROM_THE_START:
                saved = 0


def _silent(ledger: Ledger) -> Iterator[Violation]:
    for number in ledger.silent:
        yield Violation("I8", f"session {number} ended without a word, and nothing says so")


# -- what can be made anew from the record -----------------------------------------------------------


def _samplers(record: StudyRecord, ledger: Ledger) -> Iterator[Violation]:
    """Replay the record as a driver would that takes the study up again."""
    spec = record.spec
    arms = {arm.name: arm for arm in spec.arms()}
    strange = [trial for trial, account in ledger.accounts.items() if account.config.arm not in arms]
    for trial in strange:
        yield Violation("I1", "is of an arm that the study does not have", trial)
    if strange:
        return
    try:
        conductor = Conductor(record, JournalWriter(record), worst=_worst(record))
    except StudyError as error:
        yield Violation("I3", f"the samplers cannot be made anew: {one_line(str(error))}")
        return
    yield from _plan(conductor, ledger)
    for name, progress in conductor.arms.items():
        yield from _told(conductor, name, progress)
        yield from _confirmed(name, progress)


def _worst(record: StudyRecord) -> float:
    spec = record.spec
    name = str(spec.arms()[0].held["dataset.name"])
    return worst_value(spec.objective.metric, len(DATASETS[name].classes))


def _plan(conductor: Conductor, ledger: Ledger) -> Iterator[Violation]:
    """A finished study misses nothing; in every arm and phase the trials are numbered without a gap."""
    failed = sum(
        not account.ended and bool(account.attempts) and account.attempts[-1].failed
        for account in ledger.accounts.values()
    )
    if ledger.finished and conductor.missing() > failed:
        yield Violation("I1", f"the study is finished, and {conductor.missing() - failed} trials are missing")
    for name, progress in conductor.arms.items():
        most = {"tune": conductor.spec.search.trials_per_arm, "confirm": conductor.spec.search.replicates}
        for phase in PHASES:
            numbers = sorted(progress.asked[phase])
            if numbers != list(range(len(numbers))):
                yield Violation("I1", f"{name}: the trials to {phase} are numbered with a gap: {numbers}")
            if len(numbers) > most[phase]:
                yield Violation("I1", f"{name}: {len(numbers)} trials to {phase}, {most[phase]} are planned")


def _told(conductor: Conductor, arm: str, progress: ArmProgress) -> Iterator[Violation]:
    """The sampler was told every trial that ended, once, with its value, and no other."""
    states = progress.search.states()
    metric = conductor.spec.objective.metric
    for index in sorted(states.keys() - progress.asked["tune"].keys()):
        yield Violation("I3", "the sampler has it, the record has not", f"{arm}/tune/{index}")
    for index in sorted(progress.asked["tune"]):
        trial, (state, value) = f"{arm}/tune/{index}", states.get(index, ("nothing", None))
        result = progress.ended["tune"].get(index)
        if result is None:
            expected = state == "RUNNING"
        elif result.verdict.status == "ok":
            expected = (state, value) == ("COMPLETE", result.metrics.get(metric))
        else:
            expected = state == "PRUNED" or (state, value) == ("COMPLETE", conductor.worst)
        if not expected:
            verdict = "no end" if result is None else f"{result.verdict} {result.metrics.get(metric, '')}"
            yield Violation("I3", f"the sampler has {state} {value}, the record {verdict.strip()}", trial)


def _confirmed(arm: str, progress: ArmProgress) -> Iterator[Violation]:
    """Every replicate has the hyperparameters of the arm's best tuning trial."""
    for index, config in sorted(progress.asked["confirm"].items()):
        if progress.best and config.hyperparameters != progress.best.config.hyperparameters:
            best = progress.best.config.id
            yield Violation("I5", f"retrains other hyperparameters than {best}'s", f"{arm}/confirm/{index}")


# -- what lies beside the journal --------------------------------------------------------------------


def _left_behind(record: StudyRecord, ledger: Ledger) -> Iterator[Violation]:
    """Checkpoints of trials that ended, and files that an earlier session did not finish."""
    for trial, account in ledger.accounts.items():
        if account.ended and (folder := checkpoint_folder(record.checkpoints, trial)).exists():
            yield Violation("I6", f"its checkpoints were left behind: {folder}", trial)
    for path in sorted(record.folder.rglob(".*.partial")):
        if path.stat().st_mtime < ledger.since:  # what is newer is being written, or was cut off just now
            yield Violation("I6", f"a half-written file was left behind: {path}")


def _mlflow(record: StudyRecord, uri: str) -> Iterator[Violation]:
    """A running study feeds MLflow with a delay, so only what stands still is compared."""
    if is_running(record):
        return
    try:
        if pending := tracking.pending(record, uri):
            yield Violation(
                "I4", f"{pending} records have not reached MLflow; bring them: study sync {record.name}"
            )
            return
        for trial in tracking.left_running(record, uri):
            yield Violation(
                "I6", f"RUNNING in MLflow, and nobody runs the study: study sync {record.name}", trial
            )
        for line in tracking.differences(record, uri):
            yield Violation("I4", f"in MLflow, {line}")
    except TrackingError as error:
        yield Violation("I4", f"MLflow cannot be asked: {one_line(str(error))}")
