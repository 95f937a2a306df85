"""Claims about a number, against planted replicates and other programs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pytest
from scipy import stats

from study.analysis.number_claims import fieller
from study.analysis.verdicts import ClaimVerdict, judge_all
from study.trial import Verdict
from tests.analysis.planted import by_id, planted_spec, scores
from tests.analysis.test_intervals import DRUG_1, DRUG_2

RELU = (0.60, 0.62, 0.61, 0.63, 0.60, 0.62)  # mean 0.6133, t interval 0.6005 to 0.6262
ELU = (0.50, 0.51, 0.52, 0.52, 0.50, 0.51)  # lower by 0.1033 on average, 0.0948 to 0.1119
RESULTS = by_id(scores("relu", *RELU), scores("elu", *ELU))


def verdict(kind: str, body: Mapping[str, Any], replicates: int = 6) -> ClaimVerdict:
    claim = {"source": "L1", "metric": "test_accuracy", kind: dict(body)}
    (found,) = judge_all(planted_spec("relu", "elu", replicates=replicates, claims=[claim]), RESULTS)
    return found


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"at_least": 0.6}, "reproduced"),
        ({"at_least": 0.63}, "contradicted"),
        ({"at_least": 0.62}, "undecided"),
        ({"at_most": 0.63}, "reproduced"),
        ({"at_most": 0.6}, "contradicted"),
        ({"equals": 0.61, "within": 0.02}, "reproduced"),
        ({"equals": 0.61, "within": 0.005}, "undecided"),
        ({"equals": 0.36, "within": 0.02}, "contradicted"),
    ],
)
def test_a_value_is_judged_by_where_its_interval_lies(bounds: dict[str, float], expected: str) -> None:
    assert verdict("value", {"arm": "relu", **bounds}).verdict == expected


def test_the_estimate_is_the_mean_with_its_interval() -> None:
    found = verdict("value", {"arm": "relu", "at_least": 0.6})
    t = stats.ttest_1samp(RELU, 0).confidence_interval(0.95)
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(sum(RELU) / 6)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((t.low, t.high))
    assert found.reason == "test accuracy of relu = 0.613 [0.601, 0.626] (6 replicates)"


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"at_least": 0.09}, "reproduced"),
        ({"at_least": 0.12}, "contradicted"),
        ({"at_least": 0.1}, "undecided"),
    ],
)
def test_a_difference_is_paired(bounds: dict[str, float], expected: str) -> None:
    """Unpaired, the interval would be about 0.01 wider on either side."""
    found = verdict("difference", {"arms": ["relu", "elu"], **bounds})
    assert found.verdict == expected
    assert found.estimate is not None
    t = stats.ttest_rel(RELU, ELU).confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((t.low, t.high))


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"at_least": 1.15}, "reproduced"),
        ({"at_most": 1.15}, "contradicted"),
        ({"at_most": 1.2}, "undecided"),
    ],
)
def test_a_ratio_is_judged_too(bounds: dict[str, float], expected: str) -> None:
    assert verdict("ratio", {"arms": ["relu", "elu"], **bounds}).verdict == expected


def test_a_ratios_interval_ends_where_a_paired_t_test_turns() -> None:
    """Fieller (1954): at either end, first - r second has a two-sided p of 0.05."""
    first, second = list(DRUG_2.values()), [5 + each for each in DRUG_1.values()]
    found = fieller(first, second)
    assert found.value == pytest.approx(sum(first) / sum(second))
    for end in (found.low, found.high):
        assert end is not None
        rest = [a - end * b for a, b in zip(first, second, strict=True)]
        assert stats.ttest_1samp(rest, 0).pvalue == pytest.approx(0.05)


def test_a_ratio_to_what_may_be_nothing_has_an_open_interval() -> None:
    found = fieller([1.0, 1.1, 0.9], [0.1, -0.1, 0.05])
    assert (found.low, found.high) == (None, None)


def test_an_undecided_number_says_what_would_decide_it() -> None:
    """relu lies 0.0067 below the bound and spreads by 0.0121: 28 replicates (R: power.t.test, one.sample)."""
    found = verdict("value", {"arm": "relu", "at_least": 0.62})
    assert found.needs == "To decide, if the number is as seen: about 28 replicates"


def test_a_decided_number_needs_nothing() -> None:
    assert verdict("value", {"arm": "relu", "at_least": 0.6}).needs == ""


def test_an_unfinished_study_is_not_judged() -> None:
    found = verdict("value", {"arm": "relu", "at_least": 0.6}, replicates=8)
    assert (found.verdict, found.estimate) == ("undecided", None)
    assert found.reason == "The study is unfinished: 6 of 8 replicates of these arms ended"


def test_a_metric_that_no_replicate_has_is_undecided() -> None:
    claim = {"source": "L1", "metric": "test_f1", "value": {"arm": "relu", "at_least": 0.6}}
    (found,) = judge_all(planted_spec("relu", "elu", replicates=6, claims=[claim]), RESULTS)
    assert (found.verdict, found.reason) == ("undecided", "No mean test f1 for relu")


def test_an_arm_that_is_not_in_the_study_is_named() -> None:
    claim = {"source": "L1", "metric": "test_accuracy", "value": {"arm": "tanh", "at_least": 0.6}}
    spec = planted_spec("relu", "tanh", replicates=6, claims=[claim], exclude=["tanh"])
    (found,) = judge_all(spec, by_id(scores("relu", *RELU)))
    assert found.reason == "Not in this study: tanh"


def test_a_single_replicate_decides_nothing() -> None:
    claim = {"source": "L1", "metric": "test_accuracy", "value": {"arm": "relu", "at_least": 0.1}}
    (found,) = judge_all(planted_spec("relu", replicates=1, claims=[claim]), by_id(scores("relu", 0.6)))
    assert found.verdict == "undecided"
    assert math.isclose(found.estimate.value or 0, 0.6) if found.estimate else False


def test_arms_without_a_replicate_in_common_are_not_paired() -> None:
    """The first of one and the second of the other had failed."""
    results = by_id(scores("relu", 0.6, 0.6), scores("elu", 0.5, 0.5))
    for name in ("relu/confirm/1", "elu/confirm/0"):
        results[name] = dataclasses.replace(results[name], verdict=Verdict("failed", "crash"), metrics={})
    for kind in ("difference", "ratio"):
        claim = {"source": "L1", "metric": "test_accuracy", kind: {"arms": ["relu", "elu"], "at_least": 1.0}}
        (found,) = judge_all(planted_spec("relu", "elu", replicates=2, claims=[claim]), results)
        assert (found.verdict, found.reason) == ("undecided", "relu and elu have no replicate in common")
