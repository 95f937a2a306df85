"""Which images come first: hard, easy, spread out or alike; from training images alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from study.components.datasets import load_dataset, split
from study.components.datasets.info import Images, Labels
from study.components.datasets.selecting import (
    RANKINGS,
    averaged,
    el2n,
    farthest_first,
    nearest_first,
    principal,
    ranked,
    squared_distances,
)

Indices = NDArray[np.int64]

DIGITS = load_dataset("digits", None)
IMAGES: Images = DIGITS.train_inputs.astype(np.uint8)
LABELS = DIGITS.strata
POOL = np.arange(0, 1437, 3)
LINE = np.array([[0.0], [1], [2], [10], [11]], np.float32)


class First:
    """Draws the first point."""

    def integers(self, high: int) -> int:
        return 0


def of_digits(name: str, seed: int = 0) -> Indices:
    return ranked(name, IMAGES, LABELS, POOL, seed)  # type: ignore[arg-type]


def best(name: str, number: int, label: int = 3) -> Indices:
    order = of_digits(name)
    chosen: Indices = order[LABELS[order] == label][:number]
    return chosen


@pytest.mark.parametrize("name", RANKINGS)
def test_a_ranking_puts_the_same_images_into_an_order(name: str) -> None:
    assert sorted(of_digits(name).tolist()) == POOL.tolist()


@pytest.mark.parametrize("name", RANKINGS)
def test_the_same_seed_gives_the_same_order(name: str) -> None:
    np.testing.assert_array_equal(of_digits(name), of_digits(name))


@pytest.mark.parametrize("name", sorted(set(RANKINGS) - {"random"}))
def test_another_seed_gives_another_order(name: str) -> None:
    assert not np.array_equal(of_digits(name), of_digits(name, seed=1))


@pytest.mark.parametrize("name", RANKINGS)
def test_inputs_outside_the_pool_change_nothing(name: str) -> None:
    images, labels = IMAGES.copy(), LABELS.copy()
    outside = np.setdiff1d(np.arange(len(labels)), POOL)
    images[outside], labels[outside] = 255, 0
    found = ranked(name, images, labels, POOL, 0)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, of_digits(name))


@pytest.mark.parametrize("name", RANKINGS)
def test_torchs_global_generator_is_left_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    of_digits(name)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_pictures_are_averaged_over_blocks() -> None:
    images = np.arange(2 * 9 * 12 * 3, dtype=np.uint8).reshape(2, 9, 12, 3)
    found = averaged(images, np.array([1])).reshape(4, 6, 3)
    assert found[0, 1].tolist() == images[1, :2, 2:4].mean((0, 1)).tolist()


def test_small_pictures_stay_what_they_are() -> None:
    np.testing.assert_array_equal(averaged(IMAGES, POOL), IMAGES[POOL].reshape(len(POOL), -1))


def test_components_keep_distances_but_for_the_variance_that_is_left_out() -> None:
    features = averaged(IMAGES, POOL)
    components = principal(features)
    exact, near = (squared_distances(points, points[7]) for points in (features, components))
    assert components.shape == (len(POOL), 50)
    assert (near <= exact * 1.001 + 1).all()
    assert near.sum() > 0.99 * exact.sum()


def test_farthest_first_goes_to_the_other_end_and_then_to_the_middle() -> None:
    assert farthest_first(LINE, First()).tolist() == [0, 4, 2, 1, 3]  # type: ignore[arg-type]


def test_farthest_first_covers_twice_as_well_as_can_be_at_worst() -> None:
    """Gonzalez 1985: the radius of greedy k-centre is at most twice the best one. On 12 points on a line in
    3 groups the best radius with 3 centres is known."""
    points = np.concatenate([100 * group + np.arange(-2, 3, dtype=np.float32) for group in range(3)])[:, None]
    centres = farthest_first(points, np.random.default_rng(4))[:3]
    assert np.abs(points - points[centres].T).min(1).max() <= 2 * 2


def test_equal_points_come_once_each() -> None:
    order = farthest_first(np.zeros((4, 2), np.float32), np.random.default_rng(0))
    assert sorted(order.tolist()) == [0, 1, 2, 3]


def test_nearest_first_begins_with_its_centre() -> None:
    assert nearest_first(LINE, First()).tolist() == [0, 1, 2, 3, 4]  # type: ignore[arg-type]


def test_similar_images_lie_closer_together_than_diverse_ones() -> None:
    components = principal(averaged(IMAGES, np.arange(1437)))

    def spread(name: str) -> float:
        points = components[best(name, 8)]
        return float(np.mean([squared_distances(points, point) for point in points]))

    assert spread("similar") < spread("random") < spread("diverse")


def test_easy_is_hard_the_other_way_round() -> None:
    np.testing.assert_array_equal(best("easy", 5), best("hard", 10_000)[::-1][:5])


def mislabelled() -> tuple[Images, Labels, Indices]:
    """The pool with every twentieth label wrong."""
    labels = LABELS.copy()
    wrong = POOL[::20]
    labels[wrong] = (labels[wrong] + 1) % 10
    return IMAGES, labels, wrong


def test_wrong_labels_are_hard() -> None:
    """EL2N's known use: it finds mislabelled examples (Paul et al. 2021, section 4)."""
    images, labels, wrong = mislabelled()
    scores = el2n(averaged(images, POOL), labels[POOL], seed=0)
    hardest = POOL[np.argsort(-scores)[: 2 * len(wrong)]]
    assert len(set(hardest.tolist()) & set(wrong.tolist())) > 0.9 * len(wrong)


def test_a_score_is_the_length_of_an_error_of_probabilities() -> None:
    scores = el2n(averaged(IMAGES, POOL), LABELS[POOL], seed=0)
    assert scores.min() > 0
    assert scores.max() < np.sqrt(2)


def test_selected_images_are_balanced_nested_and_apart_from_validation() -> None:
    parts = [
        split(
            LABELS,
            train_size=size,
            validation_size=200,
            seed=3,
            rank=lambda left: ranked("hard", IMAGES, LABELS, np.sort(left), 0),
        )
        for size in (50, 95)
    ]
    assert np.bincount(LABELS[parts[0].train]).tolist() == [5] * 10
    np.testing.assert_array_equal(parts[0].train, parts[1].train[:50])
    assert not set(parts[1].train.tolist()) & set(parts[1].validation.tolist())


def test_selection_leaves_validation_as_it_was() -> None:
    plain, other = (
        split(LABELS, train_size=50, validation_size=200, seed=3, rank=rank)
        for rank in (None, lambda left: left[::-1])
    )
    np.testing.assert_array_equal(plain.validation, other.validation)
    assert not np.array_equal(plain.train, other.train)
