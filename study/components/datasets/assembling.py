"""A data set of images put together from its files, and checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from study.components.datasets.checking import (
    check_balanced,
    check_channels,
    check_distinct,
    check_photographs,
    fingerprint,
    image_digests,
)
from study.components.datasets.info import DatasetInfo, Images, Labels, LoadedData, refusal

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class ReadSplit:
    """The images and labels of one split as they were read; ``sizes``: how many of them came from each
    file (by place), in that order."""

    images: Images
    labels: Labels
    sizes: Mapping[str, int]


def assemble(
    info: DatasetInfo,
    train: ReadSplit,
    test: ReadSplit,
    origin: str,
    test_statistics: Statistics | None = None,
) -> LoadedData:
    """The data set, or a class-balanced part of it, of these splits; DataError where they are neither.

    ``test_statistics`` are the published means and deviations of the whole test set; None where none are
    known: then it is held against the training set's, as a sample of its size.
    """
    for split, published in ((train, info.train_examples), (test, info.test_examples)):
        _check_sizes(split, published)
    train_digests, test_digests = image_digests(train.images), image_digests(test.images)
    check_distinct(_by_file(train, train_digests) | _by_file(test, test_digests))
    check_balanced(train.labels, info.classes, train.sizes, "training")
    check_balanced(test.labels, info.classes, test.sizes, "test")
    _check_pixels(info, train.images, test.images, origin, test_statistics)
    return LoadedData(
        name=info.name,
        classes=info.classes,
        train_inputs=train.images,
        train_targets=train.labels,
        test_inputs=test.images,
        test_targets=test.labels,
        mean=info.mean,
        std=info.std,
        fingerprint=fingerprint(info.shape, (train_digests, train.labels), (test_digests, test.labels)),
        part=(len(train.labels), len(test.labels)) != (info.train_examples, info.test_examples),
        origin=origin,
    )


def _check_sizes(split: ReadSplit, published: int) -> None:
    most = published // len(split.sizes)
    for place, size in split.sizes.items():
        if not 0 < size <= most:
            raise refusal(place, f"1 to {most} images, not {size}")


def _by_file(split: ReadSplit, digests: list[bytes]) -> dict[str, list[bytes]]:
    rest = iter(digests)
    return {place: [next(rest) for _ in range(size)] for place, size in split.sizes.items()}


def _check_pixels(
    info: DatasetInfo, train: Images, test: Images, origin: str, test_statistics: Statistics | None
) -> None:
    whole = len(train) == info.train_examples
    check_photographs(train, origin, "training")
    check_photographs(test, origin, "test")
    check_channels(train, info.mean, info.std, exact=whole, place=origin, split="training")
    known = test_statistics if len(test) == info.test_examples else None
    mean, std = known or (info.mean, info.std)
    check_channels(test, mean, std, exact=known is not None, place=origin, split="test")
