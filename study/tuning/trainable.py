"""What runs in a worker: one trial after another in a warm process."""

from __future__ import annotations

import json
import traceback
import uuid
from typing import TYPE_CHECKING, Any

from ray import tune

from study.trial import Row, TrialConfig, TrialResult, Verdict

if TYPE_CHECKING:
    from study.components.datasets import LoadedData


def run_trial(config: dict[str, Any], data: LoadedData, threads: int) -> None:
    """Train one trial and report a row an epoch, then the result.

    Every message carries the attempt's own token, so that the driver can tell a second attempt (after
    a worker's death) from a late message of the first. Exceptions become results: Ray retries only
    what killed the process.
    """
    from study.training import train

    trial = TrialConfig.from_json(json.loads(config["trial"]))
    attempt = uuid.uuid4().hex

    def send(**message: Any) -> None:
        tune.report({"attempt": attempt, **message})

    def report(row: Row) -> None:
        send(row=row)

    send(started=True)
    try:
        result = train(trial, data, report=report, threads=threads)
    except MemoryError as error:
        result = failure(trial, "oom", error)
    except Exception as error:  # noqa: BLE001 -- whatever the trial raised is its result
        kind = "oom" if type(error).__name__ == "OutOfMemoryError" else "crash"
        result = failure(trial, kind, error)
    send(result=json.dumps(result.with_curve(()).to_json(), allow_nan=False))


def failure(trial: TrialConfig, kind: str, error: Exception) -> TrialResult:
    """The result of a trial whose code or machine broke."""
    reason = f"{type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error))
    return TrialResult(trial, Verdict("failed", kind, reason=reason), error=text)
