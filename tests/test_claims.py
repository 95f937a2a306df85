"""Claims of every kind parse, and say which arms they are about."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from study.claims import KINDS, Claim

BASE = {"source": "a paper", "metric": "test_accuracy"}
BODIES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "ranking": ({"ranking": ["relu", "elu", "selu"]}, ("relu", "elu", "selu")),
    "value": ({"value": {"arm": "relu", "equals": 0.9, "within": 0.01}}, ("relu",)),
    "difference": ({"difference": {"arms": ["relu", "elu"], "at_least": 0.01}}, ("relu", "elu")),
    "ratio": ({"ratio": {"arms": ["relu", "elu"], "at_most": 2.0}}, ("relu", "elu")),
    "trend": (
        {"trend": {"of": "model.width", "along": "dataset.train_size", "direction": "increasing"}},
        (),
    ),
    "proportion": ({"proportion": {"of": "softmax", "at_least": 0.5}}, ()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_claim_of_every_kind_parses(kind: str) -> None:
    body, arms = BODIES[kind]
    claim = Claim.model_validate({**BASE, **body})
    assert claim.kind == kind
    assert claim.arms == arms


def test_a_proportion_may_be_of_some_arms() -> None:
    body = {"proportion": {"of": "softmax", "at_least": 0.5, "arms": ["relu"]}}
    assert Claim.model_validate({**BASE, **body}).arms == ("relu",)


def test_a_ranking_is_shown_best_first() -> None:
    assert str(Claim.model_validate({**BASE, "ranking": ["relu", "elu"]})) == "relu > elu by test_accuracy"


def test_another_claim_is_shown_by_its_text() -> None:
    body = {"value": {"arm": "relu", "at_least": 0.9}, "text": "relu gets nine of ten right"}
    assert str(Claim.model_validate({**BASE, **body})) == "relu gets nine of ten right by test_accuracy"


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({}, "needs equals"),
        ({"equals": 0.5}, "equals and within go together"),
        ({"within": 0.5, "at_least": 0.1}, "equals and within go together"),
        ({"at_least": 0.5, "at_most": 0.4}, "at_least must not exceed at_most"),
        ({"equals": 0.5, "within": -0.1}, "greater than or equal to 0"),
        ({"at_least": float("nan")}, "finite"),
    ],
)
def test_bounds_that_say_nothing_sensible_are_refused(bounds: dict[str, float], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Claim.model_validate({**BASE, "value": {"arm": "relu", **bounds}})


def test_a_proportion_among_all_is_written_as_it_was_before_there_was_among() -> None:
    body = {"proportion": {"of": "recovered", "at_least": 0.5}}
    assert Claim.model_validate({**BASE, **body}).model_dump(mode="json")["proportion"] == {
        "equals": None,
        "within": None,
        "at_least": 0.5,
        "at_most": None,
        "of": "recovered",
        "arms": None,
    }
    body["proportion"]["among"] = "diverged"
    claim = Claim.model_validate({**BASE, **body})
    assert claim.model_dump(mode="json")["proportion"]["among"] == "diverged"


def test_a_claim_is_judged_by_t_where_it_does_not_say() -> None:
    assert Claim.model_validate({**BASE, "ranking": ["relu", "elu"]}).test == "t"


def test_a_number_is_judged_by_its_interval_not_by_a_test() -> None:
    body = {"value": {"arm": "relu", "at_least": 0.9}, "test": "sign_flips"}
    with pytest.raises(ValidationError, match="a value is judged by its interval; leave test out"):
        Claim.model_validate({**BASE, **body})


def test_a_flat_trend_needs_a_margin() -> None:
    trend = {"of": "test_accuracy", "along": "model.width", "direction": "flat"}
    with pytest.raises(ValidationError, match="a flat trend needs a margin"):
        Claim.model_validate({**BASE, "trend": trend})
    assert Claim.model_validate({**BASE, "trend": trend, "margin": 0.01}).margin == 0.01
