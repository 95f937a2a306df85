"""Checks of what the notes say of residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from study.components.activations import nonlinearity
from study.components.models import MODELS
from study.facts.checking import Answer, answer, instead, said
from study.facts.normalisation import CIFAR, largest, parameters, seeded


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


def residual_block() -> Answer:
    """He et al. 2016 (1512.03385), eq. 1 and section 3.1, against the first block of a built network."""
    with torch.no_grad():
        block = dict(small("resnet", batch_norm=False).named_modules())["stage1.block1"]
        first, second = (each for each in block.modules() if isinstance(each, nn.Conv2d))
        x = torch.relu(torch.randn(2, 16, 8, 8, generator=seeded()))
        formula = torch.relu(second(torch.relu(first(x))) + x)
        gap = largest(block(x.clone()) - formula)
    norms = [each for each in small("resnet").modules() if isinstance(each, nn.BatchNorm2d)]
    convolutions = [each for each in small("resnet").modules() if isinstance(each, nn.Conv2d)]
    return answer(
        said("a block's output less relu(W2 relu(W1 x) + x)", gap, at_most=1e-5),
        instead(
            "batch norms of the published network over its convolutions",
            len(norms) / len(convolutions),
            equals=1.0,
        ),
        note="as published, each convolution has a batch norm behind it, which the formula leaves out",
    )


def shortcut_cost() -> Answer:
    channels, side = 64, 8
    block = [nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)]
    weights = sum(map(parameters, block))
    projection = parameters(nn.Conv2d(channels, 2 * channels, 1, stride=2, bias=False))
    multiplications = weights * side**2
    share = channels * side**2 / multiplications
    return answer(
        said(
            "parameters of ResNet-20 less those of the plain network of 20 layers",
            float(parameters(small("resnet")) - parameters(small("plain"))),
            equals=0.0,
        ),
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


def small(name: str, **arguments: bool) -> nn.Module:
    """A plain or residual network for CIFAR-10, of 20 layers."""
    network: nn.Module = MODELS[name].build(CIFAR, 10, nonlinearity("relu"), seeded(), depth=20, **arguments)
    return network
