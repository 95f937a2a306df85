"""What runs in a worker: one trial after another in a warm process."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import tempfile
import traceback
import uuid
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import ray
from ray import tune

from study.record import checkpoint_folder
from study.trial import Row, TrialConfig, TrialResult, Verdict

if TYPE_CHECKING:
    from study.components.datasets import LoadedData


def run_trial(
    config: dict[str, Any], data: LoadedData, threads: int, checkpoints: str, checkpoint_s: float
) -> None:
    """Train one trial, from its last checkpoint on, and report a row an epoch, then the result.

    Every message carries the attempt's own token, so that the driver can tell a second attempt (after
    a worker's death) from a late message of the first. The first says where this process is and brings
    the rows of the epochs that were trained before. Exceptions become results: Ray retries only what
    killed the process. ``checkpoints`` is a folder that the driver made; a node that does not see it
    goes on without.
    """
    from study.checkpoint import Checkpoints
    from study.devices import pick_device
    from study.training import train

    trial = TrialConfig.from_json(json.loads(config["trial"]))
    attempt = uuid.uuid4().hex
    kept = Checkpoints(
        checkpoint_folder(Path(checkpoints), trial.id),
        trial,
        every_s=checkpoint_s,
        circumstances={"data": data.fingerprint, "device": pick_device(None).type},
    )

    def send(**message: Any) -> None:
        faults, kept.faults = kept.faults, []
        tune.report({"attempt": attempt, "faults": faults, **message})

    def report(row: Row) -> None:
        send(row=row, saved=kept.epoch == row["epoch"])

    send(rows=list(kept.load()), started=place())
    try:
        result = train(trial, data, report=report, threads=threads, checkpoints=kept)
    except MemoryError as error:
        result = failure(trial, "oom", error)
    except Exception as error:  # noqa: BLE001 -- whatever the trial raised is its result
        kind = "oom" if type(error).__name__ == "OutOfMemoryError" else "crash"
        result = failure(trial, kind, error)
    send(result=json.dumps(result.with_curve(()).to_json(), allow_nan=False))


def place() -> dict[str, Any]:
    """Where this process is found: its node and number, and the file that its stack is written to when
    it is sent SIGUSR1."""
    node = ray.get_runtime_context().get_node_id()
    return {"node": node, "pid": os.getpid(), "stack": stack_file().fileno()}


@cache
def stack_file() -> IO[bytes]:
    """A file without a name, so that nothing is left of it however the process ends."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- open as long as the process lives
    faulthandler.register(signal.SIGUSR1, file=file)
    return file


def failure(trial: TrialConfig, kind: str, error: Exception) -> TrialResult:
    """The result of a trial whose code or machine broke."""
    reason = f"{type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error))
    return TrialResult(trial, Verdict("failed", kind, reason=reason), error=text)
