"""Snapshots: all that moves in a training, taken out and put back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from study.steps import Trial


@runtime_checkable
class Stateful(Protocol):
    """A monitor whose state can be kept, as plain Python types."""

    def state(self) -> dict[str, Any]: ...
    def load(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Snapshot:
    """One moment of a training: tensors on its device, and plain Python types.

    ``vars(snapshot)`` is a dict that torch.save writes and ``torch.load(..., weights_only=True)`` reads,
    and ``Snapshot(**...)`` makes the snapshot of it again. ``epoch``, ``batch``, ``lr``, ``sums`` and
    ``reevaluations`` are the position's (study.steps). ``generators`` are states (bytes, on the CPU):
    ``order`` and ``moves`` as they were when the epoch began, ``cpu`` and, on CUDA, ``cuda`` as they are.
    ``monitor`` is None where it was left out. ``initial`` is the trial's.
    """

    epoch: int
    batch: int
    lr: float
    sums: Tensor
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    generators: dict[str, Tensor]
    monitor: dict[str, Any] | None = None
    initial: dict[str, Tensor] = field(default_factory=dict)
    reevaluations: int = 0


def capture(trial: Trial, *, monitor: bool = True) -> Snapshot:
    """Copy the training's state; to be called between two steps, where no gradient is under way.

    The copies stay on the trial's device, and nobody waits for it; but a monitor may (for numbers that
    are on their way to it), so ``monitor=False`` leaves it out.
    """
    position = trial.position
    generators = dict(position.drawn_from or trial.training.generators())
    generators["cpu"] = torch.get_rng_state()
    if trial.device.type == "cuda":
        generators["cuda"] = torch.cuda.get_rng_state(trial.device)
    with_monitor = monitor and isinstance(trial.monitor, Stateful)
    return Snapshot(
        epoch=position.epoch,
        batch=position.batch,
        lr=position.lr,
        sums=position.sums.clone(),
        model=copied(trial.model.state_dict()),
        optimizer=copied(trial.optimizer.state_dict()),
        schedule=copied(trial.schedule.state_dict()),
        generators=generators,
        monitor=copied(trial.monitor.state()) if with_monitor else None,
        initial=dict(trial.initial),
        reevaluations=position.reevaluations,
    )


def restore(trial: Trial, snapshot: Snapshot) -> None:
    """Put the training back to where ``snapshot`` was taken: going on gives the same numbers.

    ``trial`` is any that was prepared for the same config. The global generators are set too, so it
    belongs inside study.devices.reproducible. The snapshot is copied, and can be restored again. A loop
    over the trial's batches that is under way must be begun anew.
    """
    trial.optimizer.zero_grad(set_to_none=True)
    trial.model.load_state_dict(snapshot.model)
    trial.optimizer.load_state_dict(laid_out(trial, snapshot.optimizer))
    trial.schedule.load_state_dict(copied(snapshot.schedule))
    trial.training.set_generators(snapshot.generators)
    torch.set_rng_state(snapshot.generators["cpu"])
    if trial.device.type == "cuda":
        torch.cuda.set_rng_state(snapshot.generators["cuda"], trial.device)
    if snapshot.monitor is not None and isinstance(trial.monitor, Stateful):
        trial.monitor.load(copied(snapshot.monitor))
    trial.initial.clear()
    trial.initial.update(snapshot.initial)
    position = trial.position
    position.epoch, position.batch, position.lr = snapshot.epoch, snapshot.batch, snapshot.lr
    position.sums = snapshot.sums.to(trial.device, copy=True)
    position.drawn_from, position.halfway = None, None
    position.reevaluations = snapshot.reevaluations


def copied(value: Any) -> Any:
    """``value`` with every tensor in it copied, where it is and as it lies in memory."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(each) for each in value)
    return value


def laid_out(trial: Trial, state: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state dict, copied, each moment laid out in memory as its parameter is.

    Fused kernels walk over parameters and moments side by side, so the order in memory counts; files
    keep the numbers but not always that order. Parameters are numbered through all groups.
    """
    owners = [parameter for group in trial.optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    moments = {
        number: {
            name: torch.empty_like(owner, dtype=value.dtype, requires_grad=False).copy_(value)
            if isinstance(value, Tensor) and value.shape == owner.shape and value.ndim
            else copied(value)
            for name, value in state["state"][number].items()
        }
        for number, owner in zip(numbers, owners, strict=True)
        if number in state["state"]
    }
    return {**copied(state), "state": {**copied(state["state"]), **moments}}
