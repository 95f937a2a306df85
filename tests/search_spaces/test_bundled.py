"""The studies that come with the package: right in every profile, and what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from study import studyfile
from study.check import check
from study.components.datasets import DATASETS

EVERY = [
    (name, profile)
    for name in studyfile.bundled_names()
    for profile in (None, *studyfile.profiles(studyfile.read(studyfile.find(name))))
]


def test_there_are_studies() -> None:
    assert {"cifar10-acts", "cifar10-joint"} <= set(studyfile.bundled_names())


@pytest.mark.parametrize(("name", "profile"), EVERY)
def test_a_bundled_study_breaks_no_rule(name: str, profile: str | None) -> None:
    check(studyfile.load(name, profile))


@pytest.mark.parametrize(("name", "profile"), EVERY)
def test_a_resolved_bundled_study_reads_as_itself(name: str, profile: str | None) -> None:
    spec = studyfile.load(name, profile)
    again = studyfile.resolve(studyfile.parse(spec.to_toml(), name), Path(f"{name}.toml"), None, ())
    assert again == spec
    assert again.digest == spec.digest
    assert [arm.space for arm in again.arms()] == [arm.space for arm in spec.arms()]


@pytest.mark.parametrize("name", studyfile.bundled_names())
def test_profiles_of_a_bundled_study_are_studies_of_their_own(name: str) -> None:
    digests = [studyfile.load(name, profile).digest for each, profile in EVERY if each == name]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("name", studyfile.bundled_names())
def test_a_bundled_study_has_a_demo_that_needs_no_download(name: str) -> None:
    spec = studyfile.load(name, "demo")
    assert not DATASETS[str(spec.held["dataset.name"])].downloadable


@pytest.mark.parametrize("name", studyfile.bundled_names())
def test_a_bundled_study_asks_a_question(name: str) -> None:
    assert studyfile.load(name).question.endswith("?")


def test_cifar10_acts_compares_the_five_arms_of_its_claims() -> None:
    spec = studyfile.load("cifar10-acts")
    assert {arm.name for arm in spec.arms()} == {"relu+bn", "relu", "elu+bn", "elu", "prelu"}
    claimed = ["relu+bn", "elu", "prelu", "elu+bn", "relu"]
    assert [(claim.source, claim.metric, claim.ranking) for claim in spec.claims] == [
        ("L236", "test_accuracy", claimed),
        ("L226", "test_loss", claimed),
    ]


def test_cifar10_acts_tunes_arms_with_batch_norm_further_up() -> None:
    spec = studyfile.load("cifar10-acts")
    tops = {arm.name: arm.space.active("optimizer.lr", {}) for arm in spec.arms()}
    assert {name: distribution and distribution.ends[1] for name, distribution in tops.items()} == {
        "relu+bn": 1.0,
        "elu+bn": 1.0,
        "relu": 0.1,
        "elu": 0.1,
        "prelu": 0.1,
    }


def test_the_laptop_profile_is_of_real_cifar10() -> None:
    spec = studyfile.load("cifar10-acts", "laptop")
    held = spec.held
    assert (held["dataset.name"], held["dataset.train_size"], held["model.width"]) == ("cifar10", 10000, 0.25)
    assert (held["training.epochs"], spec.search.trials_per_arm, spec.search.replicates) == (8, 6, 8)


def test_cifar10_joint_searches_one_space() -> None:
    (arm,) = studyfile.load("cifar10-joint").arms()
    assert arm.name == "all"
    assert {
        "activation.name",
        "dataset.train_size",
        "model.batch_norm",
        "optimizer.name",
        "optimizer.lr",
    } <= set(arm.space.keys)
