"""Checks of what the notes say of batch norm."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.components.activations import nonlinearity
from study.components.models import MODELS
from study.facts.checking import Answer, answer, instead, said

CIFAR = (32, 32, 3)


def batch_norm_formula() -> Answer:
    """Ioffe & Szegedy 2015 (1502.03167), algorithm 1: (x - mean) / sqrt(variance + eps)."""
    x = torch.randn(64, 4, 8, 8, dtype=torch.float64, generator=seeded()) * 0.1
    eps = 1e-3
    found = functional.batch_norm(x, None, None, training=True, eps=eps)
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)

    def gap(sign: int) -> float:
        return largest((x - mean) / (variance + sign * eps).sqrt() - found)

    constant = (torch.zeros(1) - 0) / (torch.zeros(1) - eps).sqrt()
    return answer(
        said("torch's batch norm less the formula with - eps", gap(-1), at_most=1e-9),
        instead("a channel that does not vary, by the formula with - eps", constant.item(), equals=math.nan),
        instead("torch's batch norm less the formula with + eps", gap(+1), at_most=1e-9),
        note="sqrt(sigma^2 + eps): eps keeps a channel that does not vary from dividing by 0, "
        "and with - eps it would be the square root of a negative number",
    )


def batch_norm_parameters() -> Answer:
    channels = 24
    layer = nn.BatchNorm2d(channels)
    x = torch.randn(5, channels, 7, 7, generator=seeded())
    statistics = x.mean((0, 2, 3), keepdim=True)
    buffers = sum(each.numel() for each in layer.buffers())
    plain, normalised = all_cnn(batch_norm=False), all_cnn(batch_norm=True)
    width = sum(layer.num_features for layer in normalised.modules() if isinstance(layer, nn.BatchNorm2d))
    more = parameters(normalised) - parameters(plain)
    return answer(
        said("shape of the mean of (5, 24, 7, 7)", str(tuple(statistics.shape)), equals="(1, 24, 1, 1)"),
        said("learned parameters of a layer, over its channels", parameters(layer) / channels, equals=2.0),
        instead("what it holds beside, 2c + 1 numbers of running statistics", float(buffers), equals=49.0),
        instead("ALL-CNN-C: more parameters with batch norm, a channel", more / width, equals=1.0),
        note=f"the bias of the convolution before it becomes idle: without it batch norm adds c, not 2c "
        f"(ALL-CNN-C {parameters(plain):,} to {parameters(normalised):,})",
    )


def batch_statistics_at_test() -> Answer:
    """The notes' code always takes the batch's own moments, whatever phase it is called in."""
    x = torch.randn(16, 3, 4, 4, dtype=torch.float64, generator=seeded())
    layer = nn.BatchNorm2d(3, dtype=torch.float64)
    layer(x)
    layer.eval()

    def as_coded(batch: Tensor) -> Tensor:
        return functional.batch_norm(batch, None, None, training=True, eps=1e-3)

    def moved(norm: Callable[[Tensor], Tensor]) -> float:
        """How far the first picture's output moves when the rest of its batch is another one."""
        return largest(norm(x[:8])[0] - norm(torch.cat((x[:1], 3 * x[8:15])))[0])

    return answer(
        said(
            "a picture's output, as coded, moves with the rest of its batch by", moved(as_coded), equals=0.0
        ),
        instead("the same with running statistics", moved(layer), equals=0.0),
        note="as coded, a test accuracy depends on how the test set is cut into batches; "
        "at test the running averages belong there",
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_cnn(*, batch_norm: bool) -> nn.Module:
    return MODELS["all_cnn_c"].build(CIFAR, 10, nonlinearity("relu"), seeded(), batch_norm=batch_norm)


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def largest(difference: Tensor) -> float:
    """The largest magnitude; NaN where there is one."""
    found = difference.detach().abs().max().item()
    return math.nan if difference.isnan().any() else found
