"""Checks of what the notes say of batch norm and of residual blocks."""

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


def residual_sensitivity() -> Answer:
    before, after = 5.1, 5.2
    plain = (after - before) / before
    residual = ((after - 5) - (before - 5)) / (before - 5)
    f = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    ((f + 5 - after) ** 2).backward()
    h = torch.tensor(before, dtype=torch.float64, requires_grad=True)
    ((h - after) ** 2).backward()
    assert f.grad is not None
    assert h.grad is not None
    return answer(
        said("F(5) for an output of 5.1", before - 5, equals=0.1, within=1e-12),
        said("relative change of F over that of H", residual / plain, at_least=10),
        said("gradient of the squared error by F over that by H", (f.grad / h.grad).item(), at_least=1.001),
        note=f"the relative change is {residual:.0%} against {plain:.1%}, but the gradient, which is what "
        "adjusts the weights, is the same: adding a constant changes no derivative",
    )


def shortcut_cost() -> Answer:
    channels, side = 64, 8
    block = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
    weights = sum(map(parameters, block))
    projection = parameters(nn.Conv2d(channels, 2 * channels, 1, stride=2, bias=False))
    multiplications = weights * side**2
    share = channels * side**2 / multiplications
    return answer(
        said("parameters of an identity shortcut", float(parameters(nn.Identity())), equals=0.0),
        said("additions of a shortcut, over the block's multiplications", share, equals=0.0),
        instead("the same", share, at_most=0.001),
        instead(
            "parameters of a projection, where the shape changes (64 to 128 channels)",
            float(projection),
            at_least=1,
        ),
        note=f"no parameters where the shape stays; the additions are {share:.4%} of the block's work; where "
        f"the shape changes, a 1x1 projection has {projection:,} parameters (zero-padding has none)",
    )


def residual_identity() -> Answer:
    generator = seeded()
    x = torch.randn(32, 16, generator=generator)
    first, second = (torch.randn(16, 16, generator=generator) for _ in range(2))

    def block(x: Tensor, scale: float) -> Tensor:
        return torch.relu(torch.relu(x @ first) @ (second * scale) + x)

    positive = torch.relu(x)
    # Decay alone shrinks a weight by 1 - lr * decay a step.
    left = (1 - 0.1 * 0.1) ** 1000
    return answer(
        said("what L2 leaves of a weight in 1,000 steps (lr 0.1, decay 0.1)", left, at_most=1e-4),
        said(
            "block with F = 0, less the identity, on inputs of both signs",
            largest(block(x, 0) - x),
            equals=0.0,
        ),
        instead(
            "the same on inputs that come out of a ReLU", largest(block(positive, 0) - positive), equals=0.0
        ),
        note="the identity where the input is not negative, as behind a ReLU; elsewhere it is relu(x)",
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
