"""Which training images a trial trains on and which it is judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.info import DatasetInfo, Labels, refusal

MAX_DEFAULT_VALIDATION_SIZE = 5000

Rank = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""The indices of images, put into the order in which those of a class are taken."""


@dataclass(frozen=True, eq=False)
class Split:
    """Indices (int64) into the training images; no index is in both."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def split(
    labels: Labels, *, train_size: int | None, validation_size: int, seed: int, rank: Rank | None = None
) -> Split:
    """A seeded, stratified split of ``labels`` (n,) into training and validation indices.

    Both are class-balanced: counts differ by at most 1 as long as every class has images left. With the
    same seed, smaller sets are the beginnings of larger ones, and neither part depends on the size of
    the other: training images are taken from the front of each class's order, validation images from its
    back. ``train_size`` None takes all that validation leaves. With ``rank``, which is given the indices
    of what validation leaves, its order takes the place of each class's own. DataError where the sizes
    exceed the set.
    """
    _check("the training set", len(labels), train_size, validation_size)
    draws = np.random.Generator(np.random.PCG64(seed)).random((2, len(labels)))
    shuffled = np.argsort(draws[0], kind="stable")
    validation = _in_turns(labels, shuffled[::-1], draws[1])[:validation_size]
    left = shuffled[np.isin(shuffled, validation, invert=True)]
    if rank is not None:
        left = rank(left)
    return Split(_in_turns(labels, left, draws[1])[:train_size], validation)


def _in_turns(labels: Labels, order: NDArray[np.int64], ties: NDArray[np.float64]) -> NDArray[np.int64]:
    """``order`` rearranged so that the classes take turns; within a turn ``ties`` says which is first."""
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels[order])
    turn = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_class[np.lexsort((ties[by_class], turn))]


def default_validation_size(train_examples: int) -> int:
    """A tenth of the training set, at most MAX_DEFAULT_VALIDATION_SIZE."""
    return min(train_examples // 10, MAX_DEFAULT_VALIDATION_SIZE)


def check_sizes(
    info: DatasetInfo, train_size: int | None, validation_size: int | None, classes: int | None = None
) -> None:
    """DataError unless the published training set has that many images. Loads nothing.

    ``train_size`` None is all that validation leaves; ``validation_size`` None is the default. Of some
    ``classes`` alone there are as many as if all had the same number.
    """
    place, examples = f"{info.name}'s training set", info.train_examples
    if classes is not None and classes < len(info.classes):
        place, examples = f"{place} of {classes} classes", examples * classes // len(info.classes)
    if validation_size is None:
        validation_size = default_validation_size(examples)
    _check(place, examples, train_size, validation_size)


def _check(place: str, available: int, train_size: int | None, validation_size: int) -> None:
    for name, size in (("train_size", train_size), ("validation_size", validation_size)):
        if size is not None and size < 1:
            raise refusal(f"dataset.{name}", f"1 image or more, not {size}")
    wanted = validation_size + (train_size or 1)
    if wanted > available:
        raise refusal(
            place,
            f"it has {available} images, and train_size {train_size or 'of at least 1'} with validation_size"
            f" {validation_size} takes {wanted}",
            "lower one of them",
        )
