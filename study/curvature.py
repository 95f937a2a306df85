"""The curvature of a loss: its Hessian's largest eigenvalue, which bounds the stable learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Hessian-vector products. The error falls by the square of the ratio of the two largest eigenvalues
# with each.
PRODUCTS = 20

Product = Callable[[Tensor], Tensor]


def largest_eigenvalue(
    loss: Tensor, parameters: Sequence[Tensor], generator: torch.Generator, products: int = PRODUCTS
) -> float:
    """The largest eigenvalue of the Hessian of ``loss`` (a scalar with its graph) by the parameters.

    Power iteration with ``products`` Hessian-vector products (Pearlmutter 1994, Neural Computation
    6:147: the gradient of gradient times vector), from a direction that ``generator`` (on the CPU)
    draws, so it is approached from below. Where an eigenvalue below 0 has the largest magnitude, as
    many products again on the Hessian shifted by it find the largest. Plain gradient descent is stable
    up to a learning rate of 2 over it, heavy ball up to 2 (1 + momentum) over it.
    """
    gradient = flat(torch.autograd.grad(loss, parameters, create_graph=True))

    def product(direction: Tensor) -> Tensor:
        return flat(torch.autograd.grad(gradient @ direction, parameters, retain_graph=True))

    start = torch.randn(len(gradient), generator=generator).to(gradient)
    dominant = power_iteration(product, start, products)
    if dominant >= 0:
        return dominant
    return power_iteration(lambda each: product(each) - dominant * each, start, products) + dominant


def power_iteration(product: Product, start: Tensor, products: int) -> float:
    """The eigenvalue of largest magnitude of the symmetric matrix that ``product`` multiplies by: the
    Rayleigh quotient after ``products`` products. 0 where the matrix maps ``start`` to 0."""
    direction, quotient = start / start.norm(), 0.0
    for _ in range(products):
        image = product(direction)
        quotient = float(direction @ image)
        length = image.norm()
        if not length > 0:
            break
        direction = image / length
    return quotient


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors' numbers in a row."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])
