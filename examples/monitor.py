"""The divergence monitor alone, in a loop that knows nothing of studies: three lines, marked below."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils import get_total_norm

from study.divergence import Monitor  # 1


def train(lr: float, steps: int = 200) -> str:
    """Train a small network on two rings of points; how that ended."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(256, 2, generator=generator)
    labels = (points.norm(dim=1) > 1).long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.ELU(), nn.Linear(32, 32), nn.ELU(), nn.Linear(32, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)

    monitor = Monitor(scale=math.log(2))  # 2: the loss of the best constant predictor, here of two classes
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(points), labels)
        loss.backward()
        gradients = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        if verdict := monitor.step(loss, gradients):  # 3
            return f"{verdict}: {verdict.reason}"
        optimizer.step()
        optimizer.zero_grad()
    return f"ok: loss {loss.item():.3f}"


if __name__ == "__main__":
    for lr in (0.1, 100.0):
        print(f"lr {lr:g}  {train(lr)}")
