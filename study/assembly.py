"""A trial put together from its config and its data: the network, what trains it and what watches it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from study import own
from study.averaging import EMA, Average
from study.batches import divide, seeded
from study.compiling import Compiled
from study.components.activations import nonlinearity
from study.components.augmentation import Augmentation
from study.components.datasets.info import LoadedData
from study.components.losses import chosen_loss
from study.components.metrics import chance
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS, parameter_groups
from study.components.routine import Routine
from study.components.schedules import SCHEDULES
from study.components.thresholds import Thresholds
from study.devices import resolve_precision
from study.divergence import Monitor
from study.errors import StudyError
from study.space import Scalar
from study.steps import Position, Trial
from study.trial import TrialConfig


def prepare(
    config: TrialConfig,
    data: LoadedData,
    device: torch.device,
    *,
    shared: Path | None = None,
    model: own.Model | None = None,
    step: own.Step | None = None,
) -> Trial:
    """Put the trial together. Weights are drawn on the CPU, so they are the same on every device."""
    components = by_component(config.hyperparameters)
    routine = Routine(**components["training"])
    augmentation = Augmentation(**components.get("augmentation", {}))
    training, parts = divide(config, routine, augmentation, data, device, shared=shared)
    loss, arguments = chosen_loss(config.hyperparameters, data.task)
    levels = loss.levels(**arguments)
    network = network_of(config, data) if model is None else own.built(model, config)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if model is not None:
        few, _ = training.source.batch(training.index[:2])
        own.check_outputs(network, few, outputs_of(data, levels))
    optimizer = build(OPTIMIZERS, components["optimizer"], parameter_groups(network))
    schedule = components.get("schedule", {"name": "constant"})
    targets = training.source.targets[training.index].cpu()
    return Trial(
        task=data.task,
        levels=levels,
        epochs=routine.epochs,
        training=training,
        parts=parts,
        device=device,
        precision=resolve_precision(routine.precision, device),
        model=network,
        parameters=tuple(network.parameters()),
        loss=loss.build(targets, **arguments),
        optimizer=optimizer,
        schedule=build(SCHEDULES, schedule, optimizer, routine.epochs * training.steps),
        monitor=Monitor(
            loss.best_constant(targets, **arguments),
            chance=chance(targets) if data.task == "classification" else None,
            epoch_steps=training.steps,
            thresholds=Thresholds(**components.get("divergence", {})),
            model=network,
        ),
        position=Position(torch.zeros(3, dtype=torch.float64, device=device)),
        average=average(components["optimizer"]["name"], routine),
        step=step,
        compiled=compiled(network, routine, training.batch_size, step),
    )


def compiled(network: nn.Module, routine: Routine, batch_size: int, step: own.Step | None) -> Compiled | None:
    """What whole training batches go through, where the study asks for torch.compile."""
    if routine.compile == "no":
        return None
    if step is not None:
        raise StudyError("training.compile: a step of your own calls the network itself; compile it there")
    return Compiled(network, routine.compile, batch_size)


def network_of(config: TrialConfig, data: LoadedData) -> nn.Module:
    """The study file's network for a trial's own ``data``, with weights drawn from its seed, on the CPU."""
    components = by_component(config.hyperparameters)
    loss, arguments = chosen_loss(config.hyperparameters, data.task)
    network: nn.Module = build(
        MODELS,
        components["model"],
        data.train_inputs.shape[1:],
        outputs_of(data, loss.levels(**arguments)),
        nonlinearity(**components["activation"]),
        seeded(config.seed, "init"),
    )
    return network


def outputs_of(data: LoadedData, levels: Collection[float]) -> int:
    """How many numbers a network answers with: one a class, one a quantile's level, or one."""
    return len(data.classes) or len(levels) or 1


def average(optimizer: str, routine: Routine) -> Average | None:
    """What the trial is evaluated on in place of its weights: the optimizer's own average, or an
    exponential one where the study asks for it."""
    own = OPTIMIZERS[optimizer].average
    if own is not None:
        return Average(own)
    return Average(EMA, routine.ema) if routine.ema else None


def by_component(hyperparameters: Mapping[str, Scalar]) -> dict[str, dict[str, Any]]:
    """``{"optimizer.lr": 0.1}`` as ``{"optimizer": {"lr": 0.1}}``."""
    components: dict[str, dict[str, Any]] = {}
    for key, value in hyperparameters.items():
        component, _, argument = key.partition(".")
        components.setdefault(component, {})[argument] = value
    return components


def build(table: Mapping[str, Any], chosen: Mapping[str, Any], *parts: object) -> Any:
    """The entry of ``table`` that ``chosen["name"]`` names, built with the other arguments."""
    arguments = {key: value for key, value in chosen.items() if key != "name"}
    return table[chosen["name"]].build(*parts, **arguments)
