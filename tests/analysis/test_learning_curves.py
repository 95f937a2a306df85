"""Learning curves: fits against scipy and planted laws, intervals, what lies beyond, the joint law."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from study.analysis.learning_curves import (
    Curve,
    PowerLaw,
    crossing,
    extrapolation,
    fit_curve,
    fit_power_law,
    moderated_variances,
    resamples,
    widening,
)
from study.analysis.scaling import JointLaw, joint_fit

SIZES = (250, 500, 1000, 2000, 4000, 8000)
LAW = PowerLaw(0.1, 4.0, 0.4)
DRAWS = resamples(5, seed=0, count=200)


def planted(
    law: PowerLaw = LAW, noise: float = 0.01, seed: int = 0, sizes: Sequence[int] = SIZES, blocks: int = 5
) -> pd.DataFrame:
    errors = law.at(np.array(sizes))[:, None] + np.random.default_rng(seed).normal(
        0, noise, (len(sizes), blocks)
    )
    return pd.DataFrame(errors, index=pd.Index(sizes), columns=range(blocks))


def fitted(table: pd.DataFrame) -> Curve:
    return fit_curve(table, DRAWS)


# -- the fit


def test_a_curve_without_noise_gives_its_law_back() -> None:
    law = fitted(planted(noise=0)).law
    assert (law.floor, law.scale, law.exponent) == pytest.approx((0.1, 4.0, 0.4), rel=1e-4)


def test_the_fit_is_that_of_scipys_curve_fit() -> None:
    table = planted(noise=0.005, seed=3)
    sizes, means = np.array(SIZES, dtype=float), table.mean(axis=1).to_numpy()
    sd = np.linspace(1, 3, len(sizes))
    ours = fit_power_law(sizes, means, 1 / sd**2)
    (floor, scale, exponent), _ = curve_fit(
        lambda n, floor, scale, exponent: floor + scale * n**-exponent, sizes, means, (0.1, 4, 0.4), sd
    )
    assert (ours.floor, ours.scale, ours.exponent) == pytest.approx((floor, scale, exponent), rel=1e-3)


def test_where_the_best_floor_were_below_zero_it_is_zero() -> None:
    sizes = np.array(SIZES, dtype=float)
    law = fit_power_law(sizes, 2.0 - 0.2 * np.log(sizes), np.ones(len(sizes)))
    assert law.floor == 0.0


def test_a_flat_curve_has_no_slope() -> None:
    sizes = np.array(SIZES, dtype=float)
    law = fit_power_law(sizes, np.full(len(sizes), 0.3), np.ones(len(sizes)))
    assert law.at(1e6) == pytest.approx(0.3, abs=1e-6)


def test_an_error_that_rises_with_the_data_is_fitted_by_its_mean() -> None:
    sizes = np.array(SIZES, dtype=float)
    law = fit_power_law(sizes, np.linspace(0.2, 0.3, len(sizes)), np.ones(len(sizes)))
    assert (law.floor, law.scale) == pytest.approx((0.25, 0.0))


def test_the_slope_is_that_of_the_curve() -> None:
    step = 1e-5
    numerical = -float(LAW.at(1000 * math.exp(step)) - LAW.at(1000 * math.exp(-step))) / (2 * step)
    assert LAW.slope(1000) == pytest.approx(numerical, rel=1e-6)


@pytest.mark.parametrize(("target", "n"), [(0.1, math.inf), (0.05, math.inf), (0.2, (4 / 0.1) ** 2.5)])
def test_what_a_target_needs(target: float, n: float) -> None:
    assert LAW.needed(target) == pytest.approx(n)


def test_a_target_below_the_floor_has_no_number() -> None:
    assert fitted(planted(noise=0.001)).estimate(lambda law: law.needed(0.01)).value is None


@pytest.mark.parametrize(
    "broken", [planted(sizes=SIZES[:3]), planted().where(planted() > 0.3)], ids=["few sizes", "gaps"]
)
def test_too_little_is_refused(broken: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="learning curve wants"):
        fitted(broken)


# -- intervals


def test_without_a_spread_the_band_has_no_width() -> None:
    band = fitted(planted(noise=0)).band(np.array([1000.0]))
    assert band is not None
    assert band[0] == pytest.approx(band[1])


def test_a_single_block_has_no_band() -> None:
    found = fit_curve(planted(blocks=1), resamples(1, 0, 10))
    assert found.band(np.array([1000.0])) is None
    assert found.estimate(lambda law: law.exponent).low is None


def test_bands_hold_the_truth() -> None:
    # Of 60 intervals of 95 % at least 52 hold it with probability 0.998; a bare bootstrap of 5 blocks
    # covers about 80 %.
    place, held = np.array([1000.0]), 0
    for seed in range(60):
        band = fit_curve(planted(noise=0.02, seed=seed), DRAWS).band(place)
        assert band is not None
        held += bool(band[0] <= LAW.at(place) <= band[1])
    assert held >= 52


def test_the_widening_makes_the_interval_of_a_mean_the_t_interval() -> None:
    # t(0.975, 2) = 4.3027, z = 1.95996 (tables); sqrt(3 / 2).
    assert widening(3) == pytest.approx(math.sqrt(1.5) * 4.3027 / 1.95996, rel=1e-4)


def test_variances_of_few_blocks_lean_on_each_other() -> None:
    quiet_and_loud = np.array([[0.1, 0.1, 0.1], [0.0, 0.1, 0.2]])
    first, second = moderated_variances(quiet_and_loud)
    # Own variances 0 and 0.01, pooled 0.005; (2 s^2 + 4 * 0.005) / 6 / 3.
    assert (first, second) == pytest.approx((0.02 / 18, 0.04 / 18))


# -- beyond the data


def test_the_largest_size_is_predicted_from_the_others() -> None:
    found = extrapolation(planted(noise=0.002), DRAWS)
    assert found is not None
    assert found.size == 8000
    assert found.predicted == pytest.approx(float(LAW.at(8000)), abs=0.01)
    assert found.error.low is not None
    assert found.error.high is not None
    assert found.error.low < 0 < found.error.high


def test_a_curve_that_breaks_off_is_told() -> None:
    table = planted(noise=0.002)
    table.loc[8000] += 0.1
    found = extrapolation(table, DRAWS)
    assert found is not None
    assert found.error.high is not None
    assert found.error.high < 0


def test_four_sizes_are_too_few_to_hold_one_out() -> None:
    assert extrapolation(planted(sizes=SIZES[:4]), DRAWS) is None


def test_a_larger_model_overtakes_where_the_curves_cross() -> None:
    small, large = PowerLaw(0.3, 3.0, 0.5), PowerLaw(0.05, 4.0, 0.35)
    grid = np.geomspace(250, 80_000, 100_000)
    exact = grid[np.flatnonzero(small.at(grid) > large.at(grid))[0]]
    found = crossing(
        ("small", "large"), (fitted(planted(small, 0.003)), fitted(planted(large, 0.003, seed=1)))
    )
    assert found is not None
    assert (found.first, found.second, found.extrapolated) == ("small", "large", False)
    assert found.at.value == pytest.approx(exact, rel=0.15)
    assert found.at.low is not None
    assert found.at.high is not None
    assert found.at.low < exact < found.at.high
    assert found.share > 0.9


def test_curves_that_do_not_cross_have_no_crossing() -> None:
    better, worse = fitted(planted(noise=0)), fitted(planted(PowerLaw(0.3, 4.0, 0.4), noise=0))
    assert crossing(("a", "b"), (better, worse)) is None


# -- the joint law of data and model


def cells(law: JointLaw, noise: float = 0.0) -> pd.DataFrame:
    models = (1522, 5698, 22042, 86698)
    rows = [(n, m, float(law.at(n, m))) for n in SIZES for m in models]
    found = pd.DataFrame(rows, columns=["size", "parameters", "error"])
    found["error"] *= 1 + np.random.default_rng(0).normal(0, noise, len(found))
    return found


JOINT = JointLaw(a=6.0, alpha=0.45, b=8.0, beta=0.5, floor=0.05, chance=0.9)


def test_a_planted_joint_law_is_found() -> None:
    found = joint_fit(cells(JOINT), chance=0.9)
    assert (found.law.alpha, found.law.beta) == pytest.approx((0.45, 0.5), rel=1e-3)
    assert (found.bias, found.spread) == pytest.approx((0, 0), abs=1e-5)
    assert found.held_out == pytest.approx((0, 0), abs=1e-4)


def test_the_spread_is_that_of_the_noise() -> None:
    found = joint_fit(cells(JOINT, noise=0.02), chance=0.9)
    assert 0.01 < found.spread < 0.03


def test_without_data_the_joint_law_is_at_chance() -> None:
    assert float(JOINT.at(1e-30, 1e4)) == pytest.approx(0.9)


def test_where_it_is_small_the_error_is_the_plain_sum() -> None:
    small = JointLaw(0.3, 0.5, 0.2, 0.5, 0.001, 0.9)
    assert float(small.at(1e4, 1e4)) == pytest.approx(0.003 + 0.002 + 0.001, rel=1e-4)


def test_two_sizes_are_too_few_for_a_joint_law() -> None:
    found = cells(JOINT)
    with pytest.raises(ValueError, match="three training-set sizes"):
        joint_fit(found[found["size"] <= 500], chance=0.9)
