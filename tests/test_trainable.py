"""What a trial tells the driver while it trains."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from study.tuning.trainable import Driver, stack_file

SECONDS = 10.0


class Answers:
    """In Tune's place: answers when it is let, with what it is to raise."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.let, self.answered = Event(), Event()
        self._error = error

    def __call__(self, message: dict[str, Any]) -> None:
        self.asked.append(message)
        assert self.let.wait(SECONDS)
        self.answered.set()
        if self._error is not None:
            raise self._error


def test_training_goes_on_until_the_driver_has_answered() -> None:
    answers = Answers()
    with Driver(answers) as driver:
        driver.heard()  # nothing was told
        driver.tell({"row": 1})
        for _ in range(3):
            driver.heed()
        assert not answers.answered.is_set()
        answers.let.set()
        driver.heard()
    assert answers.answered.is_set()
    assert answers.asked == [{"row": 1}]


def test_one_thing_is_told_at_a_time() -> None:
    answers = Answers()
    with Driver(answers) as driver:
        driver.tell({"row": 1})
        second = Thread(target=driver.tell, args=({"row": 2},), daemon=True)
        second.start()
        second.join(0.1)
        assert second.is_alive()
        assert answers.asked == [{"row": 1}]
        answers.let.set()
        second.join(SECONDS)
        driver.heard()
    assert answers.asked == [{"row": 1}, {"row": 2}]


def steps(driver: Driver) -> None:
    """A training that would take ten seconds."""
    for _ in range(1000):
        driver.heed()
        time.sleep(0.01)


@pytest.mark.parametrize("error", [SystemExit(0), ConnectionError("the driver is gone")])
@pytest.mark.parametrize("then", [steps, Driver.heard, lambda driver: driver.tell({"row": 2})])
def test_who_is_to_stop_hears_it_whatever_comes_next_and_once(error: BaseException, then: Any) -> None:
    answers = Answers(error)
    answers.let.set()
    with Driver(answers) as driver:
        driver.tell({"row": 1})
        with pytest.raises(type(error)):
            then(driver)
        driver.heed()
        driver.heard()
    assert answers.asked == [{"row": 1}]


def test_its_thread_ends_with_it() -> None:
    before = set(threading.enumerate())
    with Driver(Answers()):
        (speaker,) = set(threading.enumerate()) - before
        assert speaker.daemon, "nobody waits for it at the end of a process"
    speaker.join(SECONDS)
    assert not speaker.is_alive()


def test_whoever_looks_sees_that_it_waits_for_the_driver_and_not_that_it_trains_meanwhile() -> None:
    file, answers = Path(f"/proc/self/fd/{stack_file().fileno()}"), Answers()

    def waits() -> bool:
        return file.stat().st_mtime == 0

    with Driver(answers) as driver:
        driver.tell({"row": 1})
        driver.heed()
        assert not waits()
        waiting = Thread(target=driver.heard, daemon=True)
        waiting.start()
        for _ in range(1000):
            if waits():
                break
            waiting.join(0.01)
        assert waits()
        answers.let.set()
        waiting.join(SECONDS)
        assert not waits()
