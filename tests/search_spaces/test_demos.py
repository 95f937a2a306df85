"""Every arm of every bundled study's demo trains, shortened: a trial of each, scored on test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from study import studyfile
from study.analysis.outcomes import replicates
from study.claims import SHARE, STABLE_LR
from study.components.datasets import load_dataset
from study.spec import StudySpec
from study.training import train
from study.trial import TrialConfig
from study.typical import example

DEMOS = {name: studyfile.load(name, "demo") for name in studyfile.bundled_names()}
MOST = {"training.epochs": 1, "dataset.train_size": 96, "dataset.validation_size": 60}


def shortened(config: TrialConfig) -> TrialConfig:
    short = {key: min(int(config.hyperparameters.get(key) or most), most) for key, most in MOST.items()}
    return replace(config, hyperparameters={**config.hyperparameters, **short})


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        pytest.param(spec, number, id=f"{name} {arm.name}")
        for name, spec in DEMOS.items()
        for number, arm in enumerate(spec.arms())
    ],
)
def test_a_trial_of_every_arm_of_a_demo_comes_to_its_end(spec: StudySpec, number: int) -> None:
    arm = spec.arms()[number]
    data = load_dataset(str(arm.held["dataset.name"]), None)
    result = train(shortened(example(spec, arm, seed=0, test=True)), data, threads=1)
    assert result.verdict.status in ("ok", "diverged", "stalled")
    if result.verdict.status != "ok":
        return
    for metric in {each.metric for each in spec.claims if arm.name in each.arms} - {SHARE, STABLE_LR}:
        (found,) = replicates({result.config.id: result}, arm.name, metric)
        assert found.value is not None, metric
