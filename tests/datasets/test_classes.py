"""Some classes alone: how they are named, and what is left of a data set."""

from __future__ import annotations

import numpy as np
import pytest

from study.components.datasets import DATASETS, load_dataset
from study.components.datasets.classes import chosen_classes, of_classes
from study.errors import DataError
from study.space import Scalar

CIFAR10 = DATASETS["cifar10"].classes
DIGITS = load_dataset("digits", None)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (None, CIFAR10),
        (2, ("airplane", "automobile")),
        (10, CIFAR10),
        ("cat+dog", ("cat", "dog")),
        ("dog+cat", ("cat", "dog")),
        ("0 + 5 + truck", ("airplane", "dog", "truck")),
    ],
)
def test_classes_go_by_how_many_or_by_name_or_by_number(wanted: Scalar, names: tuple[str, ...]) -> None:
    assert chosen_classes(wanted, CIFAR10) == names


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (1, "dataset.classes: the first 2 to 10 classes, not 1"),
        (11, "the first 2 to 10 classes, not 11"),
        ("cat", "two or more classes, each named once, not 'cat'"),
        ("cat+3", "two or more classes, each named once, not 'cat\\+3'"),
        ("cat+dgo", "no class is called 'dgo'; did you mean dog\\?; join names by \\+"),
        ("cat,dog", "no class is called 'cat,dog'"),
        ("3+10", "no class is called '10'"),
    ],
)
def test_classes_that_are_not_there_are_one_line(wanted: Scalar, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        chosen_classes(wanted, CIFAR10)


def test_what_is_left_are_the_images_of_these_classes_numbered_anew() -> None:
    data = of_classes(DIGITS, ("3", "7"))
    for images, labels, all_images, all_labels in (
        (data.train_inputs, data.train_targets, DIGITS.train_inputs, DIGITS.train_targets),
        (data.test_inputs, data.test_targets, DIGITS.test_inputs, DIGITS.test_targets),
    ):
        kept = np.isin(all_labels, [3, 7])
        np.testing.assert_array_equal(images, all_images[kept])
        np.testing.assert_array_equal(labels, all_labels[kept] == 7)


def test_other_classes_are_other_data() -> None:
    assert (
        len({DIGITS.fingerprint, *(of_classes(DIGITS, ("3", each)).fingerprint for each in ("5", "7"))}) == 3
    )


def test_all_classes_are_the_data_set_itself() -> None:
    assert of_classes(DIGITS, DIGITS.classes) is DIGITS
