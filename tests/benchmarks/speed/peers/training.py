"""A training loop as one writes it by hand for speed: the pictures as one tensor, normalised once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.benchmarks.speed.peers.workload import BATCH, MOMENTUM, WEIGHT_DECAY, Pictures, Workload

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
# (channels, kernel, stride) of ALL-CNN-C: Springenberg et al. 2015 (1412.6806), table 1.
LAYERS = (
    *((96, 3, 1), (96, 3, 1), (96, 3, 2)),
    *((192, 3, 1), (192, 3, 1), (192, 3, 2)),
    *((192, 3, 1), (192, 1, 1)),
)
# How many training pictures are evaluated each epoch beside the validation ones.
TRAIN_EVALUATED = 1000


def all_cnn(width: float, classes: int = 10) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = 3
    for number, (channels, kernel, stride) in enumerate(LAYERS, start=1):
        outputs = round(width * channels)
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers |= {
            f"conv{number}": convolution,
            f"norm{number}": nn.BatchNorm2d(outputs),
            f"act{number}": nn.ReLU(),
        }
        inputs = outputs
    layers |= {"last": nn.Conv2d(inputs, classes, 1), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
    return nn.Sequential(layers)


def laid_out(workload: Workload) -> torch.memory_format:
    return torch.channels_last if workload.channels_last else torch.contiguous_format


def tensors(part: Pictures, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    """(n, 3, 32, 32) float32, normalised, truly in that layout: the permuted bytes alone would be channels
    last whatever one believes. And the labels."""
    images = torch.tensor(part.images).permute(0, 3, 1, 2).contiguous().float().div_(255)
    images.sub_(torch.tensor(MEAN).view(3, 1, 1)).div_(torch.tensor(STD).view(3, 1, 1))
    return images.contiguous(memory_format=layout), torch.tensor(part.labels)


def trained_network(
    workload: Workload, lr: float, seed: int, images: Tensor, labels: Tensor
) -> Iterator[nn.Module]:
    """The network after each epoch of SGD."""
    torch.manual_seed(seed)
    network = all_cnn(workload.width).to(memory_format=laid_out(workload))  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    for _ in range(workload.epochs):
        network.train()
        for index in torch.randperm(len(images)).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=workload.bf16):
                loss = functional.cross_entropy(network(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield network


@torch.inference_mode()
def accuracy(workload: Workload, network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network.eval()
    right = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=workload.bf16):
        for some, wanted in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            right += int((network(some).argmax(dim=1) == wanted).sum())
    return right / len(labels)
