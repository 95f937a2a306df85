"""Checks of the losses of the notes: the values printed there, the identities, the limits."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from study.facts.checking import Answer, answer, instead, raised, said

# The notes' own example.
SAMPLE = torch.ones(2, 2)
TARGET = torch.tensor([[0.0, 1.0], [2.0, 3.0]])

ERRORS = torch.linspace(-5, 5, 1001, dtype=torch.float64)


def example_values() -> Answer:
    return answer(
        said("nn.L1Loss", nn.L1Loss()(SAMPLE, TARGET).item(), equals=1.0),
        said("nn.SmoothL1Loss", nn.SmoothL1Loss()(SAMPLE, TARGET).item(), equals=0.625),
        said("nn.MSELoss", nn.MSELoss()(SAMPLE, TARGET).item(), equals=1.5),
    )


def smooth_l1_and_huber() -> Answer:
    """Girshick 2015 (1504.08083), eq. 3, and Huber 1964."""

    def gap(delta: float, factor: float) -> float:
        smooth = smooth_l1(ERRORS, delta)
        return (factor * smooth - huber(ERRORS, delta)).abs().max().item()

    inside = ERRORS.abs() < 1
    half = (smooth_l1(ERRORS, 1.0)[inside] - ERRORS[inside] ** 2 / 2).abs().max().item()
    return answer(
        said("SmoothL1Loss less Huber's loss, beta = delta = 1", gap(1.0, 1.0), at_most=1e-12),
        said("the same for beta = delta = 2", gap(2.0, 1.0), at_most=1e-12),
        instead("delta * SmoothL1Loss less Huber's loss, beta = delta = 2", gap(2.0, 2.0), at_most=1e-12),
        instead("inside (-1, 1): less half the square", half, at_most=1e-12),
        note="only at beta = delta = 1, torch's default; in general Huber = delta * SmoothL1, "
        "and inside it is half the square",
    )


def binary_cross_entropy() -> Answer:
    """Before torch 1.0 each logarithm had 1e-12 added inside, in place of today's bound of -100."""
    y, eps = TARGET.double(), 1e-12
    formerly = -(y * math.log(1 + eps) + (1 - y) * math.log(eps)).mean().item()
    targets = torch.linspace(0, 1, 101)
    least = min(
        functional.binary_cross_entropy(torch.full((101,), p), targets).item() for p in (0.01, 0.5, 0.99)
    )
    today = raised(lambda: nn.BCELoss()(SAMPLE, TARGET))
    return answer(
        said("nn.BCELoss today", today, equals="nothing"),
        said(
            "-mean(y log(p + 1e-12) + (1 - y) log(1 - p + 1e-12)), as it was",
            formerly,
            equals=-13.8155,
            within=1e-4,
        ),
        instead("targets outside [0, 1] raise", today, equals="RuntimeError"),
        instead("least loss over valid targets and three predictions", least, at_least=0.0),
        note=f"the number of an old version: today targets 2 and 3 raise {today}; a cross-entropy of valid "
        "targets is never negative",
    )


def cross_entropy_of_floats() -> Answer:
    """Since torch 1.10 targets of floating point are probabilities of the classes."""
    found = nn.CrossEntropyLoss()(SAMPLE, TARGET).item()
    return answer(
        said("error", raised(lambda: nn.CrossEntropyLoss()(SAMPLE, TARGET)), equals="RuntimeError"),
        instead("the loss", found, equals=3 * math.log(2), within=1e-6),
        instead(
            "sum of the targets of the second example, which are no probabilities",
            TARGET[1].sum().item(),
            equals=5.0,
        ),
        note=f"today floats are taken for class probabilities, unchecked: {found:.4f} = 3 ln 2, a number "
        "without a meaning",
    )


def log_softmax_and_nll() -> Answer:
    logits = 5 * torch.randn(64, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 10
    two = nn.NLLLoss()(nn.LogSoftmax(dim=1)(logits), labels)
    one = nn.CrossEntropyLoss()(logits, labels)
    alone = nn.NLLLoss()(logits, labels)
    return answer(
        said("NLLLoss of LogSoftmax less CrossEntropyLoss", abs(two - one).item(), at_most=1e-12),
        instead("NLLLoss of the logits alone, less CrossEntropyLoss", abs(alone - one).item(), at_least=0.1),
        note="NLLLoss alone takes logarithms for granted and does not check: on logits it may be negative",
    )


def nll_loss_is_a_function() -> Answer:
    no_arguments: object = functional.nll_loss
    assert callable(no_arguments)
    labels = TARGET[:, 0].long() % 2
    return answer(
        said("F.nll_loss()", raised(no_arguments), equals="nothing"),
        said(
            "F.nll_loss(sample, target)",
            raised(lambda: functional.nll_loss(SAMPLE, TARGET)),
            equals="RuntimeError",
        ),
        instead(
            "F.nll_loss(log-probabilities, labels)",
            raised(lambda: functional.nll_loss(SAMPLE, labels)),
            equals="nothing",
        ),
        note="nn.NLLLoss() makes a criterion; F.nll_loss is the function itself and takes labels (n,)",
    )


def sums_and_means() -> Answer:
    """The formula printed beside the words divides by n; the code does not."""
    true, predicted = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 1.0])
    squares, absolutes = np.sum((true - predicted) ** 2), np.sum(np.abs(true - predicted))
    error = torch.tensor(true - predicted)
    mse, mae = (error**2).mean().item(), error.abs().mean().item()
    return answer(
        said("sum of the squares, over the MSE of 3 examples", float(squares) / mse, equals=1.0),
        said("sum of the absolute errors, over the MAE", float(absolutes) / mae, equals=1.0),
        instead("the first over n", float(squares) / 3 / mse, equals=1.0, within=1e-12),
        note="means, as the formula on the same line has it; sums grow with n, and with them the gradient",
    )


def huber_limits() -> Answer:
    small, large = 1e-6, 1e6
    at_zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    huber(at_zero, 1.0).sum().backward()
    assert at_zero.grad is not None
    to_mae = (huber(ERRORS, small) / small - ERRORS.abs()).abs().max().item()
    to_mse = (huber(ERRORS, large) - ERRORS**2 / 2).abs().max().item()
    return answer(
        said(
            "Huber at delta = 1e-6, less |e|, on [-5, 5]",
            (huber(ERRORS, small) - ERRORS.abs()).abs().max().item(),
            at_most=1e-3,
        ),
        said(
            "Huber at delta = 1e6, less e^2",
            (huber(ERRORS, large) - ERRORS**2).abs().max().item(),
            at_most=1e-3,
        ),
        said("slope at 0", at_zero.grad.item(), equals=0.0),
        instead("Huber / delta less |e|, delta = 1e-6", to_mae, at_most=1e-5),
        instead("Huber less e^2 / 2, delta = 1e6", to_mse, at_most=1e-9),
        note="Huber / delta goes to |e| (Huber itself to 0), and Huber to e^2 / 2",
    )


def huber_regions() -> Answer:
    delta = 1.5
    leaf = ERRORS.clone().requires_grad_()
    huber(leaf, delta).sum().backward()
    assert leaf.grad is not None
    outside = ERRORS.abs() > delta
    return answer(
        said(
            "|slope| beyond delta, over delta, at most",
            (leaf.grad[outside].abs() / delta).max().item(),
            at_most=1 + 1e-12,
        ),
        said(
            "slope inside less the error itself",
            (leaf.grad - ERRORS)[~outside].abs().max().item(),
            at_most=1e-12,
        ),
    )


def log_cosh_limits() -> Answer:
    x = torch.tensor([1e-3, 20.0], dtype=torch.float64)
    small, large = log_cosh(x).tolist()
    near = torch.tensor([1 - 1e-6, 1 + 1e-6], dtype=torch.float64)
    return answer(
        said("log cosh(0.001) over 0.001^2 / 2", small / (1e-6 / 2), equals=1.0, within=1e-6),
        said("log cosh(20) less (20 - log 2)", large - (20 - math.log(2)), equals=0.0, within=1e-12),
        said("jump of log-cosh's second derivative at 1", jump(log_cosh, near), at_most=1e-5),
        said(
            "jump of Huber's second derivative at delta = 1",
            jump(lambda e: huber(e, 1.0), near),
            at_least=0.5,
        ),
    )


def log_cosh_far_off() -> Answer:
    """What XGBoost's split search divides by is the sum of Hessians, sech^2 of the error."""
    far = torch.tensor([20.0, 40.0], dtype=torch.float64)
    gradients, hessians = derivatives(log_cosh, far)
    return answer(
        said("gradients at 20 and 40, their difference", abs(gradients[1] - gradients[0]), at_most=1e-12),
        said("Hessians at 20 and 40, their difference", abs(hessians[1] - hessians[0]), at_most=1e-12),
        instead("gradient at 40", gradients[1], equals=1.0, within=1e-12),
        instead("Hessian at 40", hessians[1], at_most=1e-12),
        note="the gradient goes to 1 and the Hessian to 0: splits fail for the 0, which XGBoost divides by "
        "and holds against min_child_weight",
    )


def numpy_code() -> Answer:
    true, predicted = np.zeros(1001), np.linspace(-5, 5, 1001)
    delta = 1.5
    inside = 0.5 * (true - predicted) ** 2
    outside = delta * np.abs(true - predicted) - 0.5 * delta**2
    code = np.where(np.abs(true - predicted) < delta, inside, outside)
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        far = float(np.log(np.cosh(np.float64(711.0))))
        near = np.log(np.cosh(predicted))
    stable = log_cosh(torch.tensor([711.0], dtype=torch.float64)).item()
    return answer(
        said(
            "the Huber code less torch's loss",
            float(np.abs(code - huber(ERRORS, delta).numpy()).max()),
            at_most=1e-12,
        ),
        said(
            "the log-cosh code less the stable form, on [-5, 5]",
            float(np.abs(near - log_cosh(ERRORS).numpy()).max()),
            at_most=1e-12,
        ),
        said("log(cosh(711)) as coded", far, equals=711 - math.log(2), within=1e-9),
        instead("|x| + log(1 + exp(-2|x|)) - log 2 at 711", stable, equals=711 - math.log(2), within=1e-9),
        note="log(cosh(x)) overflows to inf above 710 in float64 (above 89 in float32); "
        "|x| + log1p(exp(-2|x|)) - log 2 does not",
    )


def quantile_at_half() -> Answer:
    """Koenker & Bassett 1978."""
    half = pinball(ERRORS, 0.5)
    return answer(
        said("quantile loss at 0.5, over |e|", (half.sum() / ERRORS.abs().sum()).item(), equals=1.0),
        said("where it is least", ERRORS[half.argmin()].item(), equals=0.0, within=1e-9),
        instead("the first, exactly", (half.sum() / ERRORS.abs().sum()).item(), equals=0.5, within=1e-12),
        note="half the MAE: the same minimum, half the gradient",
    )


def quantile_weights() -> Answer:
    """y = 1..1000: the constant with the least quantile loss at 0.25."""
    over, under = (pinball(torch.tensor([e], dtype=torch.float64), 0.25).item() for e in (-1.0, 1.0))
    y = torch.arange(1, 1001, dtype=torch.float64)
    best = y[torch.stack([pinball(y - p, 0.25).mean() for p in y]).argmin()].item()
    return answer(
        said("loss of an overestimate by 1, over that of an underestimate", over / under, at_least=1.0),
        said("the best constant on 1, ..., 1000, less the median", best - y.median().item(), at_most=-1.0),
        instead("the weights of the two", over + 10 * under, equals=0.75 + 10 * 0.25, within=1e-12),
        instead("the best constant", best, equals=250.0, within=1.0),
        note="0.75 over and 0.25 under: it aims at the lower quartile",
    )


def huber(errors: Tensor, delta: float) -> Tensor:
    return functional.huber_loss(errors, torch.zeros_like(errors), reduction="none", delta=delta)


def smooth_l1(errors: Tensor, beta: float) -> Tensor:
    return functional.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none", beta=beta)


def log_cosh(errors: Tensor) -> Tensor:
    """log(cosh(e)), in a form that does not overflow."""
    return errors.abs() + torch.log1p(torch.exp(-2 * errors.abs())) - math.log(2)


def pinball(errors: Tensor, gamma: float) -> Tensor:
    """``errors`` are y - prediction: above 0 where the prediction is too low."""
    return torch.maximum(gamma * errors, (gamma - 1) * errors)


def derivatives(loss: Callable[[Tensor], Tensor], at: Tensor) -> tuple[list[float], list[float]]:
    """The first and second derivatives of an elementwise loss."""
    leaf = at.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(leaf).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), leaf)
    return first.tolist(), second.tolist()


def jump(loss: Callable[[Tensor], Tensor], around: Tensor) -> float:
    """How far the second derivative moves from just before to just after a place."""
    _, (before, after) = derivatives(loss, around)
    return abs(after - before)
