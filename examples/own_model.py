"""A network and a training step of one's own in a study: arms, seeds, verdicts and the ranking stay."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

import study

if TYPE_CHECKING:
    from study.components.datasets import LoadedData
    from study.trial import Row

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "elu": nn.ELU}


def network(config: study.TrialConfig) -> nn.Module:
    """Digits (n, 1, 8, 8) to logits (n, 10), with the activation of the trial's arm."""
    activation = ACTIVATIONS[str(config.hyperparameters["activation.name"])]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), activation(), nn.Linear(64, 10))


def mixed(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018, 1710.09412) with a fixed share: a third of each picture is the next one."""
    logits = model((2 * images + images.roll(1, 0)) / 3)
    own, other = (functional.cross_entropy(logits, each) for each in (labels, labels.roll(1)))
    return (2 * own + other) / 3, logits


def train(config: study.TrialConfig, data: LoadedData, report: Callable[[Row], None]) -> study.TrialResult:
    return study.train(config, data, model=network, step=mixed, report=report)


def main(out: str) -> study.Record:
    return study.run(Path(__file__).with_name("digits.toml"), out=out, train=train)


if __name__ == "__main__":
    print(main(*sys.argv[1:] or ["runs"]))
