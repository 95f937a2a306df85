"""What runs in a worker: one trial after another in a warm process."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Self

import ray
from ray import tune

from study.trial import TrialConfig
from study.tuning.attempt import Keeping, Training, attempt

if TYPE_CHECKING:
    from study.components.datasets import LoadedData


def run_trial(
    config: dict[str, Any], data: LoadedData, threads: int, keeping: Keeping, train: Training | None
) -> None:
    """Make one attempt at a trial. Ray tries again only after what killed the process."""
    # Read when the process takes on its next trial: by Tune's 2 s one that takes longer to unwind fails it.
    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "120"
    trial = TrialConfig.from_json(json.loads(config["trial"]))
    with Driver(tune.report) as driver:

        def send(message: Mapping[str, Any]) -> None:
            # A result is not told as Tune's `done`, which would save a turn: where no trial is asked for yet,
            # as between two phases, Tune keeps one idle worker. When the function ends others were asked for.
            driver.tell(dict(message))
            if "row" not in message:
                driver.heard()

        attempt(
            trial,
            data,
            threads,
            keeping,
            send=send,
            gpus=config["gpus"],
            place=place(),
            train=train,
            heed=driver.heed,
        )


class Driver:
    """Tells the driver one thing at a time, on a thread of its own, so that training goes on until it has
    answered. A context manager: the thread ends with it.

    ``report`` returns once the driver has taken a message in, and raises where the trial is to be stopped;
    what it raises, whoever calls next raises. The result of a trial that is stopped is settled by then, so
    what it trains in the meantime, for milliseconds, counts nowhere.
    """

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report
        self._answer: Future[None] | None = None
        self._told: SimpleQueue[tuple[dict[str, Any], Future[None]] | None] = SimpleQueue()

    def __enter__(self) -> Self:
        # A daemon, as the thread that trains is: no process stays for the sake of a driver that is gone.
        Thread(target=self._say, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._told.put(None)

    def tell(self, message: dict[str, Any]) -> None:
        """Once the message before has been answered."""
        self.heard()
        self._answer = Future()
        self._told.put((message, self._answer))

    def heed(self) -> None:
        """Go on, unless the answer is there, and is to stop."""
        if self._answer is not None and self._answer.done():
            self.heard()

    def heard(self) -> None:
        """Wait for the answer."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if not answer.done():
            with waiting_to_be_heard():
                wait([answer])
        answer.result()

    def _say(self) -> None:
        while (told := self._told.get()) is not None:
            message, answer = told
            try:
                self._report(message)
            except BaseException as error:  # noqa: BLE001 -- SystemExit is how Ray stops a trial
                answer.set_exception(error)
            else:
                answer.set_result(None)


def place() -> dict[str, Any]:
    """Where this process is found: its node and number, and the file that its stack is written to when
    it is sent SIGUSR1."""
    node = ray.get_runtime_context().get_node_id()
    return {"node": node, "pid": os.getpid(), "stack": stack_file().fileno()}


@contextmanager
def waiting_to_be_heard() -> Iterator[None]:
    """While it lasts, whoever asks on this machine sees that the process waits for the driver: the file of
    its stack is dated 1970."""
    file = stack_file().fileno()
    os.utime(file, (0, 0))
    try:
        yield
    finally:
        os.utime(file)


@cache
def stack_file() -> IO[bytes]:
    """A file without a name, so that nothing is left of it however the process ends."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- open as long as the process lives
    faulthandler.register(signal.SIGUSR1, file=file)
    return file
