"""Checkpoints: a running trial's snapshot on disk, from which its next attempt goes on.

    FOLDER/000012.ckpt     after epoch 12; the newest two are kept

    line 1     {"checkpoint": 1, "sha256": ..., "trial": ...}      the hash is of all that follows
    line 2     the state as JSON, each tensor in it by its number
    the rest   the tensors, as safetensors writes them

Nothing in it is ever executed or unpickled. What is torn, altered, another trial's or no checkpoint at
all is not used: the one before it is, else the trial starts over, and ``faults`` says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

import study
from study.errors import one_line, shorten
from study.record import write_whole
from study.snapshot import Snapshot, capture, restore
from study.steps import Trial
from study.trial import Row, TrialConfig

FORMAT = 1

# As many are kept: the newest can be damaged where it was being written when the machine went down.
GENERATIONS = 2

# A checkpoint may take this share of the time between two of them: where storage is slow or the model
# is large they come less often.
LARGEST_SHARE = 0.05


class Damaged(Exception):
    """A file that must not be loaded; says why."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: the snapshot, the rows of the epochs before it, the seconds they took, and the
    kinds of device that they took them on."""

    snapshot: Snapshot
    curve: tuple[Row, ...]
    seconds: float
    ran_on: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of one trial, written by whoever trains it and read by who goes on with it.

    ``every_s``: seconds of training from one checkpoint to the next, at least; they are written at the
    ends of epochs, and at the end of each where it is 0. ``circumstances`` are facts on which a trial's
    numbers depend beside its config (the data's fingerprint, the device): a checkpoint made under others
    is not used. ``runs_on`` is the kind of device on which it goes on now. ``now`` is a monotonic clock, in
    seconds.
    """

    def __init__(
        self,
        folder: Path,
        config: TrialConfig,
        *,
        every_s: float = 10.0,
        circumstances: Mapping[str, str] | None = None,
        runs_on: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.every_s, self.runs_on, self._now = folder, every_s, runs_on, now
        self.identity = identity(config, circumstances or {})
        self.saved: Saved | None = None
        self.epoch = 0
        self.faults: list[str] = []
        self._last, self._cost_s = now(), 0.0
        self._looked = self._complained = False

    @property
    def ran_on(self) -> tuple[str, ...]:
        """All kinds of device that the trial was trained on, in the attempts that it goes on from too."""
        before = self.saved.ran_on if self.saved is not None else ()
        return tuple(dict.fromkeys(filter(None, (*before, self.runs_on))))

    def load(self) -> Sequence[Row]:
        """Find the newest checkpoint that is sound; the rows of the epochs before it, none without one.

        Files that are not sound are set aside under another name, and told in ``faults``.
        """
        self._looked = True
        for partial in self.folder.glob(".*.partial"):
            partial.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("*.ckpt"), reverse=True):
            try:
                self.saved = read(path, self.identity)
            except Damaged as error:
                self._refuse(path, str(error))
            except OSError as error:
                self.faults.append(f"checkpoint {path} cannot be read ({error.strerror}); not used")
            else:
                self.epoch = len(self.saved.curve)
                return self.saved.curve
        return ()

    def resume(self, trial: Trial) -> Saved | None:
        """Put ``trial`` to where the checkpoint that ``load`` finds, or has found, was written."""
        if not self._looked:
            self.load()
        if self.saved is not None:
            restore(trial, self.saved.snapshot)
        self._last = self._now()
        return self.saved

    def offer(self, trial: Trial, curve: Sequence[Row], seconds: float) -> None:
        """An epoch has ended; write a checkpoint if one is due. A disk that does not take it costs the
        checkpoint alone; ``faults`` says so, once."""
        began = self._now()
        if self.every_s and began - self._last < max(self.every_s, self._cost_s / LARGEST_SHARE):
            return
        path = self.folder / f"{len(curve):06d}.ckpt"
        try:
            # Its parent is the driver's: where that is not there, the storage is not shared.
            self.folder.mkdir(exist_ok=True)
            write(path, self.identity, Saved(capture(trial), tuple(curve), seconds, self.ran_on))
            self._drop_older()
        except OSError as error:
            self._complain(error)
        else:
            self.epoch = len(curve)
        self._last = self._now()
        self._cost_s = self._last - began

    def _drop_older(self) -> None:
        for path in sorted(self.folder.glob("*.ckpt"))[:-GENERATIONS]:
            path.unlink(missing_ok=True)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self.faults.append(
                f"no checkpoint can be written in {self.folder.parent} ({error.strerror}): what is cut short "
                "starts over; give --out a place that has room and that every node can write to"
            )
        self._complained = True

    def _refuse(self, path: Path, why: str) -> None:
        self.faults.append(f"checkpoint {path} {why}; not used, and set aside")
        path.replace(path.with_suffix(".refused"))


def identity(config: TrialConfig, circumstances: Mapping[str, str]) -> str:
    """Equal for checkpoints that may stand in for each other: one trial, one version of the code and of
    torch, the same circumstances."""
    facts = {
        "config": config.to_json(),
        "versions": [study.__version__, torch.__version__],
        "circumstances": dict(circumstances),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


# -- files -------------------------------------------------------------------------------------------


def write(path: Path, identity: str, saved: Saved) -> None:
    """Write a checkpoint; it has its name only when it is whole and on the disk."""
    tensors: dict[str, Tensor] = {}
    state = {
        "snapshot": pack(vars(saved.snapshot), tensors),
        "curve": list(saved.curve),
        "seconds": saved.seconds,
        "ran_on": list(saved.ran_on),
    }
    # NaN stands for a learning rate before the first step; Python's JSON keeps it, and every float's bits.
    body = json.dumps(state).encode() + b"\n" + safetensors.torch.save(tensors)
    head = {"checkpoint": FORMAT, "sha256": hashlib.sha256(body).hexdigest(), "trial": identity}
    write_whole(path, json.dumps(head).encode() + b"\n" + body, writer=f".{os.getpid()}")


def read(path: Path, identity: str) -> Saved:
    """Read a checkpoint of the trial ``identity``. Raises Damaged, before anything of it is used, where
    it is not whole, not as it was written, or not this trial's."""
    content = path.read_bytes()
    first, newline, body = content.partition(b"\n")
    head = _head(first) if newline else None
    if head is None:
        raise Damaged(f"is not a checkpoint ({len(content)} bytes that begin with {shorten(content[:12])})")
    if head["checkpoint"] != FORMAT:
        raise Damaged(f"is of format {shorten(head['checkpoint'])}, not {FORMAT}")
    if head.get("sha256") != hashlib.sha256(body).hexdigest():
        raise Damaged("was torn or altered: its checksum differs")
    if head.get("trial") != identity:
        raise Damaged("is of another trial, another version, other data or another kind of device")
    text, _, packed = body.partition(b"\n")
    try:
        state, tensors = json.loads(text), safetensors.torch.load(packed)
        snapshot = Snapshot(**unpack(state["snapshot"], tensors))
        ran_on = tuple(map(str, state.get("ran_on", ())))
        return Saved(snapshot, tuple(state["curve"]), float(state["seconds"]), ran_on)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"cannot be understood ({one_line(str(error))[:100]})") from error


def _head(line: bytes) -> dict[str, Any] | None:
    if len(line) > 1000 or not line.startswith(b"{"):
        return None
    try:
        head = json.loads(line)
    except ValueError:
        return None
    return head if isinstance(head, dict) and "checkpoint" in head else None


# -- nested state as JSON and tensors ------------------------------------------------------------------


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON; its tensors are put into ``tensors``, on the CPU, and stand by their names.

    Made of dicts with keys of any plain type, lists, tuples, tensors, and plain values.
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[key, pack(each, tensors)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [pack(each, tensors) for each in value]}
    assert value is None or isinstance(value, bool | int | float | str), f"{type(value)} has no place here"
    return value


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What ``pack`` was given. Raises KeyError, TypeError or ValueError where it was not."""
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unpack(each, tensors) for key, each in content}
    return {"list": list, "tuple": tuple}[kind](unpack(each, tensors) for each in content)
