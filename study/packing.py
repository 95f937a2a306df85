"""GPU packing: how many trials of an arm share a GPU, by what they were measured to do there.

Pure arithmetic: what measures is handed in (study.metering's is the real one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from study.trial import TrialConfig

# The memory that stays free: other settings of the arm may want more than the ones that are measured. What
# wants more than this is given a larger share once it has run out of memory.
HEADROOM = 0.1

# More trials on a GPU must be worth so much more work. Less is within what a few seconds can tell, and
# each trial takes longer for it.
WORTHWHILE = 1.05


@dataclass(frozen=True)
class Load:
    """What ``together`` trials of an arm do on one GPU at once.

    ``peak_bytes`` is the most memory that one of them holds, with what CUDA takes for its process, of the
    GPU's ``device_bytes``; ``step_s`` are the seconds of a step in each of them, the evaluations between
    steps shared out.
    """

    together: int
    peak_bytes: int
    device_bytes: int
    step_s: float

    @property
    def pace(self) -> float:
        """Steps a second of all of them."""
        return self.together / self.step_s


class Meter(Protocol):
    """Measures trials on a GPU that nothing else uses."""

    device: str
    """The GPU's model."""

    def __call__(self, trial: TrialConfig, together: int) -> Load | None:
        """So many trials like ``trial`` at once; None where memory does not suffice for them."""


@dataclass(frozen=True)
class Packing:
    """How many trials of an arm share a GPU of the model ``device``; ``why`` no more do, and all ``loads``
    that were measured to find out."""

    arm: str
    device: str
    together: int
    why: str
    loads: tuple[Load, ...]

    @property
    def gpus(self) -> float:
        """Each trial's share of a GPU."""
        return 1 / self.together

    def __str__(self) -> str:
        if not self.loads:
            return f"{self.arm}: one at a time on each {self.device} ({self.why})"
        alone = self.loads[0]
        memory = f"{alone.peak_bytes / 2**30:.1f} of {alone.device_bytes / 2**30:.1f} GiB each"
        if self.together == 1:
            return f"{self.arm}: one at a time on each {self.device} ({memory}; {self.why})"
        gain = next(load.pace for load in self.loads if load.together == self.together) / alone.pace
        faster = f"together {gain:.1f} times as fast as one"
        return f"{self.arm}: {self.together} at once on each {self.device} ({memory}, {faster}; {self.why})"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "gpus": self.gpus}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Packing:
        loads = tuple(Load(**load) for load in data["loads"])
        return cls(data["arm"], data["device"], data["together"], data["why"], loads)


def read_packings(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Packing]:
    """What a record has of packings, the last of each: by the model of GPU in Ray's words (empty where it
    has none) and by arm."""
    packed = [event for event in events if event["event"] == "packed"]
    return {(event["on"], event["arm"]): Packing.from_json(event) for event in packed}


def pack(trial: TrialConfig, meter: Meter, most: int) -> Packing:
    """How many trials like ``trial`` share a GPU: 1, 2, 4 and so on up to ``most``, for as long as they fit
    and all together get more done.

    Only powers of two, so that arms of different shares leave no gaps on a GPU, and many arms have the same
    share and with it each other's warm processes.
    """
    alone = meter(trial, 1)
    if alone is None:
        return Packing(trial.arm, meter.device, 1, "one trial alone runs out of memory in the warm-up", ())
    loads, together = [alone], 1
    while True:
        number = 2 * together
        why = _no_room(alone, number, most)
        load = None if why else meter(trial, number)
        if load is None:
            why = why or f"{number} run out of memory"
            break
        loads.append(load)
        gain = load.pace / loads[-2].pace
        if gain < WORTHWHILE:
            why = f"{number} get {gain:.2f} times as much done as {together}"
            break
        together = number
    return Packing(trial.arm, meter.device, together, why, tuple(loads))


def _no_room(alone: Load, number: int, most: int) -> str:
    """Why ``number`` trials need not be tried; empty where they may fit."""
    if number > most:
        return f"no more than {most} can run at once on a GPU here"
    if number * alone.peak_bytes > (1 - HEADROOM) * alone.device_bytes:
        return f"{number} would not leave {HEADROOM:.0%} of its memory free"
    return ""


def device_kind(name: str, gpus: float) -> str:
    """A kind of device on which seconds compare: the model, and the share of it, for neighbours cost time."""
    return f"{gpus:g} of one {name}" if name and 0 < gpus < 1 else name


class Shares:
    """What each trial asks for of a GPU: what its arm does, or more where that was not memory enough."""

    def __init__(self) -> None:
        self.of_arm: Mapping[str, float] = {}
        self._widened: dict[str, float] = {}

    def of(self, trial: TrialConfig) -> float:
        """Whole GPUs, or a share of one; 0 where there are none, whatever was asked for elsewhere."""
        share = self.of_arm.get(trial.arm, 0.0)
        return max(share, self._widened.get(trial.id, 0.0)) if share else 0.0

    def widen(self, trial: TrialConfig) -> float | None:
        """Twice the share from now on, a whole GPU at the most; the new one, None where there is no more."""
        had = self.of(trial)
        if not 0 < had < 1:
            return None
        self.widened(trial.id, min(1.0, 2 * had))
        return self.of(trial)

    def widened(self, trial: str, gpus: float) -> None:
        """The trial with this id was given so much, now or in an earlier session."""
        self._widened[trial] = gpus
