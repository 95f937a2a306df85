"""A training's single steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import get_total_norm

from study.steps import gradient_norm


def parameters(*gradients: torch.Tensor | None) -> list[nn.Parameter]:
    """Parameters that have these gradients."""
    found = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(1) if gradient is None else torch.zeros_like(gradient))
        parameter.grad = gradient
        found.append(parameter)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e18, 1e25])
def test_the_gradient_norm_is_torch_s_to_the_bit(dtype: torch.dtype, scale: float) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = [(10, 3, 3, 3), (10,), (1,), (64, 10, 3, 3), (7, 5)]
    drawn = [(scale * torch.randn(shape, generator=generator)).to(dtype) for shape in shapes]
    drawn[3] = drawn[3].to(memory_format=torch.channels_last)
    ours, theirs = gradient_norm(parameters(*drawn)), get_total_norm(drawn)
    assert ours.dtype == theirs.dtype
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_one_number_that_is_not_finite_makes_the_norm_so(bad: float) -> None:
    spoilt = torch.ones(5)
    spoilt[3] = bad
    assert not gradient_norm(parameters(torch.ones(3), spoilt)).isfinite()


def test_a_parameter_without_a_gradient_has_no_part_in_the_norm() -> None:
    assert float(gradient_norm(parameters(torch.tensor([3.0]), None, torch.tensor([4.0])))) == 5.0
