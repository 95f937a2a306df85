"""Made data: its noise is what it says, each seed draws its own, and the bounds it is known for hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from study.components.datasets import LoadedData, load_dataset
from study.components.datasets.generated import GENERATED

EVERY = pytest.mark.parametrize("name", GENERATED)


def drawn(name: str, seed: int = 1, **arguments: Any) -> LoadedData:
    own = {f"dataset.{key}": value for key, value in arguments.items()}
    return load_dataset(name, None).of_trial({"dataset.name": name, "model.width": 3, **own}, seed)


def noise(data: LoadedData) -> np.ndarray:
    assert data.train_clean is not None
    return data.train_targets.astype(float) - data.train_clean


@EVERY
def test_a_seed_draws_the_same_again_and_another_draws_others(name: str) -> None:
    first, again, other = drawn(name), drawn(name), drawn(name, seed=2)
    assert np.array_equal(first.train_inputs, again.train_inputs)
    assert np.array_equal(first.test_targets, again.test_targets)
    assert np.isin(other.train_inputs, first.train_inputs).mean() < 0.01  # float32 has equal numbers


@EVERY
def test_every_draw_goes_by_one_fingerprint(name: str) -> None:
    assert drawn(name, seed=3).fingerprint == load_dataset(name, None).fingerprint != ""


@EVERY
def test_inputs_are_normalised_by_what_is_known_of_them(name: str) -> None:
    data = drawn(name)
    assert data.train_inputs.mean(0) == pytest.approx(data.mean, abs=0.15)
    assert data.train_inputs.std(0) == pytest.approx(data.std, rel=0.02)


@EVERY
def test_the_test_set_is_drawn_like_the_training_set(name: str) -> None:
    data = drawn(name)
    assert data.test_targets.mean() == pytest.approx(data.train_targets.mean(), abs=0.2)
    assert np.isin(data.test_inputs, data.train_inputs).mean() < 0.01  # float32 has equal numbers


# -- sinc


def test_a_sinc_has_normal_noise_and_impulses() -> None:
    found = noise(drawn("sinc", sigma=0.5, p=0.2, amplitude=20.0))
    impulses = found > 10
    assert impulses.mean() == pytest.approx(0.2, abs=0.01)
    assert found[impulses].mean() == pytest.approx(20, abs=0.05)
    assert found[~impulses].mean() == pytest.approx(0, abs=0.02)
    assert found[~impulses].std() == pytest.approx(0.5, rel=0.03)


def test_a_clean_sinc_is_the_curve() -> None:
    data = drawn("sinc", height=3.0)
    x = data.test_inputs[:, 0].astype(float)
    assert data.test_clean == pytest.approx(3 * np.sin(x) / x, abs=1e-5)
    assert np.abs(x).max() <= 15


def test_the_impulses_do_not_shift_the_rest() -> None:
    one, other = drawn("sinc", p=0.1), drawn("sinc", p=0.0)
    same = noise(one) < 5
    assert np.array_equal(one.train_inputs, other.train_inputs)
    assert noise(one)[same] == pytest.approx(noise(other)[same], abs=1e-5)


# -- hetero


@pytest.mark.parametrize(("spread", "first", "last"), [("growing", 0.55, 1.45), ("constant", 1.0, 1.0)])
def test_the_spread_grows_or_stays(spread: str, first: float, last: float) -> None:
    data = drawn("hetero", spread=spread)
    x, found = data.train_inputs[:, 0], noise(data)
    assert found[x < 1].std() == pytest.approx(first, rel=0.08)
    assert found[x > 9].std() == pytest.approx(last, rel=0.08)
    assert data.train_clean == pytest.approx(x * np.sin(x), abs=1e-4)


# -- two classes


@pytest.mark.parametrize("boundary", ["line", "circle"])
@pytest.mark.parametrize("features", [2, 10])
def test_no_rule_errs_less_than_the_bayes_error(boundary: str, features: int) -> None:
    """The best rule knows the boundary: it errs in the share of labels that were flipped."""
    data = drawn("two_classes", boundary=boundary, features=features, bayes_error=0.15)
    x = data.train_inputs.astype(float)
    side = x.sum(1) > 0 if boundary == "line" else (x**2).sum(1) > np.median((x**2).sum(1))
    assert (side != data.train_targets).mean() == pytest.approx(0.15, abs=0.012)
    assert data.train_targets.mean() == pytest.approx(0.5, abs=0.012)
    assert data.train_inputs.shape[1] == features
