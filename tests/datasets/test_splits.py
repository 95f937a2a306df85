"""Training and validation images: stratified, seeded, nested, balanced."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.components.datasets import DATASETS, check_sizes, default_validation_size, split
from study.components.datasets.info import Labels
from study.errors import DataError

LABELS: Labels = np.arange(500) * 7 % 10
# Seen once; a change of these numbers changes every study.
TRAIN_OF_SEED_0 = [108, 269, 117, 403, 150, 11]
VALIDATION_OF_SEED_0 = [77, 414, 171, 163]
sizes = st.tuples(st.integers(1, 400), st.integers(1, 100))


def spread(labels: Labels) -> int:
    counts = np.bincount(labels, minlength=10)
    return int(counts.max() - counts.min())


@given(sizes=sizes, seed=st.integers(0, 2**32 - 1))
def test_both_parts_have_their_size_are_balanced_and_apart(sizes: tuple[int, int], seed: int) -> None:
    parts = split(LABELS, train_size=sizes[0], validation_size=sizes[1], seed=seed)
    assert (len(parts.train), len(parts.validation)) == sizes
    assert spread(LABELS[parts.train]) <= 1
    assert spread(LABELS[parts.validation]) <= 1
    assert len({*parts.train.tolist(), *parts.validation.tolist()}) == sum(sizes)


@given(small=sizes, large=sizes, seed=st.integers(0, 2**32 - 1))
def test_a_smaller_set_is_the_beginning_of_a_larger_one(
    small: tuple[int, int], large: tuple[int, int], seed: int
) -> None:
    one = split(LABELS, train_size=small[0], validation_size=small[1], seed=seed)
    two = split(LABELS, train_size=large[0], validation_size=large[1], seed=seed)
    for first, second in ((one.train, two.train), (one.validation, two.validation)):
        both = min(len(first), len(second))
        np.testing.assert_array_equal(first[:both], second[:both])


def test_the_whole_set_is_what_validation_leaves() -> None:
    parts = split(LABELS, train_size=None, validation_size=50, seed=1)
    assert sorted([*parts.train.tolist(), *parts.validation.tolist()]) == list(range(500))


def test_the_same_seed_gives_the_same_split() -> None:
    one, two = (split(LABELS, train_size=100, validation_size=50, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.train, two.train)
    np.testing.assert_array_equal(one.validation, two.validation)


def test_another_seed_gives_another_split() -> None:
    one, two = (split(LABELS, train_size=100, validation_size=50, seed=seed) for seed in (7, 8))
    assert set(one.train.tolist()) != set(two.train.tolist())
    assert set(one.validation.tolist()) != set(two.validation.tolist())


def test_a_seeded_split_stays_what_it_was() -> None:
    parts = split(LABELS, train_size=6, validation_size=4, seed=0)
    assert parts.train.tolist() == TRAIN_OF_SEED_0
    assert parts.validation.tolist() == VALIDATION_OF_SEED_0


def test_no_class_is_always_first() -> None:
    first = {int(LABELS[split(LABELS, train_size=1, validation_size=1, seed=s).train[0]]) for s in range(60)}
    assert len(first) >= 8


def test_a_scarce_class_is_taken_whole_and_the_others_go_on() -> None:
    labels = np.array([0] * 20 + [1] * 4)
    parts = split(labels, train_size=16, validation_size=2, seed=0)
    assert np.bincount(labels[parts.train]).tolist() == [13, 3]
    assert np.bincount(labels[parts.validation]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("train_size", "validation_size", "rule"),
    [
        (
            451,
            50,
            "it has 500 images, and train_size 451 with validation_size 50 takes 501; lower one of them",
        ),
        (None, 500, "it has 500 images, and train_size of at least 1 with validation_size 500 takes 501"),
        (0, 50, "dataset.train_size: 1 image or more, not 0"),
        (-5, 50, "dataset.train_size: 1 image or more, not -5"),
        (10, 0, "dataset.validation_size: 1 image or more, not 0"),
    ],
)
def test_impossible_sizes_are_refused(train_size: int | None, validation_size: int, rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        split(LABELS, train_size=train_size, validation_size=validation_size, seed=0)


@pytest.mark.parametrize(("examples", "size"), [(50_000, 5000), (10_000, 1000), (1437, 143)])
def test_validation_takes_a_tenth_and_at_most_5000(examples: int, size: int) -> None:
    assert default_validation_size(examples) == size


def test_sizes_are_checked_without_the_data() -> None:
    check_sizes(DATASETS["cifar10"], 45_000, None)
    with pytest.raises(
        DataError, match=r"^cifar10's training set: it has 50000 images, and train_size 45001"
    ):
        check_sizes(DATASETS["cifar10"], 45_001, None)
