"""The studies that come with the package: right in every profile, and what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from study import studyfile
from study.check import check
from study.components.activations import ACTIVATIONS
from study.components.datasets import DATASETS

# The lines of the notes that a study's claims come from.
BY_CLAIM = {
    "allcnn-pooling": ["L164"],
    "bn-eval": ["L205"],
    "bn-gradients": ["L57", "L58", "L66"],
    "cifar10-bn-dropout": ["L59"],
    "cifar10-bn-lr": ["L42", "L56"],
    "cifar10-depth": ["L26", "L65", "L67", "L74", "L77"],
    "cifar100-acts": ["L236", "L288"],
    "elu-mechanisms": ["L128", "L130", "L132", "L138", "L146"],
    "softmax-overflow": ["L31"],
}

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


CLAIMED = ["relu+bn", "elu", "prelu", "elu+bn", "relu"]


def test_cifar10_acts_compares_every_activation_and_claims_of_five_arms() -> None:
    spec = studyfile.load("cifar10-acts")
    arms = {f"{name}{norm}" for name in ACTIVATIONS for norm in ("", "+bn")}
    assert {arm.name for arm in spec.arms()} == arms
    assert [(claim.source, claim.metric, claim.ranking) for claim in spec.claims] == [
        ("L236", "test_accuracy", CLAIMED),
        ("L226", "test_loss", CLAIMED),
    ]


# Records of these exist.
@pytest.mark.parametrize(("profile", "digest"), [("laptop", "a34c343e9357"), ("demo", "0e2608efdf7e")])
def test_small_profiles_of_cifar10_acts_have_the_five_arms_and_their_first_digest(
    profile: str, digest: str
) -> None:
    spec = studyfile.load("cifar10-acts", profile)
    assert {arm.name for arm in spec.arms()} == set(CLAIMED)
    assert spec.digest == digest


def test_cifar10_acts_tunes_arms_with_batch_norm_further_up() -> None:
    spec = studyfile.load("cifar10-acts")
    for arm in spec.arms():
        distribution = arm.space.active("optimizer.lr", {})
        assert distribution is not None
        assert distribution.ends[1] == (1.0 if arm.name.endswith("+bn") else 0.1)


@pytest.mark.parametrize("name", [*BY_CLAIM])
def test_a_study_of_the_notes_names_the_lines_that_it_tests(name: str) -> None:
    lines = {claim.source for claim in studyfile.load(name).claims if claim.source.startswith("L")}
    assert lines == set(BY_CLAIM[name])


@pytest.mark.parametrize(("name", "profile"), EVERY)
def test_each_profile_has_the_arms_of_a_claim(name: str, profile: str | None) -> None:
    spec = studyfile.load(name, profile)
    arms = {arm.name for arm in spec.arms()}
    assert not spec.claims or any(set(claim.arms) <= arms for claim in spec.claims)


def test_the_arms_of_bn_eval_are_told_apart_by_the_evaluation_alone() -> None:
    arms = studyfile.load("bn-eval").arms()
    assert all(not arm.space.entries for arm in arms)
    keys = {"model.bn_eval", "training.evaluation_batch", "training.evaluation_order"}
    assert all(set(arm.values) == keys for arm in arms)


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
