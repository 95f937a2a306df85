"""The Bayesian signed-rank test against its authors' own program."""

from __future__ import annotations

import pytest

from study.analysis.equivalence import rope_for, signed_rank
from study.claims import Claim
from tests.analysis.test_intervals import DRUG_1, DRUG_2

# Hours more of sleep with the second drug than with the first (Student 1908).
SLEEP = [DRUG_2[block] - DRUG_1[block] for block in DRUG_1]


@pytest.mark.parametrize(
    ("rope", "better", "equal"), [(0.5, 0.99973, 0.00027), (1.0, 0.93874, 0.06127), (1.5, 0.24514, 0.75486)]
)
def test_the_beliefs_are_those_of_the_authors_program(rope: float, better: float, equal: float) -> None:
    """baycomp 1.0.3, SignedRankTest.probs(drug_1, drug_2, rope, nsamples=200000, random_state=1); 0.01 is
    three standard errors of 20,000 draws."""
    found = signed_rank(SLEEP, rope)
    assert found is not None
    assert (found.better, found.equal, found.worse) == pytest.approx((better, equal, 0.0), abs=0.01)


def test_turning_the_differences_turns_the_beliefs() -> None:
    found = signed_rank([-each for each in SLEEP], 1.0)
    assert found is not None
    assert (found.better, found.worse) == pytest.approx((0.0, 0.93874), abs=0.01)


def test_the_beliefs_are_the_same_each_time() -> None:
    assert signed_rank(SLEEP, 1.0) == signed_rank(list(SLEEP), 1.0)


def test_no_difference_is_no_belief() -> None:
    assert signed_rank([], 1.0) is None


def test_the_rope_is_the_widest_claimed_margin_and_else_a_point_of_accuracy() -> None:
    claims = [
        Claim.model_validate({"source": "L1", "metric": "test_loss", "margin": margin, "ranking": ["a", "b"]})
        for margin in (0.0, 0.02, 0.01)
    ]
    assert rope_for("test_loss", claims) == 0.02
    assert rope_for("test_accuracy", claims) == 0.01
    assert rope_for("test_loss", []) is None
