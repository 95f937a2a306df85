"""The largest eigenvalue of a Hessian: on quadratics, where it is known, and of a network's loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from study.curvature import largest_eigenvalue
from tests.test_training import numbers, run


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def eigenvalue_of(diagonal: list[float], **options: int) -> float:
    """Of the quadratic with these second derivatives."""
    weights = torch.ones(len(diagonal), requires_grad=True)
    loss = (torch.tensor(diagonal) * weights**2).sum() / 2
    return largest_eigenvalue(loss, [weights], generator(), **options)


def steps_until_stable(lr: float, diagonal: list[float], momentum: float = 0.0) -> bool:
    """Whether gradient descent on the quadratic shrinks its loss."""
    weights = torch.ones(len(diagonal), requires_grad=True)
    optimizer = torch.optim.SGD([weights], lr, momentum)
    losses = []
    for _ in range(2000):
        loss = (torch.tensor(diagonal) * weights**2).sum() / 2
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses[-1] < losses[0]


def test_of_a_quadratic_it_is_the_largest_second_derivative() -> None:
    assert eigenvalue_of([1.0, 2.0, 5.0, 20.0]) == pytest.approx(20.0, rel=1e-4)


def test_it_is_found_where_a_negative_one_is_larger_in_magnitude() -> None:
    assert eigenvalue_of([-30.0, 1.0, 8.0]) == pytest.approx(8.0, rel=1e-3)


def test_a_concave_loss_has_a_negative_one() -> None:
    assert eigenvalue_of([-30.0, -2.0], products=200) == pytest.approx(-2.0, rel=1e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_predicts_the_edge_of_gradient_descent_on_a_quadratic(momentum: float) -> None:
    diagonal = [0.5, 3.0, 10.0]
    edge = 2 * (1 + momentum) / eigenvalue_of(diagonal)
    assert steps_until_stable(0.99 * edge, diagonal, momentum)
    assert not steps_until_stable(1.01 * edge, diagonal, momentum)


def test_of_a_network_twenty_products_come_within_a_tenth() -> None:
    found = [network_eigenvalue(products) for products in (20, 200)]
    assert 0.9 * found[1] < found[0] <= 1.001 * found[1]


def network_eigenvalue(products: int) -> float:
    draw = generator(3)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    inputs, labels = drawn(64, 8), torch.arange(64) % 4
    weights = [(drawn(8, 16) / 2).requires_grad_(), (drawn(16, 4) / 4).requires_grad_()]
    loss = torch.nn.functional.cross_entropy(torch.tanh(inputs @ weights[0]) @ weights[1], labels)
    return largest_eigenvalue(loss, weights, generator(), products)


# -- in a training


def test_a_trial_notes_it_where_the_study_asks() -> None:
    found = run(training__curvature=1).environment["curvature"]
    assert 0.1 < found["largest_eigenvalue"] < 1000
    assert found["examples"] == 100  # all that are evaluated


def test_only_an_arms_first_trials_measure_it() -> None:
    assert "curvature" not in run().environment


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "bn"])
def test_measuring_does_not_change_the_training(batch_norm: bool) -> None:
    measured, unmeasured = (
        run(model__batch_norm=batch_norm, model__dropout=True, training__curvature=trials)
        for trials in (1, 0)
    )
    assert numbers(measured) == numbers(unmeasured)
