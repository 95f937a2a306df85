"""A data set that lives on the device as bytes, and the batches made of it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from study.components.augmentation import Augmentation
from study.components.datasets.info import Images, Labels, LoadedData
from study.components.datasets.splits import default_validation_size, split
from study.components.routine import Routine
from study.seeding import derive_seed
from study.trial import TrialConfig

# On the CPU what a batch needs should fit into its caches (500 at once: a quarter slower).
EVALUATION_BATCH = {"cpu": 125, "cuda": 1000}

Batch = tuple[Tensor, Tensor]
"""Images (b, c, h, w), float32, normalised, channels last in memory; labels (b,), int64."""


@dataclass(frozen=True)
class Pictures:
    """``images`` (n, h, w, c) uint8 and ``labels`` (n,) int64 on one device.

    ``mean`` and ``scale`` (1, c, 1, 1) normalise a byte x to (x - mean) * scale.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    scale: Tensor

    def normalised(self, pixels: Tensor) -> Tensor:
        """(b, h, w, c) bytes as (b, c, h, w) floats. The permuted view *is* channels last."""
        return pixels.permute(0, 3, 1, 2).to(torch.float32).sub_(self.mean).mul_(self.scale)


def resident(images: Images, labels: Labels, data: LoadedData, device: torch.device) -> Pictures:
    """Put one of the data set's arrays on the device; on the CPU the images are shared, not copied."""

    def per_channel(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1).to(device)

    return Pictures(
        # DLPack, because from_numpy warns of arrays that cannot be written, as shared ones are.
        from_dlpack(images).to(device),
        torch.tensor(labels, dtype=torch.int64).to(device),
        per_channel(data.mean) * 255,
        1 / (per_channel(data.std) * 255),
    )


@dataclass(frozen=True)
class Part:
    """Examples to evaluate: those of ``pictures`` at ``index``."""

    pictures: Pictures
    index: Tensor

    def __iter__(self) -> Iterator[Batch]:
        for index in self.index.split(EVALUATION_BATCH[self.index.device.type]):
            yield self.pictures.normalised(self.pictures.images[index]), self.pictures.labels[index]


@dataclass(frozen=True)
class TrainingPart:
    """Examples to train on, each epoch in a new order and newly augmented.

    Order and augmentation come from generators on the CPU, so they are the same on every device;
    an epoch's draws cross to the device in one copy.
    """

    pictures: Pictures
    index: Tensor
    batch_size: int
    augmentation: Augmentation
    order: torch.Generator
    moves: torch.Generator

    @property
    def examples(self) -> int:
        return len(self.index)

    @cached_property
    def steps(self) -> int:
        """Batches, and so optimizer steps, an epoch."""
        return len(cuts(self.examples, self.batch_size))

    def generators(self) -> dict[str, Tensor]:
        """The states of the generators, as bytes."""
        return {"order": self.order.get_state(), "moves": self.moves.get_state()}

    def set_generators(self, states: Mapping[str, Tensor]) -> None:
        self.order.set_state(states["order"])
        self.moves.set_state(states["moves"])

    def epoch(self, first: int = 0) -> Iterator[Batch]:
        """A new epoch's batches, from its batch number ``first`` on."""
        device, pictures = self.index.device, self.pictures
        index = self.index[torch.randperm(self.examples, generator=self.order).to(device)]
        moves = self.augmentation.draw(self.examples, self.moves).to(device)
        for start, end in cuts(self.examples, self.batch_size)[first:]:
            batch = index[start:end]
            pixels, inside = self.augmentation.gather(pictures.images, batch, moves[start:end])
            images = pictures.normalised(pixels)
            yield images if inside is None else images.mul_(inside.unsqueeze(1)), pictures.labels[batch]


def cuts(number: int, size: int) -> list[tuple[int, int]]:
    """Where batches of ``size`` start and end in ``number`` examples.

    Nothing is dropped: the last batch is smaller where it must be. One single example left over
    joins the batch before it, because batch norm has no variance over one.
    """
    starts = list(range(0, number, size))
    if len(starts) > 1 and size > 1 and number - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], number], strict=True))


def divide(
    config: TrialConfig,
    routine: Routine,
    augmentation: Augmentation,
    data: LoadedData,
    device: torch.device,
) -> tuple[TrainingPart, dict[str, Part]]:
    """What is trained on, and the parts that are evaluated: ``train_eval``, ``val`` and, in the
    confirm phase alone, ``test``. DataError where the sizes asked for exceed the set.
    """
    sizes: Mapping[str, Any] = config.hyperparameters
    indices = split(
        data.train_labels,
        train_size=sizes.get("dataset.train_size"),
        validation_size=sizes.get("dataset.validation_size", default_validation_size(len(data.train_labels))),
        seed=config.split_seed,
    )
    training = torch.tensor(indices.train, device=device)
    pictures = resident(data.train_images, data.train_labels, data, device)
    fixed = torch.randperm(len(training), generator=seeded(config.split_seed, "train_eval"))
    parts = {
        "train_eval": Part(pictures, training[fixed[: routine.evaluation_size].to(device)]),
        "val": Part(pictures, torch.tensor(indices.validation, device=device)),
    }
    if config.phase == "confirm":
        test = resident(data.test_images, data.test_labels, data, device)
        parts["test"] = Part(test, torch.arange(len(data.test_labels), device=device))
    order, moves = seeded(config.seed, "order"), seeded(config.seed, "augmentation")
    return TrainingPart(pictures, training, routine.batch_size, augmentation, order, moves), parts


def seeded(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one source of chance, so that none shifts another's numbers."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))
