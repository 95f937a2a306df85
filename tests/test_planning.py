"""The estimate of a study's time: measured on a few steps, scaled to the whole."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from study.components.datasets import LoadedData, load_dataset
from study.planning import Speed, measure, selecting_seconds, study_seconds
from study.typical import example
from tests.good_study import LR, WIDER_LR, spec_of, spec_with


@pytest.fixture(scope="module")
def digits() -> LoadedData:
    return load_dataset("digits", None)


def test_a_warm_up_measures_training_evaluation_and_a_whole_trial(digits: LoadedData) -> None:
    spec = spec_of()
    arm = spec.arms()[0]
    speed = measure(spec, arm, example(spec, arm, 0), digits)
    assert speed.arm == "relu+bn"
    assert speed.training > 0
    assert speed.evaluation > 0
    # 2 epochs of 1,000 images, each evaluated on 1,000 training and 143 validation images.
    expected = 2 * (1000 / speed.training + 1143 / speed.evaluation)
    assert speed.trial_s == pytest.approx(expected)


def test_a_warm_up_that_diverges_is_made_again_at_a_standstill(digits: LoadedData) -> None:
    spec = spec_with((LR, "optimizer.lr = [1e30]"), (WIDER_LR, ""))
    arm = spec.arms()[1]
    speed = measure(spec, arm, example(spec, arm, 0), digits)
    assert speed.diverged == "diverged(nonfinite_loss)"
    assert speed.trial_s > 0


def test_selecting_images_is_timed_once_a_way_and_counted_once_a_split(digits: LoadedData) -> None:
    spec = spec_of()
    ways = ("random", "similar", "similar", "diverse")
    config = example(spec, spec.arms()[0], 0)
    configs = [
        replace(config, hyperparameters={**config.hyperparameters, "dataset.selection": way}) for way in ways
    ]
    began = time.perf_counter()
    found = selecting_seconds(spec, configs, digits)
    took = time.perf_counter() - began
    # 3 replicates and the tuning: four splits.
    assert 0 < found <= 4 * took
    assert selecting_seconds(spec, configs[:1], digits) == 0


def test_a_study_takes_its_trials_times_their_time_over_the_slots() -> None:
    speeds = [Speed("relu", 1000.0, 2000.0, trial_s=10.0), Speed("elu", 1000.0, 1000.0, trial_s=20.0)]
    # 4 + 3 trials of either, and 3 replicates scored on 360 test images.
    expected = 7 * (10 + 20) + 3 * (360 / 2000 + 360 / 1000)
    assert study_seconds(spec_of(), speeds, 360, 1) == pytest.approx(expected)
    assert study_seconds(spec_of(), speeds, 360, 2) == pytest.approx(expected / 2)
    assert study_seconds(spec_of(), speeds, 360, 2, selecting_s=6.0) == pytest.approx(expected / 2 + 3)
