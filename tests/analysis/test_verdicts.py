"""Claims against planted results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from study.analysis.verdicts import ClaimVerdict, judge_all
from study.trial import TrialResult
from tests.analysis.planted import by_id, claim, planted_spec, scores, trial

STEPS = (0.00, 0.01, -0.01, 0.02, -0.02, 0.005)  # what each replicate adds, in every arm
WOBBLE = (0.001, -0.002, 0.002, -0.001, 0.0005, -0.0005)  # what pairing does not take away


def arm(name: str, level: float, wobble: int = 0) -> list[TrialResult]:
    """Six replicates around a level; ``wobble`` shifts the noise so that no two arms share it."""
    noise = [WOBBLE[(index + wobble) % 6] for index in range(6)]
    return scores(name, *(level + step + each for step, each in zip(STEPS, noise, strict=True)))


def verdict(
    claimed: Mapping[str, Any], results: Mapping[str, TrialResult], *arms: str, **spec: Any
) -> ClaimVerdict:
    known = arms or tuple(dict.fromkeys(result.config.arm for result in results.values()))
    study = planted_spec(*known, replicates=spec.pop("replicates", 6), claims=[claimed], **spec)
    (found,) = judge_all(study, results)
    return found


THREE = by_id(arm("relu", 0.5), arm("elu", 0.4, 1), arm("tanh", 0.3, 2))


def test_a_claim_whose_every_link_holds_is_reproduced() -> None:
    found = verdict(claim("relu", "elu", "tanh"), THREE)
    assert found.verdict == "reproduced"
    assert [link.verdict for link in found.links] == ["reproduced", "reproduced"]
    assert found.reason == "Links that hold: 2 of 2"


def test_a_claim_with_a_reversed_link_is_contradicted() -> None:
    found = verdict(claim("relu", "tanh", "elu"), THREE)
    assert found.verdict == "contradicted"
    assert [link.verdict for link in found.links] == ["reproduced", "contradicted"]
    assert "tanh > elu" in found.reason


def test_a_claim_about_arms_that_are_alike_is_undecided() -> None:
    found = verdict(claim("relu", "elu"), by_id(arm("relu", 0.5), arm("elu", 0.5, 1)))
    assert (found.verdict, found.reason) == ("undecided", "Links that hold: 0 of 1; open: relu > elu")


def test_one_open_link_leaves_the_whole_undecided() -> None:
    results = by_id(arm("relu", 0.5), arm("elu", 0.5, 1), arm("tanh", 0.3, 2))
    found = verdict(claim("relu", "elu", "tanh"), results)
    assert found.verdict == "undecided"
    assert [link.verdict for link in found.links] == ["undecided", "reproduced"]


def test_a_link_is_the_paired_difference_with_its_interval() -> None:
    """Student's sleep data as two arms; R prints t = -4.0621, df = 9, p-value = 0.002833."""
    first = scores("relu", 0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
    second = scores("elu", 1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)
    (link,) = verdict(claim("elu", "relu"), by_id(first, second), replicates=10).to_json()["links"]
    assert link["difference"] == pytest.approx(1.58)
    assert (link["low"], link["high"]) == pytest.approx((0.7001142, 2.4598858), abs=5e-8)
    assert link["p"] == pytest.approx(0.002833, abs=5e-7)
    assert link["n"] == 10


def test_a_link_by_loss_is_above_zero_where_the_loss_is_lower() -> None:
    results = by_id(
        *(
            [
                trial(name, "confirm", index, {"test_loss": level + WOBBLE[index + shift]})
                for index in range(5)
            ]
            for shift, (name, level) in enumerate([("relu", 0.5), ("elu", 0.9)])
        )
    )
    found = verdict(claim("relu", "elu", metric="test_loss"), results, replicates=5)
    assert found.verdict == "reproduced"
    assert found.links[0].test.interval.mean == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.0, "reproduced"), (0.05, "reproduced"), (0.11, "undecided")]
)
def test_a_difference_must_be_above_the_margin(margin: float, expected: str) -> None:
    results = by_id(arm("relu", 0.5), arm("elu", 0.4, 1))
    assert verdict(claim("relu", "elu", margin=margin), results).verdict == expected


def test_a_reversal_must_be_beyond_the_margin_too() -> None:
    results = by_id(arm("relu", 0.5), arm("elu", 0.4, 1))
    assert verdict(claim("elu", "relu", margin=0.05), results).verdict == "contradicted"
    assert verdict(claim("elu", "relu", margin=0.11), results).verdict == "undecided"


def test_a_reversal_that_does_not_outlive_holms_correction_decides_nothing() -> None:
    """Among four links, one reversed with p = 0.034 has a corrected p of 0.136."""
    slight = [0.01, 0.02, -0.005, 0.02, 0.01, 0.01]
    results = by_id(
        arm("relu", 0.5),
        arm("elu", 0.5, 1),
        arm("tanh", 0.5, 2),
        scores("silu", *(0.5 + step for step in STEPS)),
        scores("gelu", *(0.5 + step + each for step, each in zip(STEPS, slight, strict=True))),
    )
    found = verdict(claim("relu", "elu", "tanh", "silu", "gelu"), results)
    last = found.links[-1]
    assert last.test.p is not None
    assert last.test.p == pytest.approx(0.034, abs=0.001)
    assert last.verdict == "contradicted"
    assert last.p_reversed == pytest.approx(4 * last.test.p)
    assert found.verdict == "undecided"


def test_an_arm_that_diverged_counts_as_chance_in_its_links() -> None:
    results = by_id(arm("relu", 0.5), scores("elu", *[None] * 6))
    found = verdict(claim("relu", "elu"), results)
    assert found.links[0].test.interval.mean == pytest.approx(0.4, abs=0.01)
    assert (found.verdict, found.observed) == ("reproduced", ("relu", "elu"))


def test_one_replicate_decides_nothing() -> None:
    found = verdict(claim("relu", "elu"), by_id(scores("relu", 0.9), scores("elu", 0.1)), replicates=1)
    assert (found.verdict, found.tau) == ("undecided", 1.0)
    assert found.links[0].test.interval.mean == pytest.approx(0.8)


def test_three_coarse_scores_that_agree_decide_nothing() -> None:
    """Accuracies on a few images are coarse: equal differences have no spread, and p is 2 / 2**3."""
    found = verdict(
        claim("relu", "elu"), by_id(scores("relu", *[0.5] * 3), scores("elu", *[0.4] * 3)), replicates=3
    )
    assert (found.verdict, found.links[0].test.p) == ("undecided", 0.25)


def test_a_claim_may_ask_for_sign_flips() -> None:
    """Six of six: 2 / 2**6; five cannot get below 2 / 2**5."""
    flips = {**claim("relu", "elu"), "test": "sign_flips"}
    found = verdict(flips, by_id(arm("relu", 0.5), arm("elu", 0.4, 1)))
    assert (found.verdict, found.links[0].test.p) == ("reproduced", 0.03125)
    five = by_id(scores("relu", 0.5, 0.51, 0.52, 0.5, 0.51), scores("elu", 0.1, 0.12, 0.11, 0.1, 0.13))
    assert verdict(claim("relu", "elu"), five, replicates=5).verdict == "reproduced"
    found = verdict(flips, five, replicates=5)
    assert (found.verdict, found.links[0].test.p) == ("undecided", 0.0625)
    assert found.needs.endswith("sign flips need at least 6 replicates for 1 link")


def test_an_open_link_says_how_many_replicates_would_decide_it() -> None:
    """Differences of mean 0.01 that spread by 0.02: 34 (Cohen's d of 0.5; G*Power 3.1)."""
    wobble = [0.02 * each for each in (1.0, -1.0, 0.8, -0.8, 0.9, -0.9)]
    scale = 0.02 / math.sqrt(sum(each**2 for each in wobble) / 5)
    results = by_id(scores("relu", *(0.51 + scale * each for each in wobble)), scores("elu", *[0.5] * 6))
    found = verdict(claim("relu", "elu"), results)
    assert found.links[0].replicates_needed == 34
    assert found.needs == "To decide, if the differences are as seen: relu > elu about 34 replicates"


def test_a_link_within_the_margin_is_decided_by_no_number_of_replicates() -> None:
    found = verdict(claim("relu", "elu", margin=0.2), by_id(arm("relu", 0.5), arm("elu", 0.4, 1)))
    assert found.links[0].replicates_needed is None
    assert "lies within the margin" in found.needs


def test_seeds_drawn_anew_stand_behind_a_clear_order() -> None:
    found = verdict(claim("relu", "elu", "tanh"), THREE)
    assert found.chances is not None
    assert (found.chances.n, found.chances.whole) == (6, 1.0)


# -- what did not run ---------------------------------------------------------------------------------


def test_an_unfinished_study_is_not_judged() -> None:
    found = verdict(claim("relu", "elu", "tanh"), THREE, replicates=8)
    assert found.verdict == "undecided"
    assert found.reason == "The study is unfinished: 18 of 24 replicates of these arms ended"
    assert found.tau == 1.0


def test_a_study_without_results_is_undecided_and_has_no_tau() -> None:
    found = verdict(claim("relu", "elu"), {}, "relu", "elu")
    assert (found.verdict, found.tau, found.links) == ("undecided", None, ())


def test_tau_is_taken_over_the_claimed_arms_that_ran() -> None:
    found = verdict(
        claim("relu", "silu", "elu", "tanh"), THREE, "relu", "silu", "elu", "tanh", exclude=["silu"]
    )
    assert (found.verdict, found.tau, found.observed) == ("undecided", 1.0, ("relu", "elu", "tanh"))
    assert found.reason == "Not in this study: silu"


def test_the_neighbours_of_an_arm_that_did_not_run_make_a_link() -> None:
    found = verdict(claim("relu", "silu", "elu"), THREE, "relu", "silu", "elu", exclude=["silu"])
    assert [(link.better, link.worse) for link in found.links] == [("relu", "elu")]


def test_a_reversed_link_contradicts_even_where_another_arm_did_not_run() -> None:
    found = verdict(claim("elu", "silu", "relu"), THREE, "relu", "silu", "elu", exclude=["silu"])
    assert found.verdict == "contradicted"


def test_a_claim_of_which_one_arm_ran_has_no_tau() -> None:
    found = verdict(claim("relu", "silu"), THREE, "relu", "silu", exclude=["silu"])
    assert (found.verdict, found.tau, found.links) == ("undecided", None, ())


def test_an_arm_of_which_every_tuning_trial_failed_is_not_waited_for() -> None:
    bad = [trial("silu", "tune", 0, status="failed", kind="crash")]
    found = verdict(claim("relu", "elu", "silu"), {**THREE, **by_id(bad)}, "relu", "elu", "silu")
    assert found.reason == "No mean test accuracy for silu; silu was not tuned"


def test_a_reason_tells_which_of_the_claimed_arms_were_not_tuned() -> None:
    tuning = [
        trial(arm, "tune", 0, {"val_accuracy": 0.1 if arm == "elu" else 0.9}) for arm in ("relu", "elu")
    ]
    results = {**THREE, **by_id(tuning)}
    found = verdict(claim("relu", "elu"), results, "relu", "elu", "tanh")
    assert (found.verdict, found.reason) == ("reproduced", "Links that hold: 1 of 1; elu was not tuned")
    pair = {
        "source": "L1",
        "metric": "test_accuracy",
        "difference": {"arms": ["relu", "elu"], "at_least": 0.0},
    }
    assert verdict(pair, results, "relu", "elu", "tanh").reason.endswith("; elu was not tuned")
    assert verdict(claim("relu", "tanh"), results, "relu", "elu", "tanh").reason == "Links that hold: 1 of 1"


def test_a_metric_that_no_replicate_has_is_undecided() -> None:
    found = verdict(claim("relu", "elu", metric="test_f1"), THREE, "relu", "elu")
    assert (found.verdict, found.reason) == ("undecided", "No mean test f1 for relu and elu")


def test_other_arms_do_not_enter_a_claim() -> None:
    found = verdict(claim("relu", "tanh"), THREE, "relu", "elu", "tanh")
    assert (found.verdict, found.observed, len(found.links)) == ("reproduced", ("relu", "tanh"), 1)


# -- as a whole ---------------------------------------------------------------------------------------


def test_the_json_is_strict_and_has_the_promised_names() -> None:
    results = [{}, by_id(scores("relu", None)), by_id(scores("relu", 0.5), scores("elu", 0.5)), THREE]
    for each in results:
        found = verdict(claim("relu", "elu"), each, "relu", "elu", replicates=1).to_json()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert {"claim", "verdict", "tau", "links", "reason"} <= found.keys()
