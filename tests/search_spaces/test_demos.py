"""Every arm of every bundled study's demo trains, shortened: a trial of each, scored on test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from study import studyfile
from study.analysis.outcomes import measured
from study.components.datasets import load_dataset
from study.space import Scalar
from study.spec import StudySpec
from study.training import train
from study.typical import example

SHORT: dict[str, Scalar] = {
    "training.epochs": 1,
    "dataset.train_size": 96,
    "dataset.validation_size": 60,
}
DEMOS = {name: studyfile.load(name, "demo") for name in studyfile.bundled_names()}


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
    config = example(spec, arm, seed=0, test=True)
    short = replace(config, hyperparameters={**config.hyperparameters, **SHORT})
    result = train(short, data, threads=1)
    assert result.verdict.status in ("ok", "diverged", "stalled")
    claimed = {claim.metric for claim in spec.claims if arm.name in claim.arms} - {"trials", "lr50"}
    if result.verdict.status == "ok":
        assert all(measured(result, metric) is not None for metric in claimed)
