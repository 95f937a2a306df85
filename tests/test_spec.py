"""A resolved study: its arms, what they tune and hold, and its digest."""

from __future__ import annotations

import pytest

from study.keys import arm_name, dotted, parse_condition, parse_scalar
from study.space import Categorical, Condition, Float, Int, Scalar, Tuned
from study.spec import StudySpec
from tests.good_study import CLAIM, DECAY, GOOD, LR, WIDER_LR, changed, spec_of, spec_with

JOINT = changed(
    ('[scientific]\nactivation.name = ["relu", "elu"]\nmodel.batch_norm = [true, false]\n', ""),
    ("[nuisance]\n", '[nuisance]\nactivation.name = ["relu", "elu"]\nmodel.batch_norm = [true, false]\n'),
    (CLAIM, ""),
)


def arms_of(text: str) -> list[str]:
    return [arm.name for arm in spec_of(text).arms()]


# -- arms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"activation.name": "relu", "model.batch_norm": True}, "relu+bn"),
        ({"activation.name": "relu", "model.batch_norm": False}, "relu"),
        ({"model.batch_norm": True, "model.dropout": True}, "bn+dropout"),
        ({"model.batch_norm": False}, "no-bn"),
        ({"model.batch_norm": False, "model.dropout": False}, "no-bn+no-dropout"),
        ({"dataset.train_size": 1000, "model.width": 0.25}, "n1000+width0.25"),
        ({"optimizer.name": "adam", "optimizer.beta1": 0.9}, "adam+beta10.9"),
        ({"optimizer.weight_decay": 1e-5}, "weight_decay1e-05"),
    ],
)
def test_an_arm_is_named_by_its_values(values: dict[str, Scalar], name: str) -> None:
    assert arm_name(values) == name


def test_every_combination_is_an_arm() -> None:
    assert arms_of(GOOD) == ["relu+bn", "relu", "elu+bn", "elu"]


def test_excluded_arms_do_not_run() -> None:
    assert arms_of(changed(("[scientific]\n", '[scientific]\nexclude = ["relu"]\n'))) == [
        "relu+bn",
        "elu+bn",
        "elu",
    ]


def test_named_arms_run_in_the_order_they_are_named() -> None:
    assert arms_of(changed(("[scientific]\n", '[scientific]\narms = ["elu", "relu+bn"]\n'))) == [
        "elu",
        "relu+bn",
    ]


def test_arms_may_be_named_at_the_top_of_the_file() -> None:
    assert arms_of(f'arms = ["elu", "relu+bn"]\n{GOOD}') == ["elu", "relu+bn"]


def test_a_study_that_compares_nothing_has_one_arm() -> None:
    assert arms_of(JOINT) == ["all"]


def test_an_arm_holds_what_is_fixed_and_what_makes_it() -> None:
    arm = spec_of().arms()[0]
    assert arm.values == {"activation.name": "relu", "model.batch_norm": True}
    assert arm.held["activation.name"] == "relu"
    assert arm.held["optimizer.momentum"] == 0.9
    assert "optimizer.lr" not in arm.held


def test_a_trial_has_what_is_held_and_what_is_tuned() -> None:
    arm = spec_of().arms()[0]
    assert arm.complete({"optimizer.lr": 0.1}) == {**arm.held, "optimizer.lr": 0.1}


def test_trials_are_counted_over_arms_and_phases() -> None:
    assert spec_of().trial_count == 4 * (4 + 3)


# -- conditions --------------------------------------------------------------------------------------


def test_a_condition_on_what_makes_the_arm_is_settled_by_the_arm() -> None:
    normalised, plain = spec_of().arms()[:2]
    wide, narrow = Float(1e-4, 1.0, log=True), Float(1e-4, 1e-1, log=True)
    assert normalised.space.entries[0] == Tuned("optimizer.lr", wide)
    assert plain.space.entries[0] == Tuned("optimizer.lr", narrow)
    assert normalised.space.keys == plain.space.keys


def test_a_condition_can_hold_what_the_study_tunes() -> None:
    normalised, plain = spec_with((WIDER_LR, "optimizer.lr = 0.5")).arms()[:2]
    assert normalised.held["optimizer.lr"] == 0.5
    assert normalised.space.keys == ("optimizer.weight_decay",)
    assert "optimizer.lr" in plain.space.keys


def test_a_condition_can_tune_what_the_study_holds() -> None:
    normalised, plain = spec_with((WIDER_LR, "optimizer.momentum = [0.8, 0.9]")).arms()[:2]
    assert "optimizer.momentum" not in normalised.held
    assert "optimizer.momentum" in normalised.space.keys
    assert plain.held["optimizer.momentum"] == 0.9


def test_a_condition_on_what_is_tuned_is_left_to_the_trial() -> None:
    (arm,) = spec_of(JOINT).arms()
    condition = Condition("model.batch_norm", True)
    assert arm.space.entries[-1] == Tuned("optimizer.lr", Float(1e-4, 1.0, log=True), condition)


def test_a_condition_on_another_held_value_never_counts() -> None:
    text = changed(("[fixed]\n", '[conditional."optimizer.name=adam"]\noptimizer.beta1 = 0.8\n[fixed]\n'))
    assert all("optimizer.beta1" not in arm.held for arm in spec_of(text).arms())


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("model.batch_norm=true", Condition("model.batch_norm", True)),
        ("optimizer.name=sgd", Condition("optimizer.name", "sgd")),
        ('optimizer.name = "sgd"', Condition("optimizer.name", "sgd")),
        ("augmentation.crop=4", Condition("augmentation.crop", 4)),
        ("model.width=0.5", Condition("model.width", 0.5)),
    ],
)
def test_a_condition_reads_its_value_as_toml_has_it(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition
    assert type(parse_condition(text).value) is type(condition.value)


@pytest.mark.parametrize("text", ["", "=", "a=1", "a.b", "a.b=", "a.b.c=1", "=a.b"])
def test_a_condition_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must read component\.argument=value"):
        parse_condition(text)


def test_a_number_of_five_thousand_digits_is_no_condition_to_crash_on() -> None:
    assert isinstance(parse_scalar("9" * 5000), float)


# -- ranges and lists --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "distribution"),
    [
        ("{ low = 0.0, high = 1.0 }", Float(0.0, 1.0)),
        ("{ low = 0, high = 1.0 }", Float(0.0, 1.0)),
        ("{ low = 1e-3, high = 1.0, log = true, points = 4 }", Float(1e-3, 1.0, log=True, points=4)),
        ("{ low = 0, high = 8 }", Int(0, 8)),
        ("{ low = 0, high = 8, step = 4 }", Int(0, 8, step=4)),
        ("{ low = 1, high = 8, log = true }", Int(1, 8, log=True)),
        ("[0.1, 0.2]", Categorical((0.1, 0.2))),
        ("[true, 1, 'one']", Categorical((True, 1, "one"))),
    ],
)
def test_what_is_tuned_becomes_a_distribution(leaf: str, distribution: object) -> None:
    spec = spec_with((DECAY, f"optimizer.weight_decay = {leaf}"))
    entry = next(each for each in spec.arms()[0].space.entries if each.key == "optimizer.weight_decay")
    assert entry.distribution == distribution


# -- the digest --------------------------------------------------------------------------------------


def test_the_digest_is_what_it_always_was() -> None:
    # Folders of records are named by it: when this number changes, no study finds its record again.
    assert spec_of().digest == "790b28f45912"
    assert spec_of(profile="small").digest == "eaa6b332e6c6"


@pytest.mark.parametrize(
    "change",
    [
        ("low = 1e-4, high = 1e-1", "low = 1e-4, high = 2e-1"),
        ('["relu", "elu"]', '["elu", "relu"]'),
        ("[scientific]\n", '[scientific]\narms = ["relu+bn", "elu"]\n'),
        (WIDER_LR, WIDER_LR.replace("1.0", "2.0")),
        ("width = 0.125", "width = 0.25"),
        ('"tpe"', '"random"'),
        ("trials_per_arm = 4", "trials_per_arm = 5"),
        ("replicates = 3", "replicates = 4"),
        ("[search]\n", "[search]\nseed = 1\n"),
        ("cpus_per_trial = 1", "cpus_per_trial = 2"),
        ('"val_accuracy"\ndirection = "maximize"', '"val_loss"\ndirection = "minimize"'),
    ],
    ids=lambda change: change[1][:40],
)
def test_what_changes_numbers_changes_the_digest(change: tuple[str, str]) -> None:
    assert spec_with(change).digest != spec_of().digest


@pytest.mark.parametrize(
    "change",
    [
        (GOOD.splitlines()[0], 'question = "Another?"\ndescription = "More words."'),
        (CLAIM, ""),
        ('"a hunch"', '"a paper"'),
        ("[resources]\n", "[resources]\nmax_concurrent = 3\n"),
        ("[resources]\n", "[resources]\ngpus_per_trial = 0.5\n"),
        ("[resources]\n", '[resources]\ngpus_per_trial = "auto"\nnodes = { team = "vision" }\n'),
        ("[search]\n", "[search]\nseed = 0\nearly_stopping = 'none'\n"),
        ("log = true", "log = true "),
        (f"{LR}\n{DECAY}", f"{DECAY}\n{LR}"),
        ("epochs = 2, batch_size = 64", "batch_size = 64, epochs = 2"),
        ("[profiles.small]", "[profiles.other]"),
    ],
    ids=lambda change: change[1][:40],
)
def test_what_leaves_numbers_alone_leaves_the_digest(change: tuple[str, str]) -> None:
    assert spec_with(change).digest == spec_of().digest


def test_equal_digests_mean_that_samplers_are_asked_in_the_same_order() -> None:
    turned = spec_with((f"{LR}\n{DECAY}", f"{DECAY}\n{LR}"))
    assert [arm.space for arm in turned.arms()] == [arm.space for arm in spec_of().arms()]


def test_another_name_is_another_study() -> None:
    renamed = spec_of().model_copy(update={"name": "yours"})
    assert renamed.digest != spec_of().digest


def test_the_criterion_is_that_of_the_claims_alone() -> None:
    assert spec_with(('"elu"]\n\n[profiles', '"relu"]\n\n[profiles')).criterion != spec_of().criterion
    assert spec_with(("width = 0.125", "width = 0.25")).criterion == spec_of().criterion


def test_a_claims_test_is_part_of_the_criterion_and_not_of_the_digest() -> None:
    flips = spec_with(('ranking = ["relu+bn", "elu"]', 'ranking = ["relu+bn", "elu"]\ntest = "sign_flips"'))
    assert flips.criterion != spec_of().criterion
    assert flips.digest == spec_of().digest


def test_the_default_test_leaves_older_criteria_as_they_were() -> None:
    """The hash that this study had before a claim could name its test."""
    spelled_out = spec_with(('ranking = ["relu+bn", "elu"]', 'ranking = ["relu+bn", "elu"]\ntest = "t"'))
    assert spelled_out.criterion == spec_of().criterion
    assert spec_of().criterion == "b99466f8d201738437fd5479ec4ad7c811aacd0e2c0cd4e43d6eb1541559cbae"


def round_trip(spec: StudySpec) -> StudySpec:
    return spec_of(spec.to_toml())


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        JOINT,
        f'arms = ["elu"]\n{GOOD}'.replace('["relu+bn", "elu"]', '["elu", "relu"]'),
        changed((GOOD.splitlines()[0], 'question = "Quotes \\" and \\\\, ends\\r\\n, \\u0007 and ключ 😀"')),
        changed(("low = 1e-4, high = 1e-1", "low = 5e-324, high = 1.7976931348623157e308")),
    ],
    ids=["good", "joint", "arms", "odd text", "odd numbers"],
)
def test_a_resolved_study_reads_as_itself(text: str) -> None:
    spec = spec_of(text)
    again = round_trip(spec)
    assert again == spec
    assert again.digest == spec.digest
    assert [arm.space for arm in again.arms()] == [arm.space for arm in spec.arms()]


def test_a_resolved_study_says_what_it_left_to_defaults() -> None:
    assert 'early_stopping = "none"' in spec_of().to_toml()


# -- keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["fixed", "model", "width"], "fixed.model.width"),
        (["claims", 0, "metric"], "claims[0].metric"),
        (["conditional", "a.b=c", "x"], 'conditional."a.b=c".x'),
        (["nuisance", ""], 'nuisance.""'),
        (["\u202e"], '"\\u202e"'),
    ],
)
def test_a_key_is_written_as_toml_writes_it(parts: list[int | str], text: str) -> None:
    assert dotted(parts) == text
