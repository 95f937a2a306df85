"""What runs in a worker: one trial after another in a warm process."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import IO, TYPE_CHECKING, Any

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

    def send(message: Mapping[str, Any]) -> None:
        with waiting_to_be_heard():
            tune.report(dict(message))  # returns once the driver has it

    attempt(trial, data, threads, keeping, send=send, gpus=config["gpus"], place=place(), train=train)


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
