"""How long, in which batches and in which precision a trial trains; no table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge


@dataclass(frozen=True)
class Routine:
    """The fields are the hyperparameters, keyed ``training.*``.

    ``precision`` auto is bf16 where the hardware has it natively, else fp32. ``evaluation_size`` is
    how many training examples, the same ones all along, are evaluated in eval mode after each epoch.
    ``curvature`` is in how many of an arm's first trials the loss's curvature is measured at the start.
    """

    epochs: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)] = 128
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    evaluation_size: Annotated[int, Ge(1)] = 2000
    curvature: Annotated[int, Ge(0)] = 0
