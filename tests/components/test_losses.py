"""Losses against their definitions: minimisers, limits, stable forms, and what a constant can do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn import functional

from study.components.losses import LOSSES, deviation, rising_levels, smoothed_entropy

REGRESSION = [name for name, each in LOSSES.items() if each.task == "regression"]
# Of the notes, L541: nine in ten targets are 150, one in ten lies between 0 and 30.
OUTLIERS = torch.tensor([150.0] * 90 + [3.0 * i for i in range(10)], dtype=torch.float64)
SKEWED = torch.tensor(np.random.default_rng(0).lognormal(0, 1, 501))


def at(name: str, constant: float, targets: Tensor, **arguments: Any) -> Tensor:
    """Each target's loss if the answer is ``constant``."""
    outputs = targets.new_full((len(targets), 1), constant)
    return LOSSES[name].build(targets, **arguments)(outputs, targets)


def of(name: str, residual: float, **arguments: Any) -> float:
    return at(name, 0.0, torch.tensor([residual], dtype=torch.float64), **arguments).item()


def minimiser(name: str, targets: Tensor, **arguments: Any) -> float:
    """By the sign of the derivative of the mean loss."""

    def slope(constant: float) -> float:
        outputs = targets.new_full((len(targets), 1), constant).requires_grad_()
        LOSSES[name].build(targets, **arguments)(outputs, targets).mean().backward()
        assert outputs.grad is not None
        return outputs.grad.sum().item()

    return float(brentq(slope, targets.min().item() - 1, targets.max().item() + 1))


# -- minimisers


@pytest.mark.parametrize("targets", [OUTLIERS, SKEWED], ids=["outliers", "skewed"])
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("mse", {}, torch.Tensor.mean),
        ("mae", {}, torch.Tensor.median),
        ("quantile", {"gamma": 0.5}, torch.Tensor.median),
        ("quantile", {"gamma": 0.9}, lambda y: y.quantile(0.9)),
        ("quantile", {"gamma": 0.3}, lambda y: y.quantile(0.3)),
    ],
)
def test_a_loss_is_least_where_theory_says(
    name: str, arguments: dict[str, float], expected: Callable[[Tensor], Tensor], targets: Tensor
) -> None:
    assert minimiser(name, targets, **arguments) == pytest.approx(expected(targets).item(), rel=0.01)


@pytest.mark.parametrize(("delta", "expected"), [(1.0, 149.8889), (30.0, 146.6667), (100.0, 138.8889)])
def test_huber_is_least_between_median_and_mean(delta: float, expected: float) -> None:
    """Where every outlier is past delta: 90 (150 - m) = 10 delta."""
    assert minimiser("huber", OUTLIERS, delta=delta) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("delta", [0.3, 1.345, 5.0])
def test_huber_solves_its_estimating_equation(delta: float) -> None:
    found = minimiser("huber", SKEWED, delta=delta)
    assert (SKEWED - found).clamp(-delta, delta).mean().item() == pytest.approx(0, abs=1e-9)


def test_log_cosh_solves_its_estimating_equation() -> None:
    found = minimiser("log_cosh", SKEWED, scale=0.5)
    assert ((SKEWED - found) / 0.5).tanh().mean().item() == pytest.approx(0, abs=1e-9)


# -- values, limits and identities


def test_the_values_of_the_notes() -> None:
    """L351-L405: residuals -1, 0, 1 and 2, of which L1 is 1, SmoothL1 0.625 and MSE 1.5."""
    residuals = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    values = [at(name, 0.0, residuals).mean().item() for name in ("mae", "smooth_l1", "mse")]
    assert values == pytest.approx([1.0, 0.625, 1.5])


@pytest.mark.parametrize("residual", [-7.0, -0.3, 0.0, 1.0, 2.5])
def test_huber_goes_to_both_ends(residual: float) -> None:
    assert of("huber", residual, delta=1e4) == pytest.approx(residual**2 / 2)
    assert of("huber", residual, delta=1e-6, normalise=True) == pytest.approx(abs(residual), abs=1e-6)
    assert of("smooth_l1", residual, beta=0.7) == pytest.approx(of("huber", residual, delta=0.7) / 0.7)


def test_a_normalised_huber_s_gradient_does_not_grow_with_delta() -> None:
    for delta in (0.1, 1.0, 10.0):
        output = torch.zeros(1, 1, requires_grad=True)
        target = torch.tensor([1e3])
        LOSSES["huber"].build(target, delta=delta, normalise=True)(output, target).sum().backward()
        assert output.grad is not None
        assert output.grad.item() == pytest.approx(-1.0)


def test_log_cosh_is_what_it_says_where_cosh_can_be_computed() -> None:
    for residual in (-3.0, 0.0, 1e-4, 0.7, 20.0):
        assert of("log_cosh", residual, scale=2.0) == pytest.approx(2 * math.log(math.cosh(residual / 2)))


def test_log_cosh_is_finite_where_cosh_overflows() -> None:
    assert of("log_cosh", 1e5) == pytest.approx(1e5 - math.log(2))


def test_a_low_quantile_punishes_answers_that_are_too_high() -> None:
    """L618: at 0.25 an answer too high by 1 costs 0.75, too low by 1 costs 0.25."""
    assert (of("quantile", -1.0, gamma=0.25), of("quantile", 1.0, gamma=0.25)) == (0.75, 0.25)


def test_the_half_quantile_s_loss_is_half_the_absolute_error() -> None:
    assert of("quantile", 3.0) == of("mae", 3.0) / 2


def test_several_quantiles_are_the_mean_of_each() -> None:
    outputs, targets = torch.tensor([[1.0, 2.0], [0.0, 5.0]]), torch.tensor([1.5, -1.0])
    found = LOSSES["quantiles"].build(targets, levels="0.1-0.9")(outputs, targets)
    each = [
        LOSSES["quantile"].build(targets, gamma=level)(outputs[:, [column]], targets)
        for column, level in enumerate((0.1, 0.9))
    ]
    torch.testing.assert_close(found, (each[0] + each[1]) / 2)


@pytest.mark.parametrize(
    "levels", ["0.9-0.1", "0.5-0.5", "0.0-0.5", "0.5", "0.1-1.5", "0.1 0.9", "1e-3-0.9", ""]
)
def test_levels_rise_between_0_and_1(levels: str) -> None:
    with pytest.raises(ValueError, match="must be levels between 0 and 1 that rise"):
        rising_levels(levels)


def test_nll_is_cross_entropy() -> None:
    logits, labels = torch.randn(20, 5), torch.arange(20) % 5
    one, other = (LOSSES[name].build(labels)(logits, labels) for name in ("nll", "cross_entropy"))
    torch.testing.assert_close(one, other)


def test_label_smoothing_mixes_in_equal_shares() -> None:
    logits, labels = torch.randn(20, 5), torch.arange(20) % 5
    target = 0.9 * functional.one_hot(labels, 5) + 0.1 / 5
    found = LOSSES["cross_entropy"].build(labels, label_smoothing=0.1)(logits, labels)
    torch.testing.assert_close(found, -(target * logits.log_softmax(1)).sum(1))


def test_a_threshold_can_be_given_in_deviations_of_the_targets() -> None:
    mad = deviation(SKEWED)
    assert mad == pytest.approx(1.4826 * (SKEWED - SKEWED.median()).abs().median().item())
    torch.testing.assert_close(
        at("huber", 1.0, SKEWED, delta=1.5, unit="mad"), at("huber", 1.0, SKEWED, delta=1.5 * mad)
    )


def test_the_deviation_of_normal_targets_is_their_standard_deviation() -> None:
    assert deviation(np.random.default_rng(0).normal(5, 3, 100_000)) == pytest.approx(3, rel=0.02)


# -- the best constant


ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "huber": [{"delta": 0.5}, {"delta": 3.0, "normalise": True}, {"delta": 1.0, "unit": "mad"}],
    "log_cosh": [{"scale": 0.5}],
    "quantile": [{"gamma": 0.1}, {"gamma": 0.9}],
    "quantiles": [],
}


@pytest.mark.parametrize(
    ("name", "arguments"), [(name, each) for name in REGRESSION for each in ARGUMENTS.get(name, [{}])]
)
def test_no_constant_is_better_than_the_best(name: str, arguments: dict[str, Any]) -> None:
    best = LOSSES[name].best_constant(SKEWED, **arguments)
    tried = [at(name, constant, SKEWED, **arguments).mean().item() for constant in np.linspace(0, 20, 2001)]
    assert min(tried) == pytest.approx(best, rel=1e-4)
    assert min(tried) > best - 1e-9


def test_the_best_constants_of_several_quantiles_are_each_one_s() -> None:
    both = [LOSSES["quantile"].best_constant(SKEWED, gamma=gamma) for gamma in (0.1, 0.9)]
    assert LOSSES["quantiles"].best_constant(SKEWED, levels="0.1-0.9") == pytest.approx(np.mean(both))


def test_no_constant_is_better_than_the_smoothed_entropy() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2])
    shares = 0.8 * torch.tensor([0.6, 0.2, 0.2]) + 0.2 / 3
    loss = LOSSES["cross_entropy"].build(labels, label_smoothing=0.2)
    found = loss(shares.log().expand(5, 3), labels).mean().item()
    assert found == pytest.approx(smoothed_entropy(labels, label_smoothing=0.2))
