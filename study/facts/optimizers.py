"""Checks of what the notes say of torch's optimizers: their steps, bounds and memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from study.components.activations import nonlinearity
from study.components.models import MODELS
from study.facts.checking import Answer, answer, instead, raised, said

Build = Callable[[list[Tensor]], Optimizer]

LR = 0.01
# What Adam's step can reach (Kingma & Ba 2015, section 2.1): lr (1 - beta1) / sqrt(1 - beta2).
ADAM_BOUND = (1 - 0.9) / math.sqrt(1 - 0.999)
# A gradient that comes out of nowhere, which is Adam's worst case, and gradients of every size.
SUDDEN = [0.0] * 3000 + [1.0]
WILD = [float(10 ** (3 * x)) * (-1) ** i for i, x in enumerate(np.random.default_rng(0).normal(size=500))]


def steps(build: Build, gradients: list[float]) -> list[float]:
    """How far one weight moves in each step under the given gradients."""
    weight = torch.tensor([0.0], dtype=torch.float64)
    optimizer = build([weight])
    moved = []
    for gradient in gradients:
        before = weight.item()
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        moved.append(weight.item() - before)
    return moved


def largest_step(build: Build) -> float:
    """The largest step in units of the learning rate, under gradients that are hard on it."""
    return max(abs(step) for gradients in (SUDDEN, WILD) for step in steps(build, gradients)) / LR


@cache
def adam_largest() -> float:
    return largest_step(lambda weights: torch.optim.Adam(weights, lr=LR))


def adagrad_decay() -> Answer:
    """Duchi, Hazan & Singer 2011: with constant gradients step t is lr / sqrt(t)."""
    moved = steps(lambda weights: torch.optim.Adagrad(weights, lr=LR), [1.0] * 1_000)
    farther = sum(moved) / sum(moved[:100])
    growing = np.diff(np.abs(moved)).max()
    return answer(
        said("step 1,000 over step 1 under constant gradients", moved[-1] / moved[0], at_most=0.1),
        said("largest change of a step's size from one to the next", float(growing), at_most=0.0),
        instead(
            "step 1,000 times sqrt(1,000), over lr",
            -moved[-1] * math.sqrt(1000) / LR,
            equals=1.0,
            within=1e-6,
        ),
        said("distance after 1,000 steps over that after 100, if training ended", farther, at_most=1.1),
        instead("the same, if it grows as sqrt(t)", farther, equals=math.sqrt(10), within=0.3),
        note="it falls as 1 / sqrt(t): the steps add up without bound, so training slows, but never ends",
    )


def adadelta_rate() -> Answer:
    """Zeiler 2012 (1212.5701), algorithm 1, has no learning rate; torch multiplies by one."""
    gradients = WILD[:200]
    one, tenth = (
        steps(lambda weights, lr=lr: torch.optim.Adadelta(weights, lr=lr), gradients)  # type: ignore[misc]
        for lr in (1.0, 0.1)
    )
    gap = max(abs(a - b) for a, b in zip(one, zeiler(gradients), strict=True))
    return answer(
        said("torch's steps at lr = 1 less the published ones, which have no rate", gap, at_most=1e-12),
        said("torch's steps at lr = 1 over those at 0.1", sum(one) / sum(tenth), equals=1.0, within=0.01),
        instead("the same", sum(one) / sum(tenth), equals=10.0, within=1e-6),
        note="as published; torch's steps are proportional to lr, whose default is 1",
    )


def zeiler(gradients: list[float], rho: float = 0.9, eps: float = 1e-6) -> list[float]:
    squares = deltas = 0.0
    moved = []
    for gradient in gradients:
        squares = rho * squares + (1 - rho) * gradient**2
        step = -math.sqrt(deltas + eps) / math.sqrt(squares + eps) * gradient
        deltas = rho * deltas + (1 - rho) * step**2
        moved.append(step)
    return moved


def rmsprop_decay() -> Answer:
    ones = [1.0] * 1000
    rmsprop = steps(lambda weights: torch.optim.RMSprop(weights, lr=LR), ones)
    adagrad = steps(lambda weights: torch.optim.Adagrad(weights, lr=LR), ones)
    return answer(
        said(
            "RMSprop: step 1,000 over step 500 under constant gradients",
            rmsprop[-1] / rmsprop[499],
            at_least=0.99,
        ),
        said("Adagrad: the same", adagrad[-1] / adagrad[499], at_most=0.75),
    )


def adam_bound() -> Answer:
    found = adam_largest()
    usual = max(map(abs, steps(lambda weights: torch.optim.Adam(weights, lr=LR), [1.0] * 1000))) / LR
    return answer(
        said("largest step over lr", found, at_most=ADAM_BOUND),
        instead("the same", found, at_least=0.95 * ADAM_BOUND),
        instead("under constant gradients", usual, at_most=1.0),
        note=f"at the default betas up to {ADAM_BOUND:.2f} lr, after a gradient that comes out of nowhere; "
        "about lr otherwise",
    )


def adam_rescaling() -> Answer:
    gradients = list(np.random.default_rng(0).normal(size=100))

    def change(size: float, eps: float) -> float:
        """The largest relative change of a step where all gradients are 1,024 times as large."""
        one, other = (
            steps(lambda weights: torch.optim.Adam(weights, lr=LR, eps=eps), [scale * g for g in gradients])
            for scale in (size, 1024 * size)
        )
        return max(abs(b / a - 1) for a, b in zip(one, other, strict=True))

    return answer(
        said("gradients of about 1: largest change of a step", change(1.0, 1e-8), at_most=1e-5),
        said("gradients of about 1e-8", change(1e-8, 1e-8), at_most=1e-5),
        instead("gradients of about 1e-8, eps = 0", change(1e-8, 0.0), at_most=1e-9),
        note="exactly so for eps = 0 alone: gradients of eps's size or below make smaller steps",
    )


def adam_memory() -> Answer:
    """How little is little is not said; what is kept can be counted."""
    adam, momentum, plain = (
        kept(build)
        for build in (
            torch.optim.Adam,
            lambda weights: torch.optim.SGD(weights, lr=LR, momentum=0.9),
            lambda weights: torch.optim.SGD(weights, lr=LR),
        )
    )
    return answer(
        instead("numbers that Adam keeps for each weight", adam, equals=2.0),
        instead("SGD with momentum", momentum, equals=1.0),
        instead("SGD", plain, equals=0.0),
        note=f"how little is little is not said: Adam keeps {adam:.0f} numbers for each weight, SGD "
        f"{plain:.0f}, with momentum {momentum:.0f}",
    )


def kept(build: Build) -> float:
    """How many numbers an optimizer keeps for each weight after a step."""
    weight = torch.zeros(1000)
    weight.grad = torch.ones(1000)
    optimizer = build([weight])
    optimizer.step()
    return (
        sum(float(each.numel()) for each in optimizer.state[weight].values() if shaped(each, weight)) / 1000
    )


def shaped(value: object, weight: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == weight.shape


def adamax_bound() -> Answer:
    """Kingma & Ba 2015, section 7.1: |step| <= lr. Not quite: under gradients that fall like beta2^t the
    maximum falls as fast, the mean remembers, and a step is up to (1 - beta1) / (1 - beta1/beta2) lr."""
    adamax = largest_step(lambda weights: torch.optim.Adamax(weights, lr=LR))
    adam = adam_largest()
    return answer(
        said("Adamax: largest step over lr", adamax, at_most=1.0 + 1e-9),
        said("Adam: the same, under the same gradients", adam, at_least=1.1),
        instead("under gradients 0.999^t", adamax_falling(), equals=0.1 / (1 - 0.9 / 0.999), within=1e-4),
        note="lr itself, but for a hundredth where gradients fall as fast as its memory of the largest one",
    )


def adamax_falling() -> float:
    """The last of 500 steps over lr, under gradients that fall like beta2^t."""
    weight = torch.tensor([0.0], dtype=torch.float64)
    optimizer, before = torch.optim.Adamax([weight], lr=LR), 0.0
    for step in range(500):
        before = float(weight)
        weight.grad = torch.tensor([0.999**step], dtype=torch.float64)
        optimizer.step()
    return abs(float(weight) - before) / LR


def asgd_average() -> Answer:
    """Polyak & Juditsky 1992: the answer is the average of the iterates."""
    late, early = averaged(1e6), averaged(1.0)
    return answer(
        said("numbers kept for each weight", kept(torch.optim.ASGD), equals=1.0),
        said("t0 by default", torch.optim.ASGD([torch.zeros(1)]).defaults["t0"], equals=1e6),
        instead("t0 = 1e6: the weights less their average after 20 steps", late, equals=0.0),
        instead("t0 = 1: the same", early, at_least=1e-6),
        note="torch never puts the average into the weights, where one would evaluate it; and with t0 = 1e6 "
        "there is none before a million steps",
    )


def averaged(t0: float) -> float:
    """How far the weight is from its average after 20 steps back and forth."""
    weight = torch.tensor([0.0], dtype=torch.float64)
    optimizer = torch.optim.ASGD([weight], lr=0.1, t0=t0)
    for gradient in [1.0, -0.5] * 10:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return float((weight - optimizer.state[weight]["ax"]).abs())


def sparse_adam() -> Answer:
    weight = torch.zeros(3)
    weight.grad = torch.ones(3)
    optimizer = torch.optim.SparseAdam([weight])
    return answer(
        said("a step on a dense gradient", raised(optimizer.step), equals="RuntimeError"),
        said("its learning rate by default", optimizer.defaults["lr"], equals=2e-3),
        instead("the same", optimizer.defaults["lr"], equals=1e-3),
        note="for sparse gradients alone; lr is 1e-3, as in the signature six lines above",
    )


def lbfgs_memory() -> Answer:
    """For ALL-CNN-C: pairs of vectors (Nocedal 1980) against a square matrix, in float32."""
    model = MODELS["all_cnn_c"].build((32, 32, 3), 10, nonlinearity("relu"), torch.Generator().manual_seed(0))
    size = sum(each.numel() for each in model.parameters())
    history = torch.optim.LBFGS([torch.zeros(1)]).defaults["history_size"]
    pairs, matrix = 4 * 2 * history * size, 4 * size**2
    return answer(
        said("bytes of the history over those of BFGS's matrix", pairs / matrix, at_most=0.01),
        said("pairs that torch keeps after 6 steps, history_size 3", kept_pairs(), equals=3.0),
        instead("bytes of the history over those of the weights", pairs / (4 * size), at_least=100.0),
        note=f"{pairs / 1e9:.1f} GB against {matrix / 1e12:.1f} TB for ALL-CNN-C ({size:,} weights, history "
        f"{history}); still {2 * history} times the weights",
    )


def kept_pairs() -> float:
    weight = torch.tensor([3.0, -2.0, 1.0, 0.5], requires_grad=True)
    scale = torch.tensor([1.0, 3.0, 10.0, 30.0])
    optimizer = torch.optim.LBFGS([weight], lr=0.1, max_iter=1, history_size=3)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (scale * weight**2).sum() + (weight**4).sum()
        loss.backward()
        return loss.item()

    for _ in range(6):
        optimizer.step(closure)
    return float(len(optimizer.state[weight]["old_dirs"]))


def rprop_on_batches() -> Answer:
    """Hinton's example: nine mini-batches with a gradient of 0.1 and one of -0.9, whose mean is 0."""
    batches = [0.1] * 9 + [-0.9]
    mean = round(math.fsum(batches), 12)
    full = steps(rprop, [mean] * 10)
    mini = steps(rprop, batches)
    sgd = steps(lambda weights: torch.optim.SGD(weights, lr=LR), batches)
    return answer(
        said("full batch: distance after ten steps, over lr", abs(sum(full)) / LR, equals=0.0),
        said("mini-batches: the same", abs(sum(mini)) / LR, at_least=5.0),
        instead("SGD on the mini-batches: the same", abs(sum(sgd)) / LR, at_most=1e-9),
        note=f"the signs alone drive the weight {abs(sum(mini)) / LR:.0f} lr from a minimum, where SGD stays",
    )


def rprop(weights: list[Tensor]) -> Optimizer:
    return torch.optim.Rprop(weights, lr=LR)


def rprop_factors() -> Answer:
    """Riedmiller & Braun 1993."""
    shrinks, grows = torch.optim.Rprop([torch.zeros(1)]).defaults["etas"]
    same, other = steps(rprop, [1.0, 1.0]), steps(rprop, [1.0, -1.0, -1.0])
    return answer(
        said("first factor by default", shrinks, equals=0.5),
        said("second factor by default", grows, equals=1.2),
        said("the first is that of increase", shrinks, at_least=1.0),
        instead("step 2 over step 1 where the sign stays", same[1] / same[0], equals=1.2, within=1e-9),
        instead(
            "step size after the sign changed, over step 1", abs(other[2] / other[0]), equals=0.5, within=1e-9
        ),
        note="the other way round: 0.5 shrinks the step where the sign changes, 1.2 grows it where it stays",
    )


def adagrad_constant() -> Answer:
    defaults = torch.optim.Adagrad([torch.zeros(1)]).defaults
    eps = defaults["eps"]
    return answer(
        said("eps by default", eps, equals=1e-7),
        said("accumulated squares at the start", float(defaults["initial_accumulator_value"]), equals=0.0),
        instead("eps by default", eps, at_most=1e-9),
        note=f"torch's is {eps:g}",
    )
