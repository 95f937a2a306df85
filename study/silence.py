"""Silence: which running trials have not been heard of for so long that they must hang."""

from __future__ import annotations

import time
from collections.abc import Callable

from study.trial import Row

# A trial may be silent for this many times its longest epoch: evaluations, a slow disk and a busy
# machine are no hang.
EPOCHS_OF_SILENCE = 10

# Where no epoch's length is known yet, for this many times the shortest silence that counts: the first
# epoch has whatever a machine must do once in it. After the last one too.
FIRST_PATIENCE = 60

# Who did not look for this long was not there himself (stopped, or busy): nobody else is to blame.
ABSENCE_S = 5.0


class Silence:
    """Listens to trials by their ids. Time is a monotonic clock's, so it does not jump.

    ``least_s``: silences shorter than this are never held against a trial.
    """

    def __init__(self, least_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self.least_s, self._now = least_s, now
        self._looked = now()
        self._heard: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._longest: dict[str, float] = {}
        self._longest_of_all = 0.0
        self._finishing: set[str] = set()

    def began(self, trial: str) -> None:
        """An attempt at the trial has begun."""
        self._heard[trial], self._seconds[trial] = self._now(), 0.0
        self._finishing.discard(trial)

    def spoke(self, trial: str, row: Row) -> None:
        """The trial has finished an epoch; how long that took stands in the rows."""
        if trial in self._heard:
            self._heard[trial] = self._now()
        self.learn(trial, row)

    def learn(self, trial: str, row: Row) -> None:
        """Take in how long an epoch took, also one of long ago."""
        seconds = float(row.get("seconds") or 0.0)
        epoch_s = seconds - self._seconds.get(trial, 0.0)
        self._seconds[trial] = seconds
        self._longest[trial] = max(self._longest.get(trial, 0.0), epoch_s)
        self._longest_of_all = max(self._longest_of_all, epoch_s)

    def finishes(self, trial: str) -> None:
        """Its last epoch has ended. What is left to do (the test, above all) says nothing, and may take
        longer than any epoch."""
        self._finishing.add(trial)

    def excuse(self, trial: str) -> None:
        """Its silence till now was another's fault."""
        if trial in self._heard:
            self._heard[trial] = self._now()

    def ended(self, trial: str) -> None:
        self._heard.pop(trial, None)

    def overdue(self) -> list[tuple[str, float]]:
        """The trials that must hang, with the seconds since they were heard of. To be asked often."""
        now = self._now()
        absent = now - self._looked
        self._looked = now
        if absent > ABSENCE_S:
            self._heard = {trial: min(now, heard + absent) for trial, heard in self._heard.items()}
        silent = {trial: now - heard for trial, heard in self._heard.items()}
        return [(trial, silence) for trial, silence in silent.items() if silence > self.allowed_s(trial)]

    def allowed_s(self, trial: str) -> float:
        """How long a trial may be silent: by its own epochs or, before the first, by all others'; after its
        last as long as where nothing is known."""
        longest = self._longest.get(trial) or self._longest_of_all
        known = max(self.least_s, longest * EPOCHS_OF_SILENCE)
        if not longest or trial in self._finishing:
            return max(known, self.least_s * FIRST_PATIENCE)
        return known
