"""Activation functions: how to build one, the weight scale it asks for, what it does to channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from annotated_types import Gt, Interval
from numpy.polynomial.legendre import leggauss
from torch import Tensor, nn
from torch.nn.init import calculate_gain

from study.errors import StudyError
from study.registry import Registry

# Of each half of the line; past the end a standard normal has 1e-33 of its mass.
QUADRATURE_POINTS = 128
QUADRATURE_END = 12.0


@dataclass(frozen=True)
class Activation:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``build(channels, **arguments)`` makes the layer; ``gain(**arguments)`` is the factor g of He
    initialisation, weights ~ N(0, g^2 / fan_in), that keeps the second moment of a standard normal
    pre-activation: g^2 = 1 / E[f(z)^2] (He et al. 2015, arXiv 1502.01852, eq. 10, for any f);
    torch.nn.init's own number where it has one. Without it, the formula's is measured.
    ``factor`` is output channels over input channels.
    """

    build: Callable[..., nn.Module]
    gain: Callable[..., float] | None = None
    factor: int = 1
    piecewise_linear: bool = False

    def he_gain(self, **arguments: float) -> float:
        """The factor g with these arguments; StudyError where it cannot be measured."""
        return self.gain(**arguments) if self.gain else measured_gain(self.build(1, **arguments))


@dataclass(frozen=True)
class Nonlinearity:
    """An activation with its arguments filled in: what a model needs of it."""

    layer: Callable[[int], nn.Module]
    gain: float
    factor: int


def nonlinearity(name: str, **arguments: float) -> Nonlinearity:
    """The activation ``name`` with its arguments; raises UnknownName."""
    entry = ACTIVATIONS[name]
    return Nonlinearity(partial(entry.build, **arguments), entry.he_gain(**arguments), entry.factor)


def measured_gain(layer: nn.Module) -> float:
    """1 / sqrt(E[f(z)^2]) of a layer that treats each number by itself, by quadrature in float64: Gauss and
    Legendre's, on either side of 0, where activations have their kinks (over the whole line, Gauss and
    Hermite's of as many points misses ELU's by 3e-5). The layer is left in float64.
    """
    points, weights = (torch.from_numpy(each) for each in leggauss(QUADRATURE_POINTS))
    half = (points + 1) * (QUADRATURE_END / 2)
    density = torch.exp(-half.square() / 2) / math.sqrt(2 * math.pi) * weights * (QUADRATURE_END / 2)
    with torch.no_grad():
        outputs = layer.to(torch.float64).eval()(torch.cat((half, -half)).view(1, 1, -1, 1))
    squares = outputs.square().mean(dim=1).flatten()
    moment = float(torch.cat((density, density)) @ squares)
    if not 0 < moment < math.inf:
        raise StudyError(
            f"{type(layer).__name__}: the gain of an activation must be finite, and E[f(z)^2] is {moment}; "
            "give its Activation a gain"
        )
    return 1 / math.sqrt(moment)


class CReLU(nn.Module):
    """relu(x) and relu(-x) side by side, (n, c, ...) -> (n, 2c, ...) (Shang et al. 2016, 1603.05201)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x.relu(), x.neg().relu_()), dim=1)


class PReLU(nn.PReLU):
    """max(x, 0) - slope max(-x, 0), a slope per channel (He et al. 2015, 1502.01852).

    Composed: torch's own kernel is 5 times slower on channels-last bfloat16 on the CPU (128 x 24 x 32 x 32,
    forward and backward: 37 ms against 7 ms), which halves the speed of a training.
    """

    def forward(self, x: Tensor) -> Tensor:
        slopes = self.weight.view(1, -1, *(1,) * (x.ndim - 2)).to(x.dtype)
        return x.relu() - slopes * x.neg().relu_()


# A layer works in place where autograd lets it: one pass less over memory. What comes before an
# activation (a convolution, a batch norm) does not need its own output for the backward pass.


def relu(channels: int) -> nn.Module:
    """max(x, 0)."""
    return nn.ReLU(inplace=True)


def leaky_relu(channels: int, *, negative_slope: Annotated[float, Interval(ge=0, lt=1)] = 0.01) -> nn.Module:
    """max(x, 0) + negative_slope min(x, 0) (Maas et al. 2013)."""
    # A slope of 0 is ReLU; in place, torch can only differentiate slopes above it.
    return nn.LeakyReLU(negative_slope, inplace=negative_slope > 0)


def prelu(channels: int) -> nn.Module:
    """A learned slope per channel, 0.25 at first, as in He et al. 2015. Optimizers do not decay it."""
    return PReLU(channels, init=0.25)


def elu(channels: int, *, alpha: Annotated[float, Gt(0)] = 1.0) -> nn.Module:
    """x above 0, alpha (e^x - 1) below (Clevert et al. 2016, 1511.07289)."""
    return nn.ELU(alpha, inplace=True)


def selu(channels: int) -> nn.Module:
    """A scaled ELU with 0 and 1 as fixed mean and variance (Klambauer et al. 2017, 1706.02515)."""
    return nn.SELU(inplace=True)


def crelu(channels: int) -> nn.Module:
    return CReLU()


def gelu(channels: int) -> nn.Module:
    """x Phi(x) with the exact normal distribution function (Hendrycks & Gimpel 2016, 1606.08415)."""
    return nn.GELU()


def silu(channels: int) -> nn.Module:
    """x sigmoid(x), also known as Swish (Elfwing et al. 2018, 1702.03118)."""
    return nn.SiLU()


def tanh(channels: int) -> nn.Module:
    return nn.Tanh()


def sigmoid(channels: int) -> nn.Module:
    return nn.Sigmoid()


def _leaky_gain(negative_slope: float = 0.01) -> float:
    return calculate_gain("leaky_relu", negative_slope)


def _elu_gain(alpha: float = 1.0) -> float:
    """E[f(z)^2] = 1/2 + alpha^2 (e^2 Phi(-2) - 2 sqrt(e) Phi(-1) + 1/2), by completing the square."""
    below = math.exp(2) * _normal_cdf(-2) - 2 * math.exp(0.5) * _normal_cdf(-1) + 0.5
    return 1 / math.sqrt(0.5 + alpha**2 * below)


def _normal_cdf(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def _always(value: float) -> Callable[..., float]:
    return lambda: value


_RELU_GAIN = calculate_gain("relu")

ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    relu=Activation(relu, _always(_RELU_GAIN), piecewise_linear=True),
    leaky_relu=Activation(leaky_relu, _leaky_gain, piecewise_linear=True),
    prelu=Activation(prelu, _always(_leaky_gain(0.25)), piecewise_linear=True),
    elu=Activation(elu, _elu_gain),
    # 1, not torch's 3/4: self-normalisation needs it (Klambauer et al. 2017; torch's own advice).
    selu=Activation(selu, _always(calculate_gain("linear"))),
    # ReLU's, on the doubled fan-in: each half carries half of the second moment.
    crelu=Activation(crelu, _always(_RELU_GAIN), factor=2, piecewise_linear=True),
    # 1 / sqrt(E[f(z)^2]) by quadrature; torch.nn.init knows no gain for these two.
    gelu=Activation(gelu, _always(1.5335304)),
    silu=Activation(silu, _always(1.6765325)),
    # torch's conventions (after LeCun et al. 1998); by the formula they would be 1.59 and 1.85.
    tanh=Activation(tanh, _always(calculate_gain("tanh"))),
    sigmoid=Activation(sigmoid, _always(calculate_gain("sigmoid"))),
)
