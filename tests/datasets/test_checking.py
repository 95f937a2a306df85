"""The rules that tell a data set from what merely looks like it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from study.components.datasets.checking import (
    channel_statistics,
    check_balanced,
    check_channels,
    check_distinct,
    check_labels,
    check_photographs,
    describe,
    fingerprint,
    image_digests,
    roughness,
)
from study.components.datasets.digits import load
from study.components.datasets.info import Images, Labels
from study.errors import DataError


def noise(count: int = 600, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 5, 3), np.uint8)


def labels_of(*labels: int) -> Labels:
    return np.array(labels, np.int64)


def test_channel_statistics_are_numpys_own() -> None:
    images = noise()
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, rtol=1e-12)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255, rtol=1e-12)


def test_channel_statistics_do_not_overflow() -> None:
    mean, std = channel_statistics(np.full((2000, 32, 32, 3), 255, np.uint8))
    assert mean.tolist() == [1, 1, 1]
    assert std.tolist() == [0, 0, 0]


def test_noise_is_rough_and_a_slope_is_smooth() -> None:
    assert roughness(noise()) == pytest.approx(1 / 3, abs=0.01)  # of two uniform numbers
    slope = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, None, :, None], (5, 32, 32, 3))
    assert roughness(slope) == pytest.approx(1 / 255)


def test_noise_is_no_photograph() -> None:
    with pytest.raises(DataError, match=r"^here: neighbouring pixels of the test images .* not by 0\.33"):
        check_photographs(noise(), "here", "test")


def test_equal_images_have_equal_digests() -> None:
    images = noise(3)
    images[2] = images[0]
    first, second, third = image_digests(images)
    assert first == third != second


def fingerprint_of(images: Images, labels: Labels) -> str:
    digests = image_digests(images)
    return fingerprint((4, 5, 3), (digests[:6], labels[:6]), (digests[6:], labels[6:]))


def test_a_fingerprint_does_not_depend_on_the_order_of_images() -> None:
    images, labels = noise(9), np.arange(9)
    order = np.array([3, 1, 0, 5, 4, 2, 8, 6, 7])
    assert fingerprint_of(images, labels) == fingerprint_of(images[order], labels[order])


def test_a_fingerprint_depends_on_every_pixel_label_and_split() -> None:
    images, labels = noise(9), np.arange(9)
    pixel, label, split = images.copy(), labels.copy(), np.array([6, 1, 2, 3, 4, 5, 0, 7, 8])
    pixel[8, 3, 4, 2] ^= 1
    label[2] = 7
    changed = [(pixel, labels), (images, label), (images[split], labels[split]), (images, labels[::-1])]
    known = fingerprint_of(images, labels)
    assert known not in [fingerprint_of(*each) for each in changed]


@pytest.mark.parametrize(("labels", "found"), [((0, 10, 11), "10 "), ((0, -1), "-1 ")])
def test_a_label_out_of_range_is_named(labels: tuple[int, ...], found: str) -> None:
    with pytest.raises(DataError, match=rf"^batch: labels lie in 0\.\.9, not {found}\(image 1; "):
        check_labels(labels_of(*labels), 10, "batch")


def test_two_files_with_the_same_images_are_named() -> None:
    digests = image_digests(noise(300))
    files = {"one": digests[:100], "two": digests[100:200], "three": digests[200:] + digests[:100]}
    with pytest.raises(DataError, match=r"^three: .* but 100 of its 200 are those of one;"):
        check_distinct(files)


def test_a_file_that_repeats_its_own_images_is_named() -> None:
    digests = image_digests(noise(100))
    with pytest.raises(DataError, match=r"^two: .* 50 of its 100 images are repeated"):
        check_distinct({"one": digests[:50], "two": digests[50:] * 2})


def test_a_few_equal_images_are_no_fault() -> None:
    digests = image_digests(noise(400))
    check_distinct({"one": digests, "two": digests[:4]})


def test_equal_counts_are_balanced() -> None:
    check_balanced(labels_of(0, 1, 1, 0), ["cat", "dog"], {"batch": 4}, "test")


@pytest.mark.parametrize("labels", [(0, 0), (0, 1, 1)])
def test_unequal_counts_are_refused(labels: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"^batch: the test set has the same number of images of each class"):
        check_balanced(labels_of(*labels), ["cat", "dog"], {"batch": len(labels)}, "test")


def test_the_file_that_is_shorter_than_the_others_is_named() -> None:
    with pytest.raises(DataError, match=r"^b: .* \(1 images here, 2 in each of the other files\)$"):
        check_balanced(labels_of(0, 1, 0, 1, 1), ["cat", "dog"], {"a": 2, "b": 1, "c": 2}, "training")


def test_statistics_of_a_part_may_scatter_and_those_of_the_whole_may_not() -> None:
    images = noise(1000)
    mean, std = (0.5, 0.5, 0.5), (0.2887, 0.2887, 0.2887)
    check_channels(images, mean, std, exact=False, place="here", split="test")
    with pytest.raises(DataError, match=r"^here: the channel means of the test images are 0\.50000000"):
        check_channels(images, mean, std, exact=True, place="here", split="test")


def test_another_contrast_is_found() -> None:
    images = noise(1000) // 2 + 64
    with pytest.raises(DataError, match="the channel standard deviations"):
        check_channels(images, (0.5,) * 3, (0.2887,) * 3, exact=False, place="here", split="test")


def test_a_description_has_the_numbers_that_a_script_needs() -> None:
    facts = describe(load(Path()))
    assert facts["images"] == {"train": 1437, "test": 360}
    assert facts["images_per_class"]["test"] == {str(digit): 36 for digit in range(10)}  # type: ignore[index]
    assert facts["ok"] is True
    assert facts["part"] is False
