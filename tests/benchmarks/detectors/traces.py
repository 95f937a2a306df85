"""Traces of real trainings: what a monitor is told of one, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PATH = Path(__file__).parent / "traces.npz"

# How a training ended, told by the whole of it.
KINDS = ("healthy", "recovered", "plateau", "nonfinite", "no return", "dead", "undecided")

PER_STEP = ("losses", "norms")
PER_EPOCH = ("accuracies", "alike", "evaluations")
NOISY = (*PER_STEP, "evaluations")
PER_TRACE = ("name", "kind", "onset", "scale", "chance", "epoch_steps", "examples")


@dataclass(frozen=True)
class Trace:
    """One training, step by step and epoch by epoch.

    ``accuracies`` are those in training over ``examples`` examples, ``alike`` says where the model gave
    all examples the same answer, ``evaluations`` are losses in eval mode on training examples. ``onset``
    is the step at which its trouble began, -1 where it had none.
    """

    name: str
    kind: str
    onset: int
    scale: float
    chance: float
    epoch_steps: int
    examples: int
    losses: np.ndarray
    norms: np.ndarray
    accuracies: np.ndarray
    alike: np.ndarray
    evaluations: np.ndarray


def save(path: Path, traces: Iterable[Trace], command: str) -> None:
    """One compressed file; losses and norms to 0.2 %, which is all that a rule should need."""
    kept = list(traces)
    arrays: dict[str, Any] = {name: np.array([getattr(each, name) for each in kept]) for name in PER_TRACE}
    for name in (*PER_STEP, *PER_EPOCH):
        arrays[name] = np.concatenate([np.asarray(getattr(each, name)) for each in kept])
    for name in NOISY:
        arrays[name] = planes(rounded(arrays[name]))
    arrays["accuracies"] = arrays["accuracies"].astype(np.float32)
    arrays["steps"] = np.array([len(each.losses) for each in kept])
    arrays["epochs"] = np.array([len(each.accuracies) for each in kept])
    np.savez_compressed(path, command=np.array(command), **arrays)


def rounded(values: np.ndarray) -> np.ndarray:
    """float32 with 8 bits of its 23-bit fraction kept; the others, zero, compress to nothing."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    kept = ((bits.astype(np.uint64) + 0x4000) & 0xFFFF8000).astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(values), kept, values).astype(np.float32)


def planes(values: np.ndarray) -> np.ndarray:
    """The numbers' first bytes, their second ones, ...: alike next to alike, which compresses well."""
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, 4).T)


def numbers(of: np.ndarray) -> np.ndarray:
    """The numbers that these are the planes of."""
    return np.ascontiguousarray(of.T).view(np.float32).ravel()


def load(path: Path = PATH) -> list[Trace]:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays |= {name: numbers(arrays[name]) for name in NOISY}
    steps = np.cumsum(arrays["steps"])[:-1]
    epochs = np.cumsum(arrays["epochs"])[:-1]
    columns: dict[str, Any] = {name: arrays[name].tolist() for name in PER_TRACE}
    columns |= {name: np.split(arrays[name], steps) for name in PER_STEP}
    columns |= {name: np.split(arrays[name], epochs) for name in PER_EPOCH}
    return [
        Trace(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)
    ]


def command(path: Path = PATH) -> str:
    """The command that made the file."""
    with np.load(path) as stored:
        return str(stored["command"])
