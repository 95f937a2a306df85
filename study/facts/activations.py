"""Checks of what the notes say of activations."""

from __future__ import annotations

import math

import torch
from scipy import integrate
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional

from study.facts.checking import Answer, answer, instead, said

INPUTS = torch.linspace(-6, 6, 1201, dtype=torch.float64)


def elu_slope() -> Answer:
    positive = INPUTS[INPUTS > 0]
    negative = INPUTS[INPUTS < 0]
    return answer(
        said("largest |slope - 1| of ELU on positive inputs", gap_to(slopes(positive), 1.0), equals=0.0),
        said("largest |slope - 1| of ReLU there", gap_to(positive.sign(), 1.0), equals=0.0),
        instead("slope of ELU at -6", slopes(negative)[0].item(), at_most=0.01),
        instead(
            "slope of the logistic function at 6",
            (torch.sigmoid(positive) * torch.sigmoid(-positive))[-1].item(),
            at_most=0.01,
        ),
        note="1 on positive inputs alone: on negative ones ELU saturates, as the logistic function does "
        "on either side",
    )


def slopes(x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    functional.elu(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def gap_to(found: Tensor, value: float) -> float:
    return (found - value).abs().max().item()


def elu_mean() -> Answer:
    """Means over standard normal inputs, by quadrature. ReLU's is 1 / sqrt(2 pi)."""
    relu, elu = mean_of(torch.relu), mean_of(functional.elu)
    return answer(
        said("mean of ReLU less that of ELU, over N(0, 1)", relu - elu, at_least=0.01),
        said("mean of ELU, nearer to 0 by the factor", abs(relu / elu), at_least=1.0),
        instead("mean of ELU", elu, at_least=0.1),
        note=f"{relu:.3f} for ReLU, {elu:.3f} for ELU: nearer to 0, but not 0, where batch norm is",
    )


def mean_of(activation: object) -> float:
    assert callable(activation)

    def weighted(z: float) -> float:
        return float(activation(torch.tensor(z, dtype=torch.float64))) * float(norm.pdf(z))

    return sum(float(integrate.quad(weighted, *ends)[0]) for ends in ((-12, 0), (0, 12)))


def noise_robustness() -> Answer:
    """What is left of a noise e of standard deviation 0.5 behind an activation whose input is -6."""
    sigma = 0.5
    e = sigma * torch.randn(100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def left(slope: float) -> float:
        noisy = functional.elu(e - 6) if math.isnan(slope) else functional.leaky_relu(e - 6, slope)
        return (noisy.var() / sigma**2).item()

    leaky, parametric, elu = left(0.2), left(0.25), left(math.nan)
    return answer(
        said("share of the noise's variance behind leaky ReLU (0.2)", leaky, at_least=0.01),
        said("the same behind PReLU (0.25)", parametric, at_least=0.01),
        said("the same behind ELU", elu, at_most=0.001),
        instead("leaky ReLU's share over its slope squared", leaky / 0.2**2, equals=1.0, within=0.02),
        note="a leaky ReLU lets slope squared of the variance through, however negative its input",
    )


def leaky_relu_code() -> Answer:
    """As printed: max(x, leak * x), with leak = 0.2."""

    def gap(leak: float) -> float:
        return (torch.maximum(INPUTS, leak * INPUTS) - functional.leaky_relu(INPUTS, leak)).abs().max().item()

    return answer(
        said("the code less leaky ReLU, leak 0.2", gap(0.2), at_most=1e-12),
        instead("the same for a leak of 2", gap(2.0), at_least=1.0),
        note="for a leak of at most 1; above that the maximum takes the wrong branch",
    )


def prelu_code() -> Answer:
    """As printed: relu(x) + alpha * (x - |x|) * 0.5, with alpha = 0.25."""
    alpha = torch.tensor([0.25], dtype=torch.float64)
    code = torch.relu(INPUTS) + alpha * (INPUTS - INPUTS.abs()) * 0.5
    gap = (code - functional.prelu(INPUTS, alpha)).abs().max().item()
    return answer(said("the code less PReLU, alpha 0.25", gap, at_most=1e-12))
