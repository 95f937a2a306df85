"""Optimizers against torch's own, step by step; schedules against their curves."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from study.components.activations import nonlinearity
from study.components.optimizers import OPTIMIZERS, parameter_groups
from study.components.schedules import SCHEDULES


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nonlinearity("prelu").layer(4), nn.Conv2d(4, 2, 3))


def descend(network: nn.Module, optimizer: Optimizer, steps: int = 20) -> torch.Tensor:
    """The weights after some steps on fixed data."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        loss = (network(torch.randn(4, 1, 8, 8, generator=generator)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


REFERENCES: list[tuple[str, dict[str, Any], type[Optimizer], dict[str, Any]]] = [
    ("sgd", {"lr": 0.05}, torch.optim.SGD, {"lr": 0.05}),
    (
        "sgd",
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
        torch.optim.SGD,
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
    ),
    (
        "sgd",
        {"lr": 0.01, "momentum": 0.9, "dampening": 0.5},
        torch.optim.SGD,
        {"lr": 0.01, "momentum": 0.9, "dampening": 0.5},
    ),
    ("adam", {"lr": 0.01, "beta1": 0.8}, torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.999)}),
    (
        "adamw",
        {"lr": 0.01, "beta2": 0.9, "eps": 1e-4, "weight_decay": 0.0},
        torch.optim.AdamW,
        {"lr": 0.01, "betas": (0.9, 0.9), "eps": 1e-4, "weight_decay": 0.0},
    ),
]


@pytest.mark.parametrize(("name", "arguments", "reference", "theirs"), REFERENCES)
def test_an_optimizer_steps_as_torch_s_unfused_one(
    name: str, arguments: dict[str, Any], reference: Any, theirs: dict[str, Any]
) -> None:
    ours, other = model(), model()
    ended = descend(ours, OPTIMIZERS[name].build(parameter_groups(ours), **arguments))
    expected = descend(other, reference(other.parameters(), foreach=False, fused=False, **theirs))
    # Twenty steps of float32 rounding in another order.
    torch.testing.assert_close(ended, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_weights_and_leaves_prelu_s_slopes(name: str) -> None:
    network = model()
    optimizer = OPTIMIZERS[name].build(parameter_groups(network), lr=0.1, weight_decay=0.1)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = {
        name: not torch.equal(parameter, old)
        for (name, parameter), old in zip(network.named_parameters(), before, strict=True)
    }
    assert moved == {"0.weight": True, "0.bias": True, "1.weight": False, "2.weight": True, "2.bias": True}


def test_every_parameter_is_in_one_group() -> None:
    network = model()
    grouped = [id(parameter) for group in parameter_groups(network) for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters())


@pytest.mark.parametrize(
    ("arguments", "broken"),
    [
        ({"nesterov": True}, True),
        ({"nesterov": True, "momentum": 0.0}, True),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, True),
        ({"nesterov": True, "momentum": 0.9}, False),
        ({"nesterov": False, "dampening": 0.1}, False),
        ({}, False),
    ],
)
def test_nesterov_needs_momentum_and_no_dampening(arguments: dict[str, Any], broken: bool) -> None:
    assert (OPTIMIZERS["sgd"].rule(arguments) is not None) == broken


def rates(name: str, steps: int, **arguments: Any) -> list[float]:
    """The learning rate of each step, from a rate of 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = SCHEDULES[name].build(optimizer, steps, **arguments)
    seen = []
    for _ in range(steps):
        seen.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return [*seen, float(schedule.get_last_lr()[0])]


def test_constant_stays() -> None:
    assert set(rates("constant", 10)) == {1.0}


def test_cosine_passes_the_middle_halfway_and_ends_at_its_final_share() -> None:
    curve = rates("cosine", 10, final=0.2)
    assert curve[5] == pytest.approx(0.6)
    assert curve[1] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 10)) / 2)
    assert curve[10] == pytest.approx(0.2)


def test_step_drops_where_the_paper_does() -> None:
    curve = rates("step", 350)
    drops = [epoch for epoch in range(1, 351) if curve[epoch] < curve[epoch - 1]]
    assert drops == [200, 250, 300]
    assert curve[349] == pytest.approx(1e-3)


def test_step_takes_its_factor_number_and_first_moment() -> None:
    assert rates("step", 8, factor=0.5, drops=2, first=0.5)[:8] == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_training_shorter_than_its_drops_still_runs() -> None:
    assert rates("step", 1)[0] == 1.0
