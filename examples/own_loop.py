"""A whole training loop of one's own in a study: it is given a trial, and returns what came of it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import get_total_norm

import study

if TYPE_CHECKING:
    from study.components.datasets import LoadedData
    from study.trial import Row

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "elu": nn.ELU}
VALIDATION = 200


def train(config: study.TrialConfig, data: LoadedData, report: Callable[[Row], None]) -> study.TrialResult:
    """All randomness comes from the config's seeds, which the arms share: so they are compared in pairs.
    The test split is looked at in the confirm phase alone."""
    began, values = time.monotonic(), config.hyperparameters
    images, labels = pictures(data.train_inputs, data.train_targets)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(config.split_seed))
    held, rest = order[:VALIDATION], order[VALIDATION:]
    torch.manual_seed(config.seed)
    activation = ACTIVATIONS[str(values["activation.name"])]
    model = nn.Sequential(nn.Linear(64, 64), activation(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=float(values["optimizer.lr"]), momentum=0.9)
    monitor = study.Monitor(scale=math.log(10))
    curve: list[Row] = []
    for epoch in range(1, int(values["training.epochs"]) + 1):
        for batch in rest[torch.randperm(len(rest))].split(32):
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            norm = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
            if verdict := monitor.step(loss, norm):
                return study.TrialResult(config, verdict, seconds=time.monotonic() - began)
            optimizer.step()
            optimizer.zero_grad()
        row: Row = {"epoch": epoch, "step": monitor.steps, "seconds": time.monotonic() - began}
        curve.append({**row, "val_accuracy": accuracy(model, images[held], labels[held])})
        report(curve[-1])
    metrics = {"val_accuracy": float(curve[-1]["val_accuracy"] or 0)}
    if config.phase == "confirm":
        metrics["test_accuracy"] = accuracy(model, *pictures(data.test_inputs, data.test_targets))
    spent = time.monotonic() - began
    return study.TrialResult(config, study.Verdict("ok"), metrics=metrics, seconds=spent)


def pictures(inputs: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
    """(n, 64) in [0, 1], and labels."""
    return torch.tensor(inputs / 255, dtype=torch.float32).flatten(1), torch.tensor(targets)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def main(out: str) -> study.Record:
    return study.run(Path(__file__).with_name("digits.toml"), out=out, train=train)


if __name__ == "__main__":
    print(main(*sys.argv[1:] or ["runs"]))
