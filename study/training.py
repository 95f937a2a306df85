"""Train one trial, on the CPU or on CUDA: the same steps, the same record."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from study import own
from study.assembly import by_component, prepare
from study.autopsy import Recorder, examine
from study.batches import seeded
from study.checkpoint import Checkpoints
from study.choosing import restricted
from study.complexity import measure
from study.components.activations import ACTIVATIONS
from study.components.datasets import DATASETS
from study.components.datasets.info import LoadedData
from study.components.losses import LOSSES, chosen_loss
from study.components.metrics import METRICS, of_task
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS
from study.components.routine import Routine
from study.components.schedules import SCHEDULES
from study.components.sizes import parameter_count
from study.curvature import largest_eigenvalue
from study.devices import environment, pick_device, reproducible, resolve_precision
from study.layerwise import layer_metrics, layers_by_name, measured_layers
from study.probe import silences
from study.registry import Registry
from study.seeding import derive_seed
from study.steps import (
    Trial,
    as_judged,
    batches,
    differentiate,
    evaluate,
    renewed_statistics,
    update,
)
from study.trial import Row, TrialConfig, TrialResult, Verdict, finite_or_none

# A Hessian-vector product costs about three gradients, so 20 of them on one batch as much as half a
# hundred steps.
CURVATURE_EXAMPLES = 128

# A regression's answers that differ by less than this share of the targets' deviation explain less than
# 1e-4 of their variance.
ALIKE = 0.01

# A layer with more zeros than this among its outputs passes next to nothing on: ReLU networks that die do
# not always die to the last unit.
SILENT = 0.99

# What the trained network's margins are taken of.
COMPLEXITY_EXAMPLES = 500


class Diverged(Exception):
    """Ends a training from within; carries the verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


def train(
    config: TrialConfig,
    data: LoadedData,
    *,
    report: Callable[[Row], None] | None = None,
    device: str | None = None,
    threads: int | None = None,
    autopsy: bool = True,
    checkpoints: Checkpoints | None = None,
    shared: Path | None = None,
    model: own.Model | None = None,
    step: own.Step | None = None,
    keep: Callable[[nn.Module], None] | None = None,
    heed: Callable[[], None] | None = None,
) -> TrialResult:
    """Train ``config`` on ``data``; ``report`` is called with each epoch's row, ``heed`` before each step.

    Same config, data, machine and ``threads``: the same numbers to the last bit, but for times. The
    metrics are those after the last epoch (not the best one), on test in the confirm phase only; and what
    the layers do (study.layerwise), where that is measured. A training that blows up or dies ends at once,
    with verdict ``diverged`` or ``stalled``. Gradient evaluations are gradients of one batch: one a step,
    and what an optimizer asks for beyond it. With ``autopsy``, the last steps of such a training are replayed
    to find what broke first. With ``checkpoints`` it goes on from the last of them, to the same numbers,
    without reporting the epochs before it again, and writes new ones. ``model`` and ``step`` take the place
    of the study file's network and of the way from a batch to its loss (study.own). What ``report``
    and ``heed`` raise passes through. Raises StudyError where the parts do not fit together; any other
    exception is a bug's and passes through too.
    """
    started = time.monotonic()
    place = pick_device(device)
    data = restricted(data.of_trial(config.hyperparameters, config.split_seed), config.hyperparameters)
    routine = Routine(**by_component(config.hyperparameters)["training"])
    precision = resolve_precision(routine.precision, place)
    with reproducible(place, derive_seed(config.seed, "dropout"), threads, precision):
        trial = prepare(config, data, place, shared=shared, model=model, step=step)
        curvature = initial_curvature(trial, config)
        layers = {"start": measured_layers(trial, config, "start")}
        saved = checkpoints.resume(trial) if checkpoints is not None else None
        curve: list[Row] = list(saved.curve) if saved else []
        started -= saved.seconds if saved else 0.0
        metrics: dict[str, float] = {}
        complexity: dict[str, Any] = {}
        verdict, found = Verdict("ok"), None
        recorder = Recorder(trial) if autopsy else None
        try:
            for row in run(trial, started, recorder, heed):
                curve.append(row)
                if checkpoints is not None and None not in row.values() and trial.monitor.verdict is None:
                    checkpoints.offer(trial, curve, time.monotonic() - started)
                if report is not None:
                    report(row)
            metrics = final_metrics(trial, curve[-1])
            layers["end"] = measured_layers(trial, config, "end")
            complexity = final_complexity(trial, config)
            if keep is not None:
                with as_judged(trial):
                    keep(copy.deepcopy(trial.model).eval())
        except Diverged as end:
            verdict = end.verdict
        spent, events = gradient_evaluations(trial, verdict), trial.monitor.events
        if recorder is not None and verdict.status != "ok":
            found = examine(trial, recorder, verdict)
        return TrialResult(
            config,
            verdict,
            tuple(curve),
            metrics | layer_metrics(layers),
            seconds=time.monotonic() - started,
            gradient_evaluations=spent,
            environment={
                **environment(place, trial.precision),
                **seen(data),
                "worst": worst_values(config, data),
                **foreign_components(config),
                "parameters": parameter_count(trial.model),
                **compiling(trial),
                **curvature,
                **layers_by_name(layers),
                **complexity,
            },
            autopsy=found,
            events=events,
        )


def gradient_evaluations(trial: Trial, verdict: Verdict) -> int:
    """What the training took until now, or until the verdict's own step, which ended with its gradient. (The
    verdict may have come a few steps late, and before the step was made whole.)"""
    unmade = 0 if verdict.step is None else trial.steps - verdict.step - 1
    return trial.gradient_evaluations - unmade


def seen(data: LoadedData) -> dict[str, Any]:
    """What the analysis asks of the data that a trial was given: which they were, how many classes (0 in
    regression), the shape of an input, and how many examples its test is of."""
    return {
        "data": data.fingerprint,
        "classes": len(data.classes),
        "input_shape": list(data.test_inputs.shape[1:]),
        "test_examples": len(data.test_targets),
    }


def worst_values(config: TrialConfig, data: LoadedData) -> dict[str, float]:
    """What a trial that learned nothing scores by each metric."""
    loss, arguments = chosen_loss(config.hyperparameters, data.task)
    levels, targets = loss.levels(**arguments), data.train_targets
    worst = {name: each.worst_on(targets, levels) for name, each in of_task(data.task).items()}
    if data.task == "regression":
        worst["loss"] = loss.best_constant(targets, **arguments)
    return {name: value for name, value in worst.items() if value is not None}


def compiling(trial: Trial) -> dict[str, Any]:
    """How the training was compiled, and what that took of its time; empty where it was not."""
    made = trial.compiled
    return {"compile": {"mode": made.mode, "seconds": round(made.seconds, 3)}} if made else {}


def foreign_components(config: TrialConfig) -> dict[str, Any]:
    """The components that installed packages brought, each with its package and version; empty without."""
    named = {key: (TABLES[key], str(value)) for key, value in config.hyperparameters.items() if key in TABLES}
    named |= {f"metric {name}": (METRICS, name) for name in METRICS.names()}
    found = {key: table.origin(name) for key, (table, name) in named.items()}
    kept = {key: origin for key, origin in found.items() if origin}
    return {"components": kept} if kept else {}


def initial_curvature(trial: Trial, config: TrialConfig) -> dict[str, Any]:
    """The Hessian's largest eigenvalue before the first step, over the first CURVATURE_EXAMPLES of the
    evaluated training examples, in train mode and fp32; empty where the study does not ask for it.

    Measured on a copy, with the global generator put back, so that the training stays what it is.
    """
    if config.index >= int(config.hyperparameters.get("training.curvature", 0)):
        return {}
    part = trial.parts["train_eval"]
    index = part.index[:CURVATURE_EXAMPLES]
    inputs, targets = part.source.batch(index)
    model = copy.deepcopy(trial.model).train()
    with torch.random.fork_rng([trial.device] if trial.device.type == "cuda" else []):
        loss = trial.loss(model(inputs), targets).mean()
        found = largest_eigenvalue(loss, tuple(model.parameters()), seeded(config.seed, "curvature"))
    return {"curvature": {"largest_eigenvalue": finite_or_none(found), "examples": len(index)}}


def final_complexity(trial: Trial, config: TrialConfig) -> dict[str, Any]:
    """The trained network's complexity (study.complexity.measure) over the first COMPLEXITY_EXAMPLES of the
    evaluated training examples; empty where the study does not ask for it, and in regression, which has
    no margins."""
    asked = config.index < int(config.hyperparameters.get("training.complexity", 0))
    if not asked or trial.task != "classification":
        return {}
    part = trial.parts["train_eval"]
    index = part.index[:COMPLEXITY_EXAMPLES]
    generator = seeded(config.seed, "complexity")
    found = measure(trial.model, *part.source.batch(index), trial.loss, generator)
    return {"complexity": {**found, "examples": len(index)}}


def run(
    trial: Trial,
    started: float,
    recorder: Recorder | None = None,
    heed: Callable[[], None] | None = None,
) -> Iterator[Row]:
    """One row an epoch, from the trial's position on; raises Diverged with a verdict."""
    while trial.position.epoch <= trial.epochs:
        epoch = trial.position.epoch
        training = train_epoch(trial, recorder, heed)
        with as_judged(trial):
            evaluation = evaluate_epoch(trial)
        verdict = judge_epoch(trial, training.get("train_accuracy"))
        trial.position.turn()
        yield {
            "epoch": epoch,
            "step": trial.steps,
            "gradient_evaluations": trial.gradient_evaluations,
            **training,
            **{name: finite_or_none(value) for name, value in evaluation.items()},
            "seconds": time.monotonic() - started,
            "time": time.time(),
        }
        check_evaluation(trial, epoch, evaluation)
        stop_if(verdict, epoch)


def train_epoch(
    trial: Trial, recorder: Recorder | None = None, heed: Callable[[], None] | None = None
) -> Row:
    """One pass over the training examples; its means in train mode, while the weights move."""
    began, seen, position = time.perf_counter(), 0, trial.position
    trial.model.train()
    for inputs, targets in batches(trial):
        if heed is not None:
            heed()
        if recorder is not None:
            recorder.before()
        gradient = differentiate(trial, inputs, targets)
        if recorder is not None:
            recorder.after(gradient)
        stop_if(trial.monitor.step(gradient.loss, gradient.norm, rate(trial)), position.epoch)
        position.sums += torch.stack((gradient.loss * len(targets), gradient.right, gradient.norm))
        seen += len(targets)
        update(trial)
    stop_if(trial.monitor.finish(), position.epoch)
    loss_sum, right_sum, norm_sum = position.sums.tolist()
    share = {"train_accuracy": right_sum / trial.training.examples} if trial.task == "classification" else {}
    return {
        "train_loss": loss_sum / trial.training.examples,
        **share,
        "gradient_norm": norm_sum / trial.training.steps,
        "lr": position.lr,
        "images_per_second": seen / (time.perf_counter() - began),
    }


def rate(trial: Trial) -> float:
    """The learning rate of the step to come."""
    return float(trial.schedule.get_last_lr()[0])


def judge_epoch(trial: Trial, accuracy: float | None) -> Verdict | None:
    """What the monitor says of the epoch as a whole: whether the model is dead. No accuracy: regression."""
    last = trial.position.epoch == trial.epochs
    return trial.monitor.epoch(
        accuracy, trial.training.examples, alike=partial(answers_alike, trial), last=last
    )


def answers_alike(trial: Trial) -> bool:
    """Whether the model, in eval mode and full precision, answers a batch of examples alike.

    In classification: with the very same logits, so that no gradient tells one from another, and nothing
    will be learned any more; or with what little comes through a layer whose outputs are zero but for
    1 - SILENT of them. In regression: with numbers that differ by less than ALIKE times what the targets do.
    """
    trial.model.eval()
    with torch.inference_mode(), silences(trial.model) as zeros:
        inputs, targets = next(iter(trial.parts["train_eval"]))
        outputs = trial.model(inputs)
        if trial.task == "classification":
            silent = max(map(float, zeros), default=0.0) > SILENT
            alike = (outputs == outputs[0]).all() | silent
        else:
            alike = (outputs.std(dim=0) < ALIKE * targets.std()).all()
    return len(outputs) > 1 and bool(alike)


def evaluate_epoch(trial: Trial) -> dict[str, float]:
    """The epoch's evaluations. Where they do not belong to the training's losses, they are made again
    with batch norm's statistics estimated anew, which tells whether these are to blame; the numbers
    of the second time count only where the first ones were not finite.
    """
    first = evaluate_parts(trial)
    finite = all(map(math.isfinite, first.values()))
    if finite and not trial.monitor.evaluation_alone(first["train_eval_loss"]):
        return first
    with renewed_statistics(trial):
        again = evaluate(trial, "train_eval") if finite else evaluate_parts(trial)
    trial.monitor.note(
        "evaluation_alone",
        train_eval_loss=finite_or_none(first["train_eval_loss"]),
        reestimated=finite_or_none(again["train_eval_loss"]),
    )
    return first if finite else again


def evaluate_parts(trial: Trial) -> dict[str, float]:
    """The metrics of all parts but the test ones; the training examples' residuals set intervals."""
    found = evaluate(trial, "train_eval")
    spread = found.get("train_eval_rmse")
    for name in trial.parts:
        if name.startswith("val"):
            found |= evaluate(trial, name, spread)
    return found


def stop_if(verdict: Verdict | None, epoch: int) -> None:
    if verdict is not None:
        raise Diverged(replace(verdict, epoch=epoch))


def final_metrics(trial: Trial, row: Row) -> dict[str, float]:
    """The last row's evaluations and, in the confirm phase, those on test: made here, once."""
    names = {f"{part}_{metric}" for part in trial.parts for metric in of_task(trial.task)}
    evaluated = {name: value for name, value in row.items() if name in names and isinstance(value, float)}
    test: dict[str, float] = {}
    with as_judged(trial):
        for part in trial.parts:
            if part.startswith("test"):
                test |= evaluate(trial, part, evaluated.get("train_eval_rmse"))
    check_evaluation(trial, trial.epochs, test)
    return evaluated | test


def check_evaluation(trial: Trial, epoch: int, evaluation: Mapping[str, float]) -> None:
    """Training was finite and evaluation is not: the last step, or batch norm's running statistics."""
    broken = [name for name, value in evaluation.items() if not math.isfinite(value)]
    if broken:
        raise Diverged(
            Verdict(
                "diverged",
                kind="nonfinite_evaluation",
                step=trial.steps - 1,
                epoch=epoch,
                reason=f"{broken[0]} is {evaluation[broken[0]]:.4g} after epoch {epoch}",
                numbers={name: finite_or_none(value) for name, value in evaluation.items()},
            )
        )


TABLES: dict[str, Registry[Any]] = {
    "dataset.name": DATASETS,
    "model.name": MODELS,
    "activation.name": ACTIVATIONS,
    "loss.name": LOSSES,
    "optimizer.name": OPTIMIZERS,
    "schedule.name": SCHEDULES,
}
