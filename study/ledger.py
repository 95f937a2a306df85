"""The ledger: the journal's events as one account a trial, and what in them contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from study.errors import one_line
from study.record import Event
from study.trial import Row, TrialConfig


@dataclass(frozen=True)
class Violation:
    """A promise that was broken: which one, what for, and what was found."""

    invariant: str
    says: str
    trial: str | None = None

    def __str__(self) -> str:
        return f"{self.invariant}  {self.trial + ': ' if self.trial else ''}{self.says}"


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
    """The journal's events as accounts; what contradicts what stood before is a violation.

    ``silent``: the sessions that ended without a word; ``closed``: when the last one ended, if it did.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    faults: set[str] = field(default_factory=set)
    sessions: int = 0
    closed: float = 0.0
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
        self._open, self.closed = event.get("format", 1) >= 2, 0.0

    def _session_ended(self, event: Event) -> None:
        self._open, self.closed = False, float(event["time"])

    def _fault(self, event: Event) -> None:
        self.faults.add(event.get("trial", ""))
        if "trial" not in event and "arm" not in event:  # of the session itself, which was killed
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
