"""Wrong labels: how many, which, and that they stay what they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from study.components.datasets.noise import mislabelled

LABELS = np.arange(20_000) % 5


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_a_label_is_wrong_with_the_probability_that_is_asked_for(share: float) -> None:
    wrong = int((mislabelled(LABELS, 5, share, seed=1) != LABELS).sum())
    assert binomtest(wrong, len(LABELS), share).pvalue > 0.001


def test_no_label_is_wrong_without_noise() -> None:
    np.testing.assert_array_equal(mislabelled(LABELS, 5, 0.0, seed=1), LABELS)


def test_wrong_labels_are_even_over_the_other_classes() -> None:
    noisy = mislabelled(LABELS, 5, 0.5, seed=2)
    steps = (noisy - LABELS)[noisy != LABELS] % 5
    assert chisquare(np.bincount(steps, minlength=5)[1:]).pvalue > 0.001


def test_what_is_wrong_at_a_share_is_as_wrong_at_a_larger_one() -> None:
    some, more = (mislabelled(LABELS, 5, share, seed=3) for share in (0.2, 0.3))
    wrong = some != LABELS
    np.testing.assert_array_equal(some[wrong], more[wrong])


def test_another_seed_makes_other_labels_wrong() -> None:
    one, two = (mislabelled(LABELS, 5, 0.2, seed=seed) for seed in (4, 5))
    assert not np.array_equal(one, two)
