"""Which silence is held against a trial: by an injected clock."""

from __future__ import annotations

from study.silence import ABSENCE_S, EPOCHS_OF_SILENCE, FIRST_PATIENCE, Silence

LEAST_S = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Listening:
    """A silence that is looked at every second, as a driver does."""

    def __init__(self, least_s: float = LEAST_S) -> None:
        self.clock = Clock()
        self.silence = Silence(least_s, self.clock)

    def wait(self, seconds: float) -> list[str]:
        """Who is overdue within so many seconds."""
        found: list[str] = []
        for _ in range(round(seconds)):
            self.clock.now += 1
            found += [trial for trial, _ in self.silence.overdue()]
        return sorted(set(found))

    def epoch(self, trial: str, number: int, seconds: float) -> None:
        self.silence.spoke(trial, {"epoch": number, "seconds": number * seconds})


def test_a_trial_that_reports_is_not_overdue() -> None:
    there = Listening()
    there.silence.began("a")
    for number in range(1, 6):
        there.epoch("a", number, seconds=20)
        assert there.wait(20) == []


def test_a_trial_is_overdue_after_many_times_its_longest_epoch() -> None:
    there = Listening()
    there.silence.began("a")
    there.epoch("a", 1, seconds=20)
    assert there.wait(20 * EPOCHS_OF_SILENCE) == []
    assert there.wait(2) == ["a"]


def test_a_short_silence_never_counts() -> None:
    there = Listening()
    there.silence.began("a")
    there.epoch("a", 1, seconds=0.01)
    assert there.wait(LEAST_S) == []
    assert there.wait(2) == ["a"]


def test_before_its_first_epoch_a_trial_is_judged_by_the_others() -> None:
    there = Listening()
    there.silence.began("a")
    there.silence.began("b")
    there.epoch("a", 1, seconds=50)
    assert there.wait(50 * EPOCHS_OF_SILENCE) == []
    assert there.wait(2) == ["a", "b"]


def test_a_trial_that_goes_on_from_a_checkpoint_is_judged_by_its_epochs_of_before() -> None:
    there = Listening()
    for number in (1, 2):
        there.silence.learn("a", {"epoch": number, "seconds": number * 50.0})
    there.silence.began("a")
    for number in (1, 2):  # the rows of before, all at once
        there.epoch("a", number, seconds=50)
    assert there.wait(50 * EPOCHS_OF_SILENCE) == []
    assert there.wait(2) == ["a"]


def test_the_first_epoch_of_all_has_patience() -> None:
    there = Listening(least_s=1)
    there.silence.began("a")
    assert there.wait(FIRST_PATIENCE) == []
    assert there.wait(2) == ["a"]


def test_a_trial_that_ended_is_not_overdue() -> None:
    there = Listening()
    there.silence.began("a")
    there.silence.ended("a")
    assert there.wait(10_000) == []


def test_who_was_away_himself_blames_nobody() -> None:
    """The driver was stopped, or the machine asleep, for an hour."""
    there = Listening()
    there.silence.began("a")
    there.epoch("a", 1, seconds=1)
    there.clock.now += 3600
    assert there.silence.overdue() == []
    assert there.wait(LEAST_S - 1) == []
    assert there.wait(3) == ["a"]


def test_a_slow_look_is_no_absence() -> None:
    there = Listening()
    there.silence.began("a")
    there.epoch("a", 1, seconds=1)
    for _ in range(20):
        there.clock.now += ABSENCE_S - 1
        there.silence.overdue()
    assert there.wait(1) == ["a"]


def test_a_silence_that_was_anothers_fault_counts_anew() -> None:
    listening = Listening()
    listening.silence.began("a")
    listening.silence.spoke("a", {"epoch": 1, "seconds": 1.0})
    assert "a" in listening.wait(LEAST_S + 1)
    listening.silence.excuse("a")
    assert listening.wait(LEAST_S - 1) == []
    assert "a" in listening.wait(2)
    listening.silence.excuse("b")  # nobody listens to it
    assert "b" not in listening.wait(LEAST_S + 1)


def test_after_its_last_epoch_a_trial_has_patience_until_it_begins_anew() -> None:
    there = Listening()
    there.silence.began("a")
    there.epoch("a", 1, seconds=1)
    there.silence.finishes("a")
    assert there.wait(LEAST_S * FIRST_PATIENCE) == []
    assert there.wait(2) == ["a"]
    there.silence.began("a")
    assert there.wait(LEAST_S + 2) == ["a"]
