"""Whether arrays are the data set that they are said to be; and the fingerprint of their content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.info import Images, Labels, LoadedData, refusal
from study.errors import shorten

# Published statistics have 8 digits after the point. A JPEG copy of CIFAR-10 misses by 8e-5 even at quality
# 100 (measured).
WHOLE_TOLERANCE = 1e-8
# A part's statistics scatter with its size n. Over CIFAR's images the channel means of single images
# have a standard deviation of at most 0.172, and the part's pixel deviation one of 0.08 / sqrt(n)
# (measured); these are six of them. Of Fashion-MNIST the first is 0.12, over the 900 images that its
# authors show.
PART_MEAN_TOLERANCE = 1.0
PART_STD_TOLERANCE = 0.5
# Neighbouring pixels differ by 0.054 on average in CIFAR-10 and CIFAR-100, by 0.087 in those 900 images,
# by 0.333 in noise.
MAX_ROUGHNESS = 0.15
# CIFAR-10 has no two equal images, CIFAR-100 a few; a batch in place of another has thousands.
MAX_DUPLICATES = 0.01
_ROUGHNESS_SAMPLE = 1000


def channel_statistics(images: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per channel of pixels scaled to [0, 1]; from exact integer sums."""
    flat, channels = images.reshape(len(images), -1), images.shape[-1]
    total = np.zeros(flat.shape[1], np.uint64)
    squares = total.copy()
    for start in range(0, len(flat), 500):  # small enough for the processor's cache, and for uint32 sums
        block = flat[start : start + 500]
        wide = block.astype(np.uint16)
        total += block.sum(axis=0, dtype=np.uint32)
        squares += np.multiply(wide, wide, out=wide).sum(axis=0, dtype=np.uint32)
    pixels = images.size // channels
    mean = total.reshape(-1, channels).sum(axis=0) / pixels
    square = squares.reshape(-1, channels).sum(axis=0) / pixels
    return mean / 255, np.sqrt(square - mean * mean) / 255


def roughness(images: Images) -> float:
    """Mean absolute difference of horizontal neighbours, of pixels in [0, 1], over a fixed sample."""
    step = -(-len(images) // _ROUGHNESS_SAMPLE)
    return float(np.abs(np.diff(images[::step].astype(np.int16), axis=2)).mean() / 255)


def image_digests(images: Images) -> list[bytes]:
    """A digest of the pixels of each image."""
    size = images[0].size if len(images) else 1
    pixels = images.reshape(-1).data
    starts = range(0, len(pixels), size)
    return [hashlib.blake2b(pixels[start : start + size], digest_size=16).digest() for start in starts]


def fingerprint(
    shape: Sequence[int], train: tuple[list[bytes], Labels], test: tuple[list[bytes], Labels]
) -> str:
    """SHA-256 (hex) over the images' shape and every (split, label, image digest), in sorted order."""
    rows = []
    for split, (digests, labels) in enumerate((train, test)):
        heads = [bytes([split]) + label.to_bytes(2, "big") for label in range(1 + int(labels.max(initial=0)))]
        rows += [heads[label] + digest for label, digest in zip(labels.tolist(), digests, strict=True)]
    head = "x".join(str(size) for size in shape).encode()
    return hashlib.sha256(head + b"".join(sorted(rows))).hexdigest()


def check_labels(labels: Labels, classes: int, place: str) -> None:
    """DataError unless every label lies in [0, classes)."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        first = int(wrong[0])
        rule = (
            f"labels lie in 0..{classes - 1}, not {labels[first]} (image {first}; {len(wrong)} such labels)"
        )
        raise refusal(place, rule, "fetch it again")


def check_distinct(digests: Mapping[str, list[bytes]]) -> None:
    """DataError where files (by place) repeat images of one another, or of themselves."""
    total = sum(len(rows) for rows in digests.values())
    distinct = len(set().union(*digests.values()))
    if total - distinct <= MAX_DUPLICATES * total:
        return
    for place, rows in digests.items():
        repeated = len(rows) - len(set(rows))
        if repeated > MAX_DUPLICATES * len(rows):
            raise refusal(place, f"images occur once, but {repeated} of its {len(rows)} images are repeated")
    shared = {pair: len(set(digests[pair[0]]) & set(digests[pair[1]])) for pair in combinations(digests, 2)}
    (first, second), count = max(shared.items(), key=lambda item: item[1])
    raise refusal(
        second,
        f"every file has images of its own, but {count} of its {len(digests[second])} are those of {first}",
        "one is a copy of the other: replace it by the published file",
    )


def check_balanced(labels: Labels, classes: Sequence[str], sizes: Mapping[str, int], split: str) -> None:
    """DataError unless each class has as many images as every other, and at least one.

    ``sizes`` gives the number of images of each file (by place), to name the one that is odd.
    """
    counts = np.bincount(labels, minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    if counts[most] == counts[least] > 0:
        return
    rule = (
        f"the {split} set has the same number of images of each class, not {counts[least]} of"
        f" {shorten(classes[least])} and {counts[most]} of {shorten(classes[most])}"
    )
    first = next(iter(sizes))
    common, occurrences = Counter(sizes.values()).most_common(1)[0]
    odd = [place for place, size in sizes.items() if size != common]
    if len(odd) == 1 and occurrences > 1:
        raise refusal(odd[0], f"{rule} ({sizes[odd[0]]} images here, {common} in each of the other files)")
    raise refusal(first if len(sizes) == 1 else f"{first} and the others", rule)


def check_channels(
    images: Images, mean: Sequence[float], std: Sequence[float], *, exact: bool, place: str, split: str
) -> None:
    """DataError unless the channels' means and deviations are the published ones.

    ``exact``: to all published digits; otherwise within what a part of this size scatters.
    """
    root = len(images) ** 0.5
    measured = channel_statistics(images)
    tolerances = (WHOLE_TOLERANCE,) * 2 if exact else (PART_MEAN_TOLERANCE / root, PART_STD_TOLERANCE / root)
    names = ("means", "standard deviations")
    for name, found, published, tolerance in zip(names, measured, (mean, std), tolerances, strict=True):
        if np.abs(found - np.asarray(published)).max() > tolerance:
            raise refusal(
                place,
                f"the channel {name} of the {split} images are {_numbers(published)} within {tolerance:.2g},"
                f" not {_numbers(found)}",
                "these are other pixels than the published ones (a JPEG copy?)",
            )


def check_photographs(images: Images, place: str, split: str) -> None:
    """DataError where neighbouring pixels have nothing to do with each other."""
    measured = roughness(images)
    if measured > MAX_ROUGHNESS:
        raise refusal(
            place,
            f"neighbouring pixels of the {split} images differ by less than {MAX_ROUGHNESS} on average,"
            f" not by {measured:.3f}",
            "these are no photographs, or their planes are in another order",
        )


def _numbers(values: Sequence[float] | NDArray[np.float64]) -> str:
    return " ".join(f"{value:.8f}" for value in values)


def describe(data: LoadedData) -> dict[str, object]:
    """What was found, for a person or a script: sizes, counts per class (or the targets' range), statistics
    of channels or features, fingerprint."""
    vectors = data.train_inputs.ndim == 2
    mean, std = feature_statistics(data.train_inputs) if vectors else channel_statistics(data.train_inputs)
    splits = {"train": data.train_targets, "test": data.test_targets}
    facts = {"images_per_class": per_class} if data.classes else {"targets": spans}
    return {
        "name": data.name,
        "ok": True,
        "origin": data.origin,
        "part": data.part,
        "shape": list(data.train_inputs.shape[1:]),
        "images": {split: len(targets) for split, targets in splits.items()},
        **{key: {split: of(data, each) for split, each in splits.items()} for key, of in facts.items()},
        "mean": mean.tolist(),
        "std": std.tolist(),
        "published_mean": list(data.mean),
        "published_std": list(data.std),
        "fingerprint": data.fingerprint,
    }


def feature_statistics(vectors: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature."""
    return vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)


def per_class(data: LoadedData, labels: NDArray[Any]) -> dict[str, int]:
    counts = np.bincount(labels, minlength=len(data.classes)).tolist()
    return dict(zip(data.classes, counts, strict=True))


def spans(data: LoadedData, targets: NDArray[Any]) -> dict[str, float]:
    wide = targets.astype(np.float64)
    found = {"mean": wide.mean(), "std": wide.std(), "lowest": wide.min(), "highest": wide.max()}
    return {name: float(value) for name, value in found.items()}
