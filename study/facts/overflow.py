"""Checks of what the notes say of exp, NaN and the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.facts.checking import Answer, answer, instead, said

PRECISIONS = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


def exp_overflow() -> Answer:
    """Whether exp(100) overflows, and whether a cross-entropy that is in use does."""
    overflow = {name: exp_of(100, kind) for name, kind in PRECISIONS.items()}
    limit = {name: math.log(torch.finfo(kind).max) for name, kind in PRECISIONS.items()}
    large = torch.tensor([[100.0, 0, 0]])
    huge = 10 * large
    target = torch.tensor([1])
    return answer(
        *(said(f"exp(100) in {name}", found, equals=math.inf) for name, found in overflow.items()),
        said("exp(z) / sum exp(z) of a logit of 100, in float32", naive(large, target), equals=math.inf),
        said(
            "the cross-entropy of a logit of 100, in float32", cross_entropy(large, target), equals=math.inf
        ),
        said("share of NaN among its gradients", share_of_nan(large, target), equals=1.0),
        instead(
            "the cross-entropy of a logit of 1,000, in float32", cross_entropy(huge, target), equals=1000.0
        ),
        note=f"exp overflows above {limit['float32']:.2f} in float32, {limit['bfloat16']:.2f} in bfloat16, "
        f"{limit['float16']:.2f} in float16 and {limit['float64']:.1f} in float64; a cross-entropy on logits "
        "subtracts the largest one and never does, so a loss that is Inf has weights that grew",
    )


def exp_of(x: float, kind: torch.dtype) -> float:
    return torch.tensor(x, dtype=kind).exp().item()


def naive(logits: Tensor, target: Tensor) -> float:
    """-log(exp(z_t) / sum exp(z)) as one would write it down; NaN, where Inf is divided by Inf, as Inf."""
    share = logits.exp() / logits.exp().sum()
    loss = -share[0, target].log().item()
    return math.inf if math.isnan(loss) else loss


def cross_entropy(logits: Tensor, target: Tensor) -> float:
    return functional.cross_entropy(logits, target).item()


def share_of_nan(logits: Tensor, target: Tensor) -> float:
    leaf = logits.clone().requires_grad_()
    functional.cross_entropy(leaf, target).backward()
    assert leaf.grad is not None
    return leaf.grad.isnan().float().mean().item()


def nan_stays() -> Answer:
    """One NaN in the first layer, then 20 steps on sound data."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    with torch.no_grad():
        for each in model.parameters():
            each.copy_(torch.randn(each.shape, generator=generator))
        next(model.parameters())[0, 0] = math.nan
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(32, 8, generator=generator), torch.arange(32) % 4
    shares = []
    for _ in range(20):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        weights = torch.cat([each.detach().flatten() for each in model.parameters()])
        shares.append(weights.isnan().float().mean().item())
    guess = model(x).argmax(1)
    return answer(
        said("share of NaN among the weights after one step", shares[0], equals=1.0),
        said("the same after 20 steps on sound data", shares[-1], equals=1.0),
        said("ReLU of NaN", torch.relu(torch.tensor(math.nan)).item(), equals=math.nan),
        instead("class that argmax names where all logits are NaN", guess.float().mean().item(), equals=0.0),
        note="one NaN is enough, ReLU and max pooling hand it on, and the accuracy then reads as the share "
        "of class 0, as if the model guessed",
    )
