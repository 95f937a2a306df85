"""Optimizers against torch's own, step by step; schedules against their curves."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from study.arguments import argument_types
from study.components.activations import nonlinearity
from study.components.optimizers import OPTIMIZERS, parameter_groups
from study.components.schedules import SCHEDULES
from study.errors import StudyError

Make = Callable[[], nn.Module]


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nonlinearity("prelu").layer(4),
            nn.Conv2d(4, 3, 3),
            nonlinearity("tanh").layer(3),
            nn.Conv2d(3, 2, 3),
        )


def matrices() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


class Words(nn.Module):
    """A model whose gradients are sparse: it sees which pixels are bright."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(64, 2, sparse=True)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.embedding(pictures.flatten(1).argsort(dim=1)[:, -3:])
        return output


def words() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Words()


def model_for(name: str) -> nn.Module:
    """A model with what the optimizer needs."""
    return words() if "sparse_gradients" in OPTIMIZERS[name].needs else network()


def descend(network: nn.Module, optimizer: Optimizer, steps: int = 20) -> torch.Tensor:
    """The weights after some steps, each on a batch of its own."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        pictures = torch.randn(4, 1, 8, 8, generator=generator)

        def loss(pictures: torch.Tensor = pictures) -> Any:
            optimizer.zero_grad()
            loss = (network(pictures) - 1).square().mean()
            loss.backward()
            return loss

        optimizer.step(loss)
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


# Ours, and the arguments of torch's class for the same.
REFERENCES: list[tuple[str, dict[str, Any], type[Optimizer], dict[str, Any], Make]] = [
    ("sgd", {}, torch.optim.SGD, {}, network),
    (
        "sgd",
        {"momentum": 0.9, "nesterov": True},
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True},
        network,
    ),
    (
        "sgd",
        {"momentum": 0.9, "dampening": 0.5},
        torch.optim.SGD,
        {"momentum": 0.9, "dampening": 0.5},
        network,
    ),
    (
        "asgd",
        {"lambd": 0.01, "alpha": 0.5, "t0": 5.0},
        torch.optim.ASGD,
        {"lambd": 0.01, "alpha": 0.5, "t0": 5.0},
        matrices,
    ),
    (
        "adagrad",
        {"lr_decay": 0.1, "initial_accumulator": 0.5},
        torch.optim.Adagrad,
        {"lr_decay": 0.1, "initial_accumulator_value": 0.5},
        network,
    ),
    ("adadelta", {"rho": 0.8, "eps": 1e-5}, torch.optim.Adadelta, {"rho": 0.8, "eps": 1e-5}, network),
    (
        "rmsprop",
        {"alpha": 0.9, "momentum": 0.5, "centered": True},
        torch.optim.RMSprop,
        {"alpha": 0.9, "momentum": 0.5, "centered": True},
        network,
    ),
    ("adam", {"beta1": 0.8}, torch.optim.Adam, {"betas": (0.8, 0.999)}, network),
    (
        "adamw",
        {"beta2": 0.9, "eps": 1e-4, "weight_decay": 0.0},
        torch.optim.AdamW,
        {"betas": (0.9, 0.9), "eps": 1e-4, "weight_decay": 0.0},
        network,
    ),
    ("nadam", {"momentum_decay": 0.1}, torch.optim.NAdam, {"momentum_decay": 0.1}, network),
    ("radam", {"beta2": 0.9}, torch.optim.RAdam, {"betas": (0.9, 0.9)}, network),
    ("adamax", {"beta1": 0.8}, torch.optim.Adamax, {"betas": (0.8, 0.999)}, network),
    ("sparse_adam", {"beta1": 0.8}, torch.optim.SparseAdam, {"betas": (0.8, 0.999)}, words),
    (
        "rprop",
        {"eta_minus": 0.4, "eta_plus": 1.3, "largest_step": 0.02},
        torch.optim.Rprop,
        {"etas": (0.4, 1.3), "step_sizes": (1e-6, 0.02)},
        network,
    ),
    (
        "lbfgs",
        {"max_iter": 3, "history": 5},
        torch.optim.LBFGS,
        {"max_iter": 3, "history_size": 5, "line_search_fn": "strong_wolfe"},
        matrices,
    ),
    ("lbfgs", {"max_iter": 3, "line_search": "none"}, torch.optim.LBFGS, {"max_iter": 3}, matrices),
]
# These have one implementation only.
SINGLE = (torch.optim.LBFGS, torch.optim.SparseAdam)
FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)


@pytest.mark.parametrize(
    ("name", "arguments", "reference", "theirs", "make"), REFERENCES, ids=[each[0] for each in REFERENCES]
)
def test_an_optimizer_steps_as_torch_s_plainest_one(
    name: str, arguments: dict[str, Any], reference: Any, theirs: dict[str, Any], make: Make
) -> None:
    ours, other = make(), make()
    ended = descend(ours, OPTIMIZERS[name].build(parameter_groups(ours), lr=0.01, **arguments))
    plain = {} if reference in SINGLE else {"foreach": False}
    plain |= {"fused": False} if reference in FUSED else {}
    expected = descend(other, reference(list(other.parameters()), lr=0.01, **plain, **theirs))
    # Twenty steps of float32 rounding in another order.
    torch.testing.assert_close(ended, expected, rtol=1e-4, atol=1e-5)
    start = torch.cat([parameter.detach().flatten() for parameter in make().parameters()])
    assert (ended - start).abs().max() > 1e-3, "they have moved"


def test_every_optimizer_has_a_reference() -> None:
    assert {name for name, *_ in REFERENCES} == OPTIMIZERS.keys() - {"muon"}  # which has its own tests below


DECAYING = [name for name, each in OPTIMIZERS.items() if "weight_decay" in argument_types(each.build)]


@pytest.mark.parametrize("name", DECAYING)
def test_weight_decay_shrinks_weights_and_leaves_prelu_s_slopes(name: str) -> None:
    model = network()
    optimizer = OPTIMIZERS[name].build(parameter_groups(model), lr=0.1, weight_decay=0.1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = {
        name: not torch.equal(parameter, old)
        for (name, parameter), old in zip(model.named_parameters(), before, strict=True)
    }
    weights = {f"{layer}.{own}": True for layer in (0, 2, 4) for own in ("weight", "bias")}
    assert moved == {**weights, "1.weight": False}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_s_state_goes_through_a_file_that_holds_no_code(name: str, tmp_path: Path) -> None:
    def continued(first: int, through_a_file: bool) -> torch.Tensor:
        model = model_for(name)
        optimizer = OPTIMIZERS[name].build(parameter_groups(model), lr=0.01)
        descend(model, optimizer, first)
        if through_a_file:
            torch.save([model.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
            weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
            model = model_for(name)
            model.load_state_dict(weights)
            optimizer = OPTIMIZERS[name].build(parameter_groups(model), lr=0.01)
            optimizer.load_state_dict(state)
        return descend(model, optimizer, 3)

    torch.testing.assert_close(continued(3, True), continued(3, False), rtol=0, atol=0)


# -- what their formulas promise


def driven(name: str, gradients: torch.Tensor, **arguments: Any) -> torch.Tensor:
    """A single parameter (n,) that starts at 0, after each of ``gradients`` (steps, n): (steps, n)."""
    parameter = nn.Parameter(torch.zeros(gradients.shape[1]))
    optimizer = OPTIMIZERS[name].build([{"params": [parameter]}], **arguments)
    path = []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        path.append(parameter.detach().clone())
    return torch.stack(path)


def steps_of(path: torch.Tensor) -> torch.Tensor:
    """How far each step went."""
    return torch.cat([path[:1], path.diff(dim=0)]).abs()


def heavy_tailed(steps: int, size: int) -> torch.Tensor:
    return torch.randn(steps, size, generator=torch.Generator().manual_seed(3)).pow(3).mul(10)


def test_adam_s_steps_are_bounded_and_the_bound_is_reached() -> None:
    """Kingma & Ba 2015, section 2.1: at most lr (1 - beta1) / sqrt(1 - beta2), 3.16 lr by default."""
    bound = 0.1 / math.sqrt(0.001)
    assert steps_of(driven("adam", heavy_tailed(300, 50), lr=1.0)).max() <= bound
    # The worst there is: a gradient after a long silence.
    silence = torch.zeros(4001, 1)
    silence[-1] = 1.0
    last = float(steps_of(driven("adam", silence, lr=1.0))[-1])
    assert 0.98 * bound < last <= bound


def test_adamax_s_steps_are_bounded_by_a_hundredth_more_than_its_rate() -> None:
    """Kingma & Ba 2015, section 7.1, say lr. With u_t >= beta2^k |g_(t-k)| the sum behind it comes to
    (1 - beta1) / (1 - beta1 / beta2), 1.009 by default, which gradients that fall like beta2^t reach."""
    bound = 0.1 / (1 - 0.9 / 0.999)
    assert steps_of(driven("adamax", heavy_tailed(300, 50), lr=1.0)).max() <= bound
    falling = 0.999 ** torch.arange(100.0).unsqueeze(1)
    last = float(steps_of(driven("adamax", falling, lr=1.0))[-1])
    assert last == pytest.approx(bound, rel=1e-3)
    assert last > 1


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "adamax", "adagrad", "rmsprop", "rprop"])
def test_a_diagonal_rescaling_of_the_gradients_changes_nothing(name: str) -> None:
    # By powers of two, so that not even the rounding differs.
    scale = 2.0 ** torch.arange(-10, 10)
    gradients = heavy_tailed(50, 20)
    arguments = {"lr": 0.01} if name == "rprop" else {"lr": 0.01, "eps": 0.0}
    assert torch.equal(driven(name, gradients * scale, **arguments), driven(name, gradients, **arguments))
    assert not torch.equal(driven("sgd", gradients * scale, lr=0.01), driven("sgd", gradients, lr=0.01))


def test_adagrad_s_rate_falls_like_the_square_root_of_time() -> None:
    steps = steps_of(driven("adagrad", torch.full((400, 1), 7.0), lr=0.1)).flatten()
    expected = 0.1 / torch.arange(1.0, 401).sqrt()
    torch.testing.assert_close(steps, expected, rtol=1e-3, atol=0)


def test_adadelta_depends_on_its_rate() -> None:
    gradients = heavy_tailed(20, 5)
    assert not torch.allclose(driven("adadelta", gradients, lr=1.0), driven("adadelta", gradients, lr=0.1))


def test_rprop_runs_off_where_gradients_add_up_to_nothing() -> None:
    """Hinton's example (lecture 6e): nine mini-batches of 0.1 and one of -0.9. SGD ends where it began."""
    round_trip = torch.tensor([0.1] * 9 + [-0.9]).repeat(20).unsqueeze(1)
    assert abs(float(driven("sgd", round_trip, lr=0.01)[-1])) < 1e-6
    assert float(driven("rprop", round_trip, lr=0.01)[-1]) < -1


def test_asgd_keeps_the_mean_of_its_weights() -> None:
    """From the second step after t0 on: that is how torch counts."""
    parameter = nn.Parameter(torch.zeros(3))
    optimizer = OPTIMIZERS["asgd"].build([{"params": [parameter]}], lr=0.1, t0=4.0)
    path = []
    for gradient in heavy_tailed(20, 3):
        parameter.grad = gradient
        optimizer.step()
        path.append(parameter.detach().clone())
    kept = optimizer.state[parameter][str(OPTIMIZERS["asgd"].average)]
    torch.testing.assert_close(kept, torch.stack(path[5:]).mean(dim=0))


def quadratic(name: str, steps: int, **arguments: Any) -> tuple[float, int]:
    """How far from its least value a quadratic of condition 1,000 ends, and the gradients that it took."""
    parameter, taken = nn.Parameter(torch.ones(10)), 0
    optimizer = OPTIMIZERS[name].build([{"params": [parameter]}], **arguments)
    curvatures = torch.logspace(-3, 0, 10)

    def loss() -> Any:
        nonlocal taken
        taken += 1
        optimizer.zero_grad()
        loss = (curvatures * parameter.square()).sum() / 2
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(loss)
    return float((curvatures * parameter.detach().square()).sum() / 2), taken


def test_lbfgs_solves_a_quadratic_that_gradient_descent_does_not() -> None:
    value, taken = quadratic("lbfgs", 3, lr=1.0)
    assert value < 1e-8
    assert taken <= 3 * OPTIMIZERS["lbfgs"].evaluations()
    assert quadratic("sgd", taken, lr=1.0)[0] > 1e-4


@pytest.mark.parametrize("arguments", [{}, {"max_iter": 1}, {"max_iter": 7, "line_search": "none"}])
def test_a_step_of_lbfgs_takes_no_more_gradients_than_it_says(arguments: dict[str, Any]) -> None:
    _, taken = quadratic("lbfgs", 1, lr=1e-3, tolerance_change=0.0, tolerance_grad=0.0, **arguments)
    assert 0 < taken <= OPTIMIZERS["lbfgs"].evaluations(**arguments)


def test_lbfgs_bears_weights_that_lie_channels_last() -> None:
    def ended(layout: torch.memory_format) -> torch.Tensor:
        model = network().to(memory_format=layout)  # type: ignore[call-overload]
        return descend(model, OPTIMIZERS["lbfgs"].build(parameter_groups(model), lr=0.5, max_iter=3), 3)

    expected = ended(torch.contiguous_format)
    torch.testing.assert_close(ended(torch.channels_last), expected, rtol=1e-3, atol=1e-4)


# -- muon


def muon(model: nn.Module, **arguments: Any) -> Optimizer:
    optimizer: Optimizer = OPTIMIZERS["muon"].build(parameter_groups(model), **arguments)
    return optimizer


def with_gradients(model: nn.Module) -> list[torch.Tensor]:
    """The weights, copied; their gradients are drawn."""
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_moves_hidden_matrices_as_torch_s_does(nesterov: bool) -> None:
    ours, other = matrices(), matrices()
    hidden = list(other.parameters())[2]
    first = muon(ours, lr=0.02, nesterov=nesterov, weight_decay=0.1)
    second = torch.optim.Muon([hidden], lr=0.02, nesterov=nesterov, weight_decay=0.1)
    for _ in range(3):
        with_gradients(ours), with_gradients(other)
        first.step(), second.step()
    # Newton and Schulz's steps are in bfloat16, and here and there in another order.
    torch.testing.assert_close(list(ours.parameters())[2], hidden, rtol=0, atol=1e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_makes_a_kernel_s_step_nearly_orthogonal(layout: torch.memory_format) -> None:
    model = network().to(memory_format=layout)  # type: ignore[call-overload]
    before = with_gradients(model)[3]
    muon(model, lr=1.0).step()
    step = (before - list(model.parameters())[3].detach()).flatten(1)
    # The five steps' polynomial takes singular values to within 0.7 and 1.2.
    assert ((torch.linalg.svdvals(step) - 1).abs() < 0.35).all()


def test_muon_leaves_the_first_and_the_last_layer_biases_and_gains_to_adamw() -> None:
    ours, other = network(), network()
    with_gradients(ours), with_gradients(other)
    muon(ours, lr=1.0, adamw_lr=0.01, adamw_weight_decay=0.0).step()
    torch.optim.AdamW(other.parameters(), 0.01, (0.9, 0.95), 1e-10, 0.0).step()
    alike = [
        name
        for (name, mine), theirs in zip(ours.named_parameters(), other.parameters(), strict=True)
        if torch.allclose(mine, theirs, atol=1e-6)
    ]
    assert alike == [name for name, _ in ours.named_parameters() if name != "2.weight"]


def test_muon_refuses_a_model_without_hidden_weights() -> None:
    with pytest.raises(StudyError, match="no hidden weights"):
        muon(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), lr=0.1)


# -- groups, rules, schedules


def test_every_parameter_is_in_one_group() -> None:
    model = network()
    grouped = [id(parameter) for group in parameter_groups(model) for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


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


def test_rprop_s_smallest_step_is_no_larger_than_its_largest() -> None:
    rule = OPTIMIZERS["rprop"].rule
    assert rule({"smallest_step": 0.2, "largest_step": 0.1}) is not None
    assert rule({"smallest_step": 60.0}) is not None
    assert rule({}) is None


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
