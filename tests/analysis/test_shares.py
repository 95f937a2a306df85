"""Claims about what share of the trials something happens in."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from study.analysis.shares import happened, judge_share, origin
from study.analysis.verdicts import judge
from study.check import check
from study.claims import HAPPENINGS, Claim
from study.errors import StudyFileError
from study.spec import StudySpec
from study.trial import Status, TrialResult
from tests.analysis.planted import by_id, diverged, finished, planted_spec, trial


def share(of: str, arms: list[str] | None = None, among: str | None = None, **bounds: float) -> Claim:
    proportion = {"of": of, "arms": arms, "among": among, **bounds}
    claim = {"source": "L31", "metric": "trials", "proportion": proportion}
    return Claim.model_validate(claim)


def a_study(*arms: str, trials: int = 20, claims: list[Any] | None = None, **changes: Any) -> StudySpec:
    return planted_spec(*arms, trials=trials, claims=claims or [], **changes)


def with_event(result: TrialResult, kind: str) -> TrialResult:
    return dataclasses.replace(result, events=({"kind": kind, "step": 7},))


def half_spiking(arm: str = "relu") -> list[TrialResult]:
    trials = [finished(arm, "tune", index, 0.5) for index in range(20)]
    return [with_event(each, "recovered") if each.config.index % 2 else each for each in trials]


def test_a_share_is_judged_by_its_interval() -> None:
    results = by_id(half_spiking())
    spec = a_study("relu")
    claims = [share("recovered", at_least=bound) for bound in (0.2, 0.4, 0.9)]
    claims.append(share("recovered", at_most=0.8))
    verdicts = [judge_share(each, spec, results)[0] for each in claims]
    assert verdicts == ["reproduced", "undecided", "contradicted", "reproduced"]


def test_its_numbers_are_given() -> None:
    _, reason, estimate = judge_share(
        share("recovered", at_least=0.2), a_study("relu"), by_id(half_spiking())
    )
    assert reason == "recovered in 10 of 20 trials: 0.5 [0.3, 0.7]"
    assert estimate is not None
    assert estimate.value == 0.5


def test_only_the_claimed_arms_count() -> None:
    still = [finished("elu", "tune", index, 0.5) for index in range(20)]
    spec, results = a_study("relu", "elu"), by_id(half_spiking(), still)
    assert "10 of 40" in judge_share(share("recovered", at_least=0.1), spec, results)[1]
    assert "0 of 20" in judge_share(share("recovered", ["elu"], at_least=0.1), spec, results)[1]


def test_failed_trials_do_not_count() -> None:
    broken = [trial("relu", "tune", 19, status="failed", kind="crash")]
    results = by_id(half_spiking()[:19], broken)
    assert "of 19 trials" in judge_share(share("ok", at_least=0.5), a_study("relu"), results)[1]


@pytest.mark.parametrize(
    ("arms", "reason"), [(None, "unfinished: 19 of 20"), (["tanh"], "Not in this study")]
)
def test_without_all_trials_nothing_is_decided(arms: list[str] | None, reason: str) -> None:
    claim = share("recovered", arms, at_least=0.2)
    verdict, why, estimate = judge_share(claim, a_study("relu"), by_id(half_spiking()[:19]))
    assert (verdict, estimate) == ("undecided", None)
    assert reason in why


def test_replicates_that_are_still_to_come_are_waited_for() -> None:
    spec = a_study("relu", replicates=2)
    tuned = half_spiking()
    verdict, why, estimate = judge_share(share("recovered", at_least=0.2), spec, by_id(tuned))
    assert (verdict, estimate) == ("undecided", None)
    assert why == "The study is unfinished: 0 of 2 replicates of these arms ended"
    ended = [finished("relu", "confirm", index, 0.5) for index in range(2)]
    assert "of 22 trials" in judge_share(share("recovered", at_least=0.2), spec, by_id(tuned, ended))[1]


def test_the_studys_verdict_has_the_estimate() -> None:
    found = judge(share("recovered", at_least=0.2), a_study("relu"), by_id(half_spiking()))
    assert found.verdict == "reproduced"
    assert found.to_json()["estimate"]["value"] == 0.5


@pytest.mark.parametrize("what", ["diverged", "nonfinite_loss"])
def test_a_trial_ends_by_its_status_and_by_its_kind(what: str) -> None:
    assert happened(what, diverged("relu", "tune", 0))


@pytest.mark.parametrize("ending", ["recovered", "lingering", "spike"])
def test_every_ending_of_a_spike_is_a_spike(ending: str) -> None:
    assert happened("spikes", with_event(finished("relu", "tune", 0, 0.5), ending))


@pytest.mark.parametrize("status", ["ok", "stalled"])
def test_what_did_not_happen_is_not_counted(status: Status) -> None:
    assert not happened("spikes", trial("relu", "tune", 0, status=status))


# -- where a training broke


def broken(index: int, *firsts: tuple[str, str]) -> TrialResult:
    """A diverged trial of relu whose autopsy found these stages and layers, in this order."""
    found = [{"stage": stage, "layer": layer} for stage, layer in firsts]
    return dataclasses.replace(diverged("relu", "tune", index), autopsy={"firsts": found})


@pytest.mark.parametrize(
    ("firsts", "place"),
    [
        ([("activation", "loss"), ("gradient", "loss")], "broke_in_loss"),
        ([("grown", "conv9"), ("activation", "loss")], "broke_in_loss"),
        ([("activation", "conv3"), ("activation", "loss")], "broke_in_layers"),
        ([("gradient", "conv9")], "broke_in_layers"),
        ([("grown", "conv9")], None),
        ([], None),
    ],
)
def test_a_training_broke_where_the_first_number_was_not_finite(
    firsts: list[tuple[str, str]], place: str | None
) -> None:
    assert origin(broken(0, *firsts)) == place
    for what in ("broke_in_loss", "broke_in_layers"):
        assert happened(what, broken(0, *firsts)) == (what == place)


def test_a_trial_without_an_autopsy_broke_nowhere() -> None:
    assert origin(finished("relu", "tune", 0, 0.5)) is None


def test_a_share_may_be_among_the_trials_that_something_happened_in() -> None:
    loss, layer = ("activation", "loss"), ("activation", "conv3")
    blown = [broken(index, loss if index < 9 else layer) for index in range(10)]
    fine = [finished("relu", "tune", index, 0.5) for index in range(10, 20)]
    claimed = share("broke_in_loss", among="diverged", at_least=0.5)
    verdict, reason, estimate = judge_share(claimed, a_study("relu"), by_id(blown, fine))
    assert verdict == "reproduced"
    assert reason.startswith("broke_in_loss in 9 of 10 diverged trials: 0.9")
    assert estimate is not None
    assert estimate.value == 0.9


def test_among_nothing_nothing_is_decided() -> None:
    fine = [finished("relu", "tune", index, 0.5) for index in range(20)]
    claimed = share("broke_in_loss", among="diverged", at_least=0.5)
    verdict, reason, _ = judge_share(claimed, a_study("relu"), by_id(fine))
    assert (verdict, reason) == ("undecided", "Nothing to count: diverged in none of 20 trials")


# -- what a study file may claim


def checked(claim: dict[str, Any]) -> None:
    fixed = {
        "dataset": {"name": "digits"},
        "model": {"name": "all_cnn_c"},
        "optimizer": {"name": "sgd"},
        "training": {"epochs": 2},
    }
    check(a_study("relu", "elu", claims=[{"source": "L31", "metric": "trials", **claim}], fixed=fixed))


@pytest.mark.parametrize("what", HAPPENINGS)
def test_whatever_happens_in_trials_can_be_claimed(what: str) -> None:
    checked({"proportion": {"of": what, "at_least": 0.1}})


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(StudyFileError, match="did you mean recovered"):
        checked({"proportion": {"of": "recoverd", "at_least": 0.1}})
    with pytest.raises(StudyFileError, match=r"among: nothing that happens .* did you mean diverged"):
        checked({"proportion": {"of": "recovered", "among": "divergd", "at_least": 0.1}})


def test_the_trials_have_no_ranking() -> None:
    with pytest.raises(StudyFileError, match="a claim about trials is a proportion"):
        checked({"ranking": ["relu", "elu"]})
