"""How long, in which batches and in which precision a trial trains; no table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Interval


@dataclass(frozen=True)
class Routine:
    """The fields are the hyperparameters, keyed ``training.*``.

    ``batch_size`` full is the whole training set. ``precision`` auto is bf16 where the hardware has it
    natively, else fp32; tf32 is fp32 that a GPU may multiply with ten bits. ``evaluation_size`` is how many
    training examples, the same ones all along, are evaluated in eval mode after each epoch.
    ``curvature`` is in how many of an arm's first trials the loss's curvature is measured at the start.
    ``ema`` is the decay of an exponential moving average of the weights on which the trial is evaluated
    (study.averaging); 0 evaluates the weights themselves.
    ``layerwise`` is in how many of an arm's first trials and replicates it is measured, at the start and
    at the end, what each layer does (study.layerwise).
    ``evaluation_batch`` is how many examples are evaluated at once, where that is to be held: it matters
    where batch norm goes by the batch. ``evaluation_order`` is that of the validation and test examples:
    as they are stored, or by class.
    ``complexity`` is in how many of an arm's first trials and replicates the trained network's complexity is
    measured at the end (study.complexity).
    ``compile`` trains through torch.compile, in one of its modes (study.compiling): other last digits, and
    half a minute before it pays.
    """

    epochs: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)] | Literal["full"] = 128
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    evaluation_size: Annotated[int, Ge(1)] = 2000
    curvature: Annotated[int, Ge(0)] = 0
    ema: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    layerwise: Annotated[int, Ge(0)] = 0
    evaluation_batch: Annotated[int, Ge(2)] | None = None
    evaluation_order: Literal["stored", "by_class"] = "stored"
    complexity: Annotated[int, Ge(0)] = 0
    compile: Literal["no", "default", "reduce-overhead", "max-autotune"] = "no"
