"""`study compare`: settings, arms and claims of two studies side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from study.analysis.intervals import welch_test
from study.record import StudyRecord
from study.trial import TrialResult
from tests.analysis.planted import by_id, claim, planted_record, planted_spec, scores
from tests.cli.conftest import Command, assert_one_line

BEFORE = (0.50, 0.52, 0.54, 0.56)
AFTER = (0.61, 0.62, 0.64, 0.67)


def planted(root: Path, *groups: list[TrialResult], arms: tuple[str, ...], batch: int = 64) -> StudyRecord:
    fixed = {"dataset": {"name": "digits"}, "model": {"name": "all_cnn_c"}, "training": {"batch_size": batch}}
    spec = planted_spec(*arms, replicates=4, claims=[claim(*arms)], fixed=fixed)
    return planted_record(root, spec, by_id(*groups))


@pytest.fixture
def names(folder: Path) -> tuple[str, str]:
    """Two studies with relu in common, whose replicates drew the same seeds."""
    runs = folder / "runs"
    first = planted(runs, scores("relu", *BEFORE), scores("elu", *AFTER), arms=("relu", "elu"))
    second = planted(runs, scores("relu", *AFTER), scores("gelu", *BEFORE), arms=("relu", "gelu"), batch=32)
    return f"planted@{first.folder.name}", f"planted@{second.folder.name}"


def test_settings_that_differ_are_told_and_no_others(names: tuple[str, str], study: Command) -> None:
    settings = json.loads(study("compare", *names, "--json").out)["settings"]
    assert settings == {
        "scientific.activation.name": [["relu", "elu"], ["relu", "gelu"]],
        "fixed.training.batch_size": [64, 32],
    }


def test_arms_that_drew_the_same_seeds_are_compared_in_pairs(names: tuple[str, str], study: Command) -> None:
    arms = {each["arm"]: each for each in json.loads(study("compare", *names, "--json").out)["arms"]}
    relu = arms["relu"]
    test = stats.ttest_rel(AFTER, BEFORE)
    low, high = test.confidence_interval(0.95)
    assert relu["paired"]
    assert relu["difference"] == pytest.approx(0.105)
    assert (relu["low"], relu["high"]) == (pytest.approx(low), pytest.approx(high))
    assert relu["p"] == pytest.approx(test.pvalue)
    assert (relu["first"]["n"], relu["second"]["mean"]) == (4, pytest.approx(0.635))


def test_pairs_are_those_that_both_have(folder: Path, study: Command) -> None:
    """Of one study a replicate is missing; the seeds of the others are the same."""
    first = planted(folder / "runs", scores("relu", *BEFORE), arms=("relu", "elu"))
    second = planted(folder / "runs", scores("relu", *AFTER[:3]), arms=("relu", "elu"), batch=32)
    said = study("compare", f"planted@{first.folder.name}", f"planted@{second.folder.name}", "--json")
    (relu, _) = json.loads(said.out)["arms"]
    assert relu["paired"]
    assert relu["p"] == pytest.approx(stats.ttest_rel(AFTER[:3], BEFORE[:3]).pvalue)


def test_an_arm_of_one_study_alone_has_no_difference(names: tuple[str, str], study: Command) -> None:
    arms = {each["arm"]: each for each in json.loads(study("compare", *names, "--json").out)["arms"]}
    assert list(arms) == ["relu", "elu", "gelu"]
    assert (arms["elu"]["second"], arms["gelu"]["first"]) == (None, None)
    assert arms["elu"]["difference"] is None


def test_other_seeds_are_compared_by_welchs_test(folder: Path, study: Command) -> None:
    other = [replace(r, config=replace(r.config, seed=r.config.seed + 1)) for r in scores("relu", *AFTER)]
    first = planted(folder / "runs", scores("relu", *BEFORE), arms=("relu", "elu"))
    second = planted(folder / "runs", other, arms=("relu", "elu"), batch=32)
    said = study("compare", f"planted@{first.folder.name}", f"planted@{second.folder.name}", "--json")
    (relu, _) = json.loads(said.out)["arms"]
    test = stats.ttest_ind(AFTER, BEFORE, equal_var=False)
    assert not relu["paired"]
    assert relu["p"] == pytest.approx(test.pvalue)
    assert relu["low"] == pytest.approx(test.confidence_interval(0.95).low)


def test_claims_stand_beside_each_other(names: tuple[str, str], study: Command) -> None:
    claims = json.loads(study("compare", *names, "--json").out)["claims"]
    assert claims == {
        "L1: relu > elu by test_accuracy": ["contradicted", None],
        "L1: relu > gelu by test_accuracy": [None, "reproduced"],
    }


def test_the_comparison_is_readable(
    names: tuple[str, str], study: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    said = study("compare", *names)
    assert said.code == 0
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines[0].startswith(f"A {names[0]} ")
    assert "fixed.training.batch_size 64 32" in lines
    assert any(line.startswith("relu 0.53 ± 0.04 4 0.64 ± 0.04 4 +0.10 ± 0.01 < 0.001") for line in lines), (
        lines
    )
    assert "paired by replicate: both studies drew the same seeds" in lines


def test_a_study_is_not_compared_with_itself(names: tuple[str, str], study: Command) -> None:
    assert_one_line(study("compare", names[0], names[0]), f"are both {names[0]}", "NAME@DIGEST")


def test_studies_with_other_objectives_are_not_compared(folder: Path, study: Command) -> None:
    one = planted_record(folder / "runs", planted_spec("relu", "elu", replicates=1), {})
    two = planted_record(folder / "runs", planted_spec("relu", "elu", replicates=1, objective="val_loss"), {})
    names = [f"planted@{record.folder.name}" for record in (one, two)]
    assert_one_line(study("compare", *names), "ranked by test_accuracy", "test_loss")


def test_a_study_that_is_not_there_is_named(names: tuple[str, str], study: Command) -> None:
    assert_one_line(study("compare", names[0], "plantd"), "'plantd'", "did you mean planted?")


@pytest.mark.parametrize(("first", "second"), [((), (1.0,)), ((1.0,), (2.0, 3.0)), ((1.0, 1.0), (2.0, 2.0))])
def test_without_spread_there_is_no_test(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    interval, p = welch_test(first, second)
    assert (interval.low, interval.high, p) == (None, None, None)
