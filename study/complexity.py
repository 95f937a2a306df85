"""How complex a trained network is, by what needs its weights: norms, margins, sharpness, flatness."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.components.losses import PerExample
from study.curvature import largest_eigenvalue, power_iteration
from study.trial import finite_or_none

# The Hessian and the noisy copies of the weights cost many passes, so they see a part of the examples.
FEW_EXAMPLES = 128
# The percentiles of the margins that are noted: Jiang et al. 2020 (1912.02178) take the tenth.
MARGIN_PERCENTILES = (10, 50)
# Flatness: the weights may move until the mean loss has risen by so many nats.
RISE = 0.1
SIGMAS = (1e-5, 1.0)
HALVINGS = 10
DIRECTIONS = 3
# A power iteration on a layer: after that many products a norm is low by a few per cent at most.
PRODUCTS = 30


@dataclass(frozen=True)
class Layer:
    """A linear layer as a map from ``shape`` (its input's, without the batch): the weight has a batch norm
    that follows it folded in, and ``apply`` leaves the bias out. ``places`` is how often the weight is used
    in one output: the pixels of a convolution's, 1 of a dense layer's."""

    weight: Tensor
    shape: tuple[int, ...]
    places: int
    apply: Callable[[Tensor], Tensor]


def measure(
    model: nn.Module, images: Tensor, labels: Tensor, loss: PerExample, generator: torch.Generator
) -> dict[str, float | None]:
    """The measures of ``model`` on training examples ``images`` (n, c, h, w), in eval mode and fp32.

    parameters                 how many
    spectral_log_product       sum of ln s_i, s_i the largest singular value of layer i as an operator
    stable_rank_sum            sum of (Frobenius / s_i)^2, of the operators
    margin_10, margin_50       percentiles of logit[label] - largest other logit
    sharpness                  the largest eigenvalue of the loss's Hessian, on the first FEW_EXAMPLES
                               (large at sharp minima: Keskar et al. 2017, 1609.04836)
    flat_sigma                 the largest sd of Gaussian noise on the weights under which the mean loss
                               on them rises by less than RISE nats; None where any in SIGMAS does not

    Spectral complexity of a margin g is exp(2 spectral_log_product) stable_rank_sum / g^2 (Neyshabur et al.
    2018, 1707.09564, with operators' norms). None where a number is not finite. The model stays as it is.
    """
    model = copy.deepcopy(model).eval()
    layers = linear_layers(model, images)
    norms = [spectral_norm(layer, generator) for layer in layers]
    parameters = tuple(model.parameters())
    few, theirs = images[:FEW_EXAMPLES], labels[:FEW_EXAMPLES]
    mean_loss = loss(model(few), theirs).mean()
    found = {
        "parameters": float(sum(each.numel() for each in parameters)),
        "spectral_log_product": sum(math.log(norm) if norm > 0 else -math.inf for norm in norms),
        "stable_rank_sum": sum(stable_rank(layer, norm) for layer, norm in zip(layers, norms, strict=True)),
        **margins(model, images, labels),
        "sharpness": largest_eigenvalue(mean_loss, parameters, generator),
        "flat_sigma": flat_sigma(model, few, theirs, loss, generator),
    }
    return {name: finite_or_none(value) for name, value in found.items()}


def linear_layers(model: nn.Module, images: Tensor) -> list[Layer]:
    """The convolutions and dense layers in the order of the modules, with the shapes that ``images`` take
    inside; a batch norm right behind one is part of it."""
    shapes: dict[nn.Module, tuple[torch.Size, torch.Size]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes[module] = (inputs[0].shape[1:], output.shape[1:])

    leaves = [module for module in model.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    with torch.inference_mode():
        model(images[:2])
    for hook in hooks:
        hook.remove()
    following = [*leaves[1:], nn.Identity()]
    return [
        as_layer(leaf, after, *shapes[leaf])
        for leaf, after in zip(leaves, following, strict=True)
        if isinstance(leaf, nn.Conv2d | nn.Linear) and leaf in shapes
    ]


def as_layer(leaf: nn.Conv2d | nn.Linear, after: nn.Module, shape: torch.Size, output: torch.Size) -> Layer:
    weight = leaf.weight.detach()
    if isinstance(after, nn.BatchNorm2d) and after.running_var is not None:
        scale = (after.running_var + after.eps).rsqrt() * (after.weight.detach() if after.affine else 1.0)
        weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    if isinstance(leaf, nn.Linear):
        return Layer(weight, tuple(shape), 1, lambda x: functional.linear(x, weight))

    def convolve(x: Tensor) -> Tensor:
        return functional.conv2d(x, weight, None, leaf.stride, leaf.padding, leaf.dilation, leaf.groups)

    return Layer(weight, tuple(shape), math.prod(output[1:]), convolve)


def spectral_norm(layer: Layer, generator: torch.Generator, products: int = PRODUCTS) -> float:
    """The largest singular value of the layer as an operator on whole pictures, approached from below by
    power iteration (Sedghi, Gupta & Long 2019, 1805.10408, on why not the kernel's)."""
    size = math.prod(layer.shape)

    def gram(direction: Tensor) -> Tensor:
        x = direction.view(1, *layer.shape).detach().requires_grad_()
        with torch.enable_grad():
            y = layer.apply(x)
        (back,) = torch.autograd.grad(y, x, y.detach())
        return back.reshape(-1)

    start = torch.randn(size, generator=generator).to(layer.weight)
    return math.sqrt(max(0.0, power_iteration(gram, start, products)))


def stable_rank(layer: Layer, norm: float) -> float:
    """(Frobenius norm / spectral norm)^2 of the operator; a kernel's borders count as if it had none."""
    return float(layer.weight.square().sum()) * layer.places / norm**2 if norm > 0 else math.inf


@torch.no_grad()
def margins(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """``margin_10`` and so on: percentiles of how far the label's logit is above the largest other one."""
    logits = model(images).float()
    own = logits.gather(1, labels.view(-1, 1)).squeeze(1)
    others = logits.scatter(1, labels.view(-1, 1), -math.inf).amax(dim=1)
    levels = torch.tensor([percent / 100 for percent in MARGIN_PERCENTILES], device=own.device)
    found = torch.quantile(own - others, levels).tolist()
    return {f"margin_{percent}": value for percent, value in zip(MARGIN_PERCENTILES, found, strict=True)}


@torch.no_grad()
def flat_sigma(
    model: nn.Module, images: Tensor, labels: Tensor, loss: PerExample, generator: torch.Generator
) -> float:
    """The flatness of Jiang et al. 2020 (1912.02178, eq. 52), with the loss in place of the error: by
    bisection of ln sigma, each step on the same DIRECTIONS. Infinite where SIGMAS hold no rise."""
    parameters = tuple(model.parameters())
    directions = [
        [torch.randn(each.shape, generator=generator).to(each) for each in parameters]
        for _ in range(DIRECTIONS)
    ]
    start = float(loss(model(images), labels).mean())

    def flat(sigma: float) -> bool:
        moved = [moved_loss(sigma, direction) for direction in directions]
        return math.fsum(moved) / len(moved) - start < RISE

    def moved_loss(sigma: float, direction: Sequence[Tensor]) -> float:
        for each, step in moving(parameters, direction):
            each.add_(step, alpha=sigma)
        value = float(loss(model(images), labels).mean())
        for each, step in moving(parameters, direction):
            each.sub_(step, alpha=sigma)
        return value

    if flat(SIGMAS[1]):
        return math.inf
    low, high = map(math.log, SIGMAS)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if flat(math.exp(middle)) else (low, middle)
    return math.exp(low)


def moving(parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(parameters, direction, strict=True)
