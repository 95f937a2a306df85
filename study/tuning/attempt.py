"""One attempt at a trial, and what it says to whoever decides: Ray only carries the messages.

{"attempt": TOKEN, "faults": [...], "started": PLACE, "rows": [...]}    first, with the rows of
                                                                        the epochs done before
{"attempt": TOKEN, "faults": [...], "row": {...}, "saved": true}        after each epoch
{"attempt": TOKEN, "faults": [...], "result": "{...}"}                  last
"""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from study.errors import StudyError, one_line
from study.packing import device_kind
from study.record import checkpoint_folder
from study.trial import Row, TrialConfig, TrialResult, Verdict

if TYPE_CHECKING:
    from torch import nn

    from study.components.datasets import LoadedData
    from study.weights import BestWeights

Training = Callable[..., TrialResult]
"""Called as study.training.train is. One that does no work lets the way there and back be timed."""


class TrialSource(Protocol):
    """Who decides which trials run, and who is told what came of them. Knows nothing of Ray."""

    def next_trial(self) -> TrialConfig | None:
        """The next trial, or None while there is nothing to start."""

    def exhausted(self) -> bool:
        """Whether no trial will be asked for any more."""

    def stopping(self) -> bool:
        """Whether running trials are to be given up now."""

    def gpus(self, trial: TrialConfig) -> float:
        """What the trial asks for now: whole GPUs, or a share of one."""

    def started(self, trial: TrialConfig, token: str, epoch: int = 0) -> None:
        """An attempt at a trial has begun, after ``epoch``; ``token`` names the attempt."""

    def reported(self, trial: TrialConfig, token: str, row: Row, saved: bool = False) -> bool:
        """A trial has finished an epoch. Whether it is to be stopped now, its result being settled.
        ``saved``: there is a checkpoint of the epoch's end."""

    def faulted(self, trial: TrialConfig, what: str) -> None:
        """Something went wrong, and the trial goes on."""

    def lost(self, trial: TrialConfig) -> None:
        """A trial's process or node has died; it is tried again, once there is room."""

    def cut_off(self, trial: TrialConfig) -> None:
        """A trial is silent and may be so by the network's fault: its silence counts anew from now on."""

    def room(self, trials: int) -> None:
        """So many trials may be asked for at once now: nodes have come or gone."""

    def overdue(self) -> list[tuple[TrialConfig, float]]:
        """The trials that hang, with the seconds of their silence. Asked often."""

    def ended(self, result: TrialResult, token: str | None) -> None:
        """A trial has ended; no token where its process died."""


@dataclass(frozen=True)
class Keeping:
    """Where checkpoints are kept, and what trials find out for each other: a folder that the driver made and
    every node sees, by its absolute path; how many seconds of training lie between two of one trial;
    whether its rows tell what its process uses of the machine; and where the weights of each arm's best
    replicate are kept, if they are."""

    folder: Path
    every_s: float
    usage: bool = False
    weights: BestWeights | None = None


def attempt(
    trial: TrialConfig,
    data: LoadedData,
    threads: int,
    keeping: Keeping,
    *,
    send: Callable[[Mapping[str, Any]], None],
    gpus: float = 0.0,
    place: Mapping[str, Any] | None = None,
    train: Training | None = None,
    heed: Callable[[], None] | None = None,
) -> None:
    """Train one trial, from its last checkpoint on, and send a row an epoch, then the result.

    Every message carries the attempt's own token, so that the driver can tell a second attempt (after
    a worker's death) from a late message of the first. Exceptions become results. A node that does not
    see the folder of the checkpoints goes on without. ``gpus`` is what the trial has of them, ``place`` says
    where this process is found; ``train`` stands in for study.training.train. ``heed`` is called before each
    step, and raises where the driver has answered that the trial is to be stopped.
    """
    from study.checkpoint import Checkpoints
    from study.devices import device_name, keep_to_share, pick_device, release_memory
    from study.training import train as really
    from study.usage import Usage

    token, device = uuid.uuid4().hex, pick_device(None)
    used = Usage(device) if keeping.usage else dict
    kept = Checkpoints(
        checkpoint_folder(keeping.folder, trial.id),
        trial,
        every_s=keeping.every_s,
        circumstances={"data": data.fingerprint, "device": device.type},
        runs_on=device_kind(device_name(device), gpus),
    )

    def say(**message: Any) -> None:
        faults, kept.faults = kept.faults, []
        send({"attempt": token, "faults": faults, **message})

    def report(row: Row) -> None:
        say(row=row | used(), saved=kept.epoch == row["epoch"])

    say(rows=list(kept.load()), started=dict(place or {}))
    release_memory(device)  # of a trial that was stopped before it could do so itself
    keep_to_share(device, gpus)
    networks: list[nn.Module] = []
    keep = networks.append if keeping.weights and trial.phase == "confirm" else None
    try:
        result = (train or really)(
            trial,
            data,
            report=report,
            threads=threads,
            checkpoints=kept,
            shared=keeping.folder,
            keep=keep,
            heed=heed,
        )
    except Exception as error:  # noqa: BLE001 -- whatever the trial raised is its result
        result = failure(trial, "oom" if out_of_memory(error) else "crash", error)
    if keeping.weights and networks:
        kept.faults += keep_weights(keeping.weights, result, networks.pop())
    release_memory(device)
    where: dict[str, Any] = {"gpus": gpus} if gpus else {}
    if len(kept.ran_on) > 1:
        where |= {"ran_on": kept.ran_on}
    result = replace(result, environment={**result.environment, **where})
    say(result=json.dumps(result.with_curve(()).to_json(), allow_nan=False))


def keep_weights(best: BestWeights, result: TrialResult, network: nn.Module) -> list[str]:
    """Why they could not be kept, if so: the result stands without them."""
    try:
        best.keep(result, network)
    except (OSError, StudyError) as error:
        return [f"its weights were not kept: {one_line(str(error))}"]
    return []


def out_of_memory(error: Exception) -> bool:
    """Whether it says so of the machine's memory or the GPU's. torch has a class for the latter alone."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


def failure(trial: TrialConfig, kind: str, error: Exception) -> TrialResult:
    """The result of a trial whose code or machine broke."""
    reason = f"{type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error))
    return TrialResult(trial, Verdict("failed", kind, reason=reason), error=text)


def deliver(source: TrialSource, trial: TrialConfig, message: Mapping[str, Any]) -> bool:
    """Tell the source what an attempt has said. Whether the attempt is to be stopped."""
    token = message["attempt"]
    for what in message["faults"]:
        source.faulted(trial, what)
    if "row" in message:
        return source.reported(trial, token, message["row"], message["saved"])
    if "result" in message:
        source.ended(TrialResult.from_json(json.loads(message["result"])), token)
        return False
    source.started(trial, token, len(message["rows"]))
    for row in message["rows"]:
        source.reported(trial, token, row)
    return False
