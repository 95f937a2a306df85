"""Trials by cause: each is counted once, under what decided its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from study.analysis.causes import causes, kind_of
from study.trial import Event, TrialResult
from tests.analysis.planted import diverged, trial


def spiky(*kinds: str, arm: str = "relu", index: int = 0) -> TrialResult:
    events: tuple[Event, ...] = tuple({"kind": kind, "step": 150} for kind in kinds)
    return replace(trial(arm, "tune", index, {"val_accuracy": 0.5}), events=events)


def failed(arm: str, index: int, kind: str) -> TrialResult:
    return trial(arm, "tune", index, status="failed", kind=kind)


def test_every_trial_is_in_one_cause() -> None:
    results = [
        *(trial("relu", "tune", index, {"val_accuracy": 0.5}) for index in range(3)),
        spiky("recovered", index=3),
        spiky("recovered", "recovered", arm="elu"),
        diverged("elu", "tune", 1),
        replace(diverged("elu", "confirm", 0), events=spiky("recovered").events),
        trial("elu", "tune", 2, status="stalled", kind="dead"),
        failed("elu", 3, "hang"),
        failed("relu", 4, "crash"),
    ]
    found = causes(results)
    assert [(str(each), each.trials, dict(each.arms), each.example) for each in found] == [
        ("ok", 3, {"relu": 3}, "relu/tune/0"),
        ("ok: recovered from a loss spike", 2, {"relu": 1, "elu": 1}, "relu/tune/3"),
        ("diverged: loss not finite", 2, {"elu": 2}, "elu/tune/1"),
        ("stalled: at chance for good", 1, {"elu": 1}, "elu/tune/2"),
        ("failed: crash", 1, {"relu": 1}, "relu/tune/4"),
        ("failed: hang", 1, {"elu": 1}, "elu/tune/3"),
    ]
    assert sum(each.trials for each in found) == len(results)


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ((), None),
        (("evaluation_alone",), None),
        (("recovered",), "recovered"),
        (("recovered", "lingering"), "lingering"),
        (("lingering", "recovered", "spike"), "spike"),
    ],
)
def test_what_became_of_the_worst_spike_decides(events: tuple[str, ...], kind: str | None) -> None:
    assert kind_of(spiky(*events)) == kind


def test_spikes_past_the_events_that_are_told_one_by_one_count_too() -> None:
    omitted = replace(spiky(), events=({"kind": "omitted", "recovered": 3},))
    assert kind_of(omitted) == "recovered"


def test_within_a_verdict_the_most_frequent_cause_comes_first() -> None:
    results = [failed("relu", 0, "crash"), failed("relu", 1, "hang"), failed("relu", 2, "hang")]
    assert [each.kind for each in causes(results)] == ["hang", "crash"]


def test_no_trial_has_no_cause() -> None:
    assert causes([]) == ()


def test_a_kind_without_words_of_its_own_is_told_by_its_name() -> None:
    (cause,) = causes([failed("relu", 0, "worker_death")])
    assert str(cause) == "failed: worker death"
    assert cause.to_json() == {
        "status": "failed",
        "kind": "worker_death",
        "trials": 1,
        "arms": {"relu": 1},
        "example": "relu/tune/0",
    }
