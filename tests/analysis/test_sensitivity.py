"""What tuning depends on, on planted searches."""

from __future__ import annotations

import pytest

from study.analysis.sensitivity import FANOVA_TRIALS, importance, sensitivity
from study.trial import TrialResult
from tests.analysis.planted import LR, by_id, diverged, planted_spec, trial

SPEC = planted_spec("relu", trials=12)
(ARM,) = SPEC.arms()


def at(*pairs: tuple[float, float | None]) -> dict[str, TrialResult]:
    return by_id(
        [
            diverged("relu", "tune", index, lr)
            if value is None
            else trial("relu", "tune", index, {"val_accuracy": value}, lr=lr)
            for index, (lr, value) in enumerate(pairs)
        ]
    )


def test_the_shortfall_is_the_mean_over_half_decades() -> None:
    """Bests 0.5, 0.4, 0.3 and chance, 0.1, of four half-decades: short by 0, 0.1, 0.2 and 0.4."""
    found = sensitivity(SPEC, at((1e-2, 0.5), (1e-3, 0.4), (5e-3, 0.3), (5e-2, None), (2e-2, 0.2)), ARM)
    assert found is not None
    assert (found.n, found.bins) == (5, 4)
    assert found.shortfall == pytest.approx(0.7 / 4)


def test_an_arm_that_bears_any_rate_has_wide_good_decades() -> None:
    flat = sensitivity(SPEC, at((1e-3, 0.5), (5e-3, 0.499), (1e-2, 0.5), (5e-2, 0.498)), ARM)
    sharp = sensitivity(SPEC, at((1e-3, 0.1), (5e-3, 0.2), (1e-2, 0.5), (5e-2, 0.1)), ARM)
    assert flat is not None
    assert sharp is not None
    assert (flat.good_decades, sharp.good_decades) == (2.0, 0.5)


def test_one_half_decade_tells_nothing() -> None:
    assert sensitivity(SPEC, at((1e-2, 0.5), (1.1e-2, 0.4)), ARM) is None


def test_a_rate_that_is_not_tuned_has_no_sensitivity() -> None:
    spec = planted_spec("relu", nuisance={"optimizer": {"momentum": {"low": 0.0, "high": 0.9}}})
    assert sensitivity(spec, at((1e-2, 0.5), (1e-3, 0.4)), spec.arms()[0]) is None


@pytest.mark.parametrize("trials", [30, FANOVA_TRIALS + 50])
def test_what_decides_is_more_important_by_either_evaluator(trials: int) -> None:
    nuisance = {"optimizer": {"lr": LR, "momentum": {"low": 0.0, "high": 0.9}}}
    spec = planted_spec("relu", trials=trials, nuisance=nuisance)
    results = []
    for index in range(trials):
        share, momentum = index / trials, 0.03 * (index * 7 % 30)
        lr = 10 ** (-4 + 3 * share)
        made = trial("relu", "tune", index, {"val_accuracy": 0.3 + share / 2 + momentum / 1000}, lr=lr)
        made.config.hyperparameters["optimizer.momentum"] = momentum  # type: ignore[index]
        results.append(made)
    found = importance(spec, by_id(results), spec.arms()[0])
    assert set(found.shares) == {"fanova", "ped_anova"}
    for shares in found.shares.values():
        assert shares["optimizer.lr"] > 2 * shares["optimizer.momentum"]


def test_few_trials_have_no_importance_and_say_so() -> None:
    found = importance(SPEC, at((1e-2, 0.5), (1e-3, 0.4)), ARM)
    assert (found.shares, found.why) == ({}, "too few trials: 2 of at least 10")


def test_trials_that_all_came_to_the_same_have_no_importance() -> None:
    found = importance(SPEC, at(*((10 ** -(1 + each / 5), 0.5) for each in range(12))), ARM)
    assert found.why == "all trials came to the same value"
