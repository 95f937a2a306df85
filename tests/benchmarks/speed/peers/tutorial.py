"""Ray Tune the way of its own PyTorch tutorial, "How to use Tune with PyTorch" (docs.ray.io, Tune examples,
tune-pytorch-cifar): a process, the data and two DataLoaders a trial, a checkpoint an epoch.

Where it differs, it is to its advantage: each trial asks one CPU, so that as many run at once as elsewhere;
its loaders have as many workers as there are cores, where the tutorial's have 8 on any machine; its pictures
are read from an array, not decoded. Early stopping is left out: all contestants train every epoch. The
transforms are torchvision's ToTensor and Normalize, written with torch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ray import tune
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.speed.peers.training import MEAN, STD, all_cnn, laid_out
from tests.benchmarks.speed.peers.workload import (
    BATCH,
    MOMENTUM,
    WEIGHT_DECAY,
    Pictures,
    Trained,
    Workload,
    clock,
    main,
    pictures,
)

TUTORIAL_WORKERS = 8


class Transformed(Dataset[tuple[Tensor, int]]):
    """One picture at a time."""

    def __init__(self, part: Pictures) -> None:
        self.part = part
        self.mean, self.std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.part.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        # ToTensor's contiguous() is what makes batches NCHW.
        image = torch.from_numpy(self.part.images[index]).permute(2, 0, 1).contiguous().float().div(255)
        return image.sub_(self.mean).div_(self.std), int(self.part.labels[index])


def train_cifar(config: dict[str, Any], workload: Workload) -> None:
    layout = laid_out(workload)
    began = clock()
    net = all_cnn(workload.width).to(memory_format=layout)  # type: ignore[call-overload]
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=config["lr"], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    trainset, valset, _ = pictures(workload)
    workers = min(TUTORIAL_WORKERS, os.cpu_count() or 1)
    trainloader = DataLoader(Transformed(trainset), batch_size=BATCH, shuffle=True, num_workers=workers)
    valloader = DataLoader(Transformed(valset), batch_size=BATCH, shuffle=True, num_workers=workers)

    for _ in range(workload.epochs):
        net.train()
        running_loss = 0.0
        for inputs, labels in trainloader:
            optimizer.zero_grad()
            outputs = net(inputs.to(memory_format=layout))
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()

        net.eval()
        val_loss, val_steps, total, correct = 0.0, 0, 0, 0
        for inputs, labels in valloader:
            with torch.no_grad():
                outputs = net(inputs.to(memory_format=layout))
                _, predicted = torch.max(outputs.data, 1)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
                val_loss += criterion(outputs, labels).item()
                val_steps += 1

        with tempfile.TemporaryDirectory() as folder:
            torch.save((net.state_dict(), optimizer.state_dict()), Path(folder) / "checkpoint.pt")
            told = {
                "loss": val_loss / val_steps,
                "accuracy": correct / total,
                "began": began,
                "ended": clock(),
            }
            tune.report(told, checkpoint=tune.Checkpoint.from_directory(folder))


def tutorial(workload: Workload) -> Sequence[Trained]:
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(train_cifar, workload=workload), resources={"cpu": 1, "gpu": 0}
            ),
            tune_config=tune.TuneConfig(metric="loss", mode="min"),
            run_config=tune.RunConfig(storage_path=folder),
            param_space={"lr": tune.grid_search(list(workload.lrs))},
        ).fit()
    return [trained(results[number]) for number in range(len(results))]


def trained(result: Any) -> Trained:
    told = result.metrics
    return Trained(told["config"]["lr"], told["accuracy"], told["began"], told["ended"])


if __name__ == "__main__":
    main(tutorial)
