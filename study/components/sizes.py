"""How large a network is, layer by layer: what bounds on its complexity are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from study.components.models import Shape


@dataclass(frozen=True)
class LayerSize:
    """A convolution or dense layer with what follows it up to the next one.

    ``weights``: distinct parameters, however often each is used: the layer's own, those of a batch norm
    behind it (which folds into it in evaluation) and PReLU's slopes. ``units``: activations of one example,
    c h w of the layer's output; the last layer's are the logits before any average over the picture.
    """

    name: str
    weights: int
    units: int


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def sizes(model: nn.Module, shape: Shape) -> tuple[LayerSize, ...]:
    """The layers in the order in which an input of ``shape`` goes through them. Their weights add up to the
    model's parameters; parameters in front of the first layer count as its own."""
    found: list[LayerSize] = []
    waiting = 0

    def note(name: str, module: nn.Module, output: Tensor) -> None:
        nonlocal waiting
        own = sum(parameter.numel() for parameter in module.parameters())
        if isinstance(module, nn.Conv2d | nn.Linear):
            found.append(LayerSize(name, own + waiting, output[0].numel()))
            waiting = 0
        elif found:
            found[-1] = replace(found[-1], weights=found[-1].weights + own)
        else:
            waiting += own

    def hook(name: str) -> Any:
        return lambda module, given, output: note(name, module, output)

    leaves = {name: each for name, each in model.named_modules() if not any(each.children())}
    handles = [leaf.register_forward_hook(hook(name)) for name, leaf in leaves.items()]
    training = model.training
    try:
        look(model.eval(), shape)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return tuple(found)


def look(model: nn.Module, shape: Shape) -> None:
    """Put two grey pictures, or vectors, through the model: batch norm may want more than one."""
    *sides, channels = shape
    where = next(model.parameters())
    with torch.inference_mode():
        model(torch.zeros(2, channels, *sides, device=where.device, dtype=where.dtype))
