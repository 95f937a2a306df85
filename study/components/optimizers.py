"""Optimizers: torch's own, with the limits of their hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from torch import nn
from torch.optim import Optimizer as TorchOptimizer

from study.registry import Registry
from study.space import Scalar

Groups = list[dict[str, Any]]
LearningRate = Annotated[float, Gt(0)]
Decay = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]


def no_rule(arguments: Mapping[str, Scalar]) -> None:
    return None


@dataclass(frozen=True)
class Optimizer:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``build(parameter_groups, **arguments)`` makes the optimizer. ``rule(arguments)`` says in one
    line what is wrong with arguments that are each within their limits but not together; None
    where nothing is. Missing arguments count as their defaults.
    """

    build: Callable[..., TorchOptimizer]
    rule: Callable[[Mapping[str, Scalar]], str | None] = no_rule


def parameter_groups(model: nn.Module) -> Groups:
    """All of the model's parameters, PReLU's slopes apart and never decayed.

    Decay would pull a slope towards 0, which is ReLU (He et al. 2015, section 2.1). Everything
    else is decayed, biases and batch norm's parameters included, as torch does by default and as
    the published ALL-CNN recipe does.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.PReLU)]
    slopes = [layer.weight for layer in layers]
    apart = {id(slope) for slope in slopes}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in apart]
    groups: Groups = [{"params": rest}]
    return [*groups, {"params": slopes, "weight_decay": 0.0}] if slopes else groups


# fused=True: one kernel a step, on CPU and CUDA alike.


def sgd(
    groups: Groups,
    *,
    lr: LearningRate,
    momentum: Fraction = 0.0,
    weight_decay: Decay = 0.0,
    nesterov: bool = False,
    dampening: Fraction = 0.0,
) -> TorchOptimizer:
    """Momentum as torch writes it: v <- momentum v + (1 - dampening) gradient, w <- w - lr v."""
    return torch.optim.SGD(groups, lr, momentum, dampening, weight_decay, nesterov, fused=True)


def sgd_rule(arguments: Mapping[str, Scalar]) -> str | None:
    if arguments.get("nesterov") and (not arguments.get("momentum") or arguments.get("dampening")):
        return "nesterov needs momentum above 0 and dampening 0"
    return None


def adam(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: Decay = 0.0,
) -> TorchOptimizer:
    """Kingma & Ba 2015 (1412.6980); weight decay is added to the gradient."""
    return torch.optim.Adam(groups, lr, (beta1, beta2), eps, weight_decay, fused=True)


def adamw(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Annotated[float, Gt(0)] = 1e-8,
    weight_decay: Decay = 0.01,
) -> TorchOptimizer:
    """Loshchilov & Hutter 2019 (1711.05101); weight decay shrinks the weights by lr times itself."""
    return torch.optim.AdamW(groups, lr, (beta1, beta2), eps, weight_decay, fused=True)


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer",
    sgd=Optimizer(sgd, sgd_rule),
    adam=Optimizer(adam),
    adamw=Optimizer(adamw),
)
