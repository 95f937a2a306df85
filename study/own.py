"""A user's own network and own step, in the place of the study file's."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from study.errors import StudyError
from study.seeding import derive_seed
from study.trial import TrialConfig

Model = nn.Module | Callable[[TrialConfig], nn.Module]
"""A network, or what makes one for a trial."""

Step = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(model, inputs, targets) -> (the batch's mean loss with its graph, the outputs)."""


def built(model: Model, config: TrialConfig) -> nn.Module:
    """A copy of the module, or the one that is made: with torch's global generator seeded by the trial,
    so that equal seeds give equal weights, and put back afterwards."""
    if isinstance(model, nn.Module):
        return copy.deepcopy(model)
    with torch.random.fork_rng([]):
        torch.manual_seed(derive_seed(config.seed, "init"))
        made = model(config)
    if not isinstance(made, nn.Module):
        raise StudyError(f"model: must return a torch.nn.Module, not {type(made).__name__}")
    return made


def check_outputs(model: nn.Module, inputs: Tensor, wanted: int) -> None:
    """Raise StudyError unless ``model`` answers inputs (n, ...) with outputs (n, wanted)."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = model(inputs)
    model.train(was_training)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if shape != (len(inputs), wanted):
        raise StudyError(
            f"model: must answer {tuple(inputs.shape)} with ({len(inputs)}, {wanted}), not {shape}; one "
            "output for each class, or for each number"
        )
