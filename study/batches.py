"""A data set that lives on the device as it is, and the batches made of it there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from study.choosing import selection_rank, training_targets
from study.components.augmentation import Augmentation
from study.components.datasets.info import Features, Images, Labels, LoadedData, Numbers
from study.components.datasets.splits import default_validation_size, split
from study.components.routine import Routine
from study.seeding import derive_seed
from study.trial import TrialConfig

# On the CPU what a batch needs should fit into its caches (500 at once: a quarter slower).
EVALUATION_BATCH = {"cpu": 125, "cuda": 1000}

Batch = tuple[Tensor, Tensor]
"""Inputs, normalised float32: pictures (b, c, h, w), channels last in memory, or vectors (b, features);
targets (b,), int64 labels or float32 numbers."""


@dataclass(frozen=True)
class Examples:
    """``inputs`` and ``targets`` (n,) on one device, the inputs as they are in LoadedData.

    ``mean`` and ``scale`` normalise an input x to (x - mean) * scale: (h * w * c,) of bytes, (features,) of a
    vector.
    """

    inputs: Tensor
    targets: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def pictures(self) -> bool:
        return self.inputs.ndim == 4

    def normalised(self, inputs: Tensor) -> Tensor:
        return normalise(inputs, self.mean, self.scale)

    def batch(self, index: Tensor) -> Batch:
        """Those at ``index``, as they are."""
        return self.normalised(self.inputs.index_select(0, index)), self.targets[index]


def normalise(inputs: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Pictures (b, h, w, c), bytes or floats of their size, as (b, c, h, w) floats: the permuted view *is*
    channels last. Vectors keep their shape. ``mean`` and ``scale`` as in Examples."""
    floats = inputs.contiguous().to(torch.float32, copy=True)
    # As rows of numbers: channel by channel it takes eight times as long.
    floats.flatten(1).sub_(mean).mul_(scale)
    return floats.permute(0, 3, 1, 2) if inputs.ndim == 4 else floats


def resident(
    inputs: Images | Features, targets: Labels | Numbers, data: LoadedData, device: torch.device
) -> Examples:
    """Put one of the data set's arrays on the device; on the CPU the inputs are shared, not copied."""
    pixels = math.prod(inputs.shape[1:3]) if inputs.ndim == 4 else 1
    full = 255 if inputs.ndim == 4 else 1

    def aligned(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).repeat(pixels).to(device)

    return Examples(
        # DLPack, because from_numpy warns of arrays that cannot be written, as shared ones are.
        from_dlpack(inputs).to(device),
        torch.tensor(targets).to(device),
        aligned(data.mean) * full,
        1 / (aligned(data.std) * full),
    )


@dataclass(frozen=True)
class Part:
    """Examples to evaluate: those of ``source`` at ``index``, ``batch_size`` at once if that is given."""

    source: Examples
    index: Tensor
    batch_size: int | None = None

    def _pieces(self) -> Sequence[Tensor]:
        if self.batch_size is None:
            pieces: tuple[Tensor, ...] = self.index.split(EVALUATION_BATCH[self.index.device.type])
            return pieces
        return [self.index[start:end] for start, end in cuts(len(self.index), self.batch_size)]

    def __iter__(self) -> Iterator[Batch]:
        for index in self._pieces():
            yield self.source.batch(index)

    @property
    def targets(self) -> Tensor:
        return self.source.targets[self.index]

    @property
    def features(self) -> Tensor | None:
        """The vectors as they are; None for pictures."""
        return None if self.source.pictures else self.source.inputs[self.index]


@dataclass(frozen=True)
class TrainingPart:
    """Examples to train on, each epoch in a new order and newly augmented.

    Order and augmentation come from generators on the CPU, so they are the same on every device;
    an epoch's draws cross to the device in one copy.
    """

    source: Examples
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
        device = self.index.device
        index = self.index[torch.randperm(self.examples, generator=self.order).to(device)]
        moves = self.augmentation.draw(self.examples, self.moves).to(device)
        for start, end in cuts(self.examples, self.batch_size)[first:]:
            yield self._batch(index[start:end], moves[start:end])

    def _batch(self, index: Tensor, moves: Tensor) -> Batch:
        source = self.source
        if not source.pictures:
            return source.batch(index)
        pixels, inside = self.augmentation.gather(source.inputs, index, moves)
        images = source.normalised(pixels)
        return images if inside is None else images.mul_(inside.unsqueeze(1)), source.targets[index]


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
    *,
    shared: Path | None = None,
) -> tuple[TrainingPart, dict[str, Part]]:
    """What is trained on, and the parts that are evaluated: ``train_eval``, ``val`` and, in the
    confirm phase alone, ``test``. Where the data set knows its targets without noise, ``val_clean`` and
    ``test_clean`` are judged by these. Labels that a study makes wrong are in what is trained on alone.
    ``shared`` is a folder in which trials leave for each other which examples are selected. DataError where
    the sizes asked for exceed the set.
    """
    sizes: Mapping[str, Any] = config.hyperparameters
    indices = split(
        data.strata,
        train_size=sizes.get("dataset.train_size"),
        validation_size=sizes.get(
            "dataset.validation_size", default_validation_size(len(data.train_targets))
        ),
        seed=config.split_seed,
        rank=selection_rank(config, data, shared),
    )
    training = torch.tensor(indices.train, device=device)
    source = resident(data.train_inputs, data.train_targets, data, device)
    trained = replace(source, targets=torch.tensor(training_targets(config, data)).to(device))
    fixed = torch.randperm(len(training), generator=seeded(config.split_seed, "train_eval"))
    batch = routine.evaluation_batch
    validation = torch.tensor(indices.validation, device=device)
    parts = {
        "train_eval": Part(trained, training[fixed[: routine.evaluation_size].to(device)], batch),
        **judged("val", source, ordered(validation, source, routine), data.train_clean, batch),
    }
    if config.phase == "confirm":
        test = resident(data.test_inputs, data.test_targets, data, device)
        everything = ordered(torch.arange(len(data.test_targets), device=device), test, routine)
        parts |= judged("test", test, everything, data.test_clean, batch)
    order, moves = seeded(config.seed, "order"), seeded(config.seed, "augmentation")
    batch_size = len(training) if routine.batch_size == "full" else routine.batch_size
    return TrainingPart(trained, training, batch_size, augmentation, order, moves), parts


def judged(
    name: str, source: Examples, index: Tensor, clean: Numbers | None, batch: int | None
) -> dict[str, Part]:
    """The part ``name`` and, where its targets are known without noise too, that with these."""
    parts = {name: Part(source, index, batch)}
    if clean is not None:
        known = replace(source, targets=torch.tensor(clean).to(index.device))
        parts[f"{name}_clean"] = Part(known, index, batch)
    return parts


def ordered(index: Tensor, source: Examples, routine: Routine) -> Tensor:
    """The examples in the order in which they are evaluated."""
    if routine.evaluation_order == "stored":
        return index
    return index[source.targets[index].argsort(stable=True)]


def seeded(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one source of chance, so that none shifts another's numbers."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))
