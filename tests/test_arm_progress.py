"""Searching in step: with ``search.lag`` a study repeats itself, whatever ends first and runs at once."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from study.audit import audit
from study.conductor import Conductor
from study.record import StudyRecord
from study.spec import StudySpec
from study.studyfile import validate
from study.trial import Row, TrialConfig, Verdict
from tests.faults.toy import conducting
from tests.test_conductor import TABLE, outcome

EPOCHS = 9
LAGS = (0, 2)


def a_study(**search: object) -> StudySpec:
    nuisance = {
        "optimizer": {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "momentum": {"low": 0.0, "high": 0.9}}
    }
    fixed = {"dataset": {"name": "digits"}, "training": {"epochs": EPOCHS}}
    settings = {"trials_per_arm": 12, "replicates": 2, **search}
    return validate({**TABLE, "nuisance": nuisance, "fixed": fixed, "search": settings}, "toy", "toy.toml")


def run(conductor: Conductor, order: int, until: int = 10_000) -> None:
    """Train the trials side by side, one epoch of one drawn at random after the other, ``until`` epochs."""
    draw = random.Random(order)
    running: list[tuple[TrialConfig, int]] = []
    for _ in range(until):
        while (config := conductor.next_trial()) is not None:
            conductor.started(config, token(config, order))
            running.append((config, 1))
        if not running:
            return
        config, epoch = running.pop(draw.randrange(len(running)))
        if not advance(conductor, config, token(config, order), epoch):
            running.append((config, epoch + 1))


def token(config: TrialConfig, order: int) -> str:
    return f"{config.id} {order}"


def advance(conductor: Conductor, config: TrialConfig, attempt: str, epoch: int) -> bool:
    """Train an epoch, learning towards the outcome. Whether the trial has ended."""
    result = outcome(config)
    final = result.metrics.get("val_accuracy")
    if final is not None:
        row: Row = {"epoch": epoch, "step": epoch, "seconds": 1.0, "val_accuracy": final * (epoch / EPOCHS)}
        if conductor.reported(config, attempt, row):
            return True
        if epoch < EPOCHS:
            return False
    conductor.ended(result, attempt)
    return True


Facts = dict[str, tuple[dict[str, object], Verdict]]


def facts(conductor: Conductor) -> Facts:
    return {name: (dict(r.config.hyperparameters), r.verdict) for name, r in conductor.done.items()}


def facts_of(root: Path, spec: StudySpec, concurrent: int, order: int) -> Facts:
    with conducting(root / f"{concurrent}-{order}", spec, concurrent) as conductor:
        run(conductor, order)
        assert conductor.complete
        return facts(conductor)


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize(
    "search",
    [
        {"sampler": "tpe"},
        {"sampler": "cmaes"},
        {"sampler": "tpe", "early_stopping": "asha"},
        {"sampler": "random", "early_stopping": "hyperband"},
        {"sampler": "random", "early_stopping": "median"},
    ],
    ids=lambda search: "-".join(search.values()),
)
def test_a_study_in_step_repeats_itself_whatever_ends_first_and_runs_at_once(
    tmp_path: Path, search: dict[str, object], lag: int
) -> None:
    spec = a_study(lag=lag, **search)
    alone = facts_of(tmp_path, spec, 1, order=0)
    assert "early_stopping" not in search or "pruned" in {verdict.status for _, verdict in alone.values()}
    for concurrent, order in ((2, 1), (8, 3)):
        assert facts_of(tmp_path, spec, concurrent, order) == alone


@pytest.mark.parametrize("search", [{"sampler": "tpe"}, {"sampler": "random", "early_stopping": "asha"}])
def test_out_of_step_what_ends_first_decides(tmp_path: Path, search: dict[str, object]) -> None:
    spec = a_study(**search)
    assert facts_of(tmp_path, spec, 8, order=3) != facts_of(tmp_path, spec, 8, order=4)


@pytest.mark.parametrize("lag", LAGS)
def test_an_arm_has_no_more_trials_under_way_than_the_lag_allows(tmp_path: Path, lag: int) -> None:
    with conducting(tmp_path, a_study(lag=lag), concurrent=100) as conductor:
        while conductor.next_trial() is not None:
            pass
        assert Counter(each.config.arm for each in conductor.running.values()) == {
            "relu": lag + 1,
            "elu": lag + 1,
        }
        assert not conductor.exhausted()


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "gp"])
def test_a_study_in_step_that_is_cut_anywhere_goes_on_as_if_it_had_not_been(
    tmp_path: Path, sampler: str
) -> None:
    spec = a_study(sampler=sampler, lag=1, early_stopping="asha", trials_per_arm=8)
    undisturbed = facts_of(tmp_path, spec, 1, order=0)
    for epochs in (5, 30, 90):
        root = tmp_path / f"cut-{epochs}"
        with conducting(root, spec, concurrent=3) as conductor:
            run(conductor, order=epochs, until=epochs)
            assert 0 < len(conductor.done) < len(undisturbed) or epochs == 5
        assert not list(audit(StudyRecord.latest(root, "toy")))
        with conducting(root, spec, concurrent=4) as conductor:
            run(conductor, order=1)
            assert facts(conductor) == undisturbed


def test_what_ended_ahead_of_its_turn_is_not_told_yet(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(lag=1), concurrent=4) as conductor:
        first, _, second, _ = (conductor.next_trial() for _ in range(4))
        assert first is not None
        assert second is not None
        assert (first.id, second.id) == ("relu/tune/0", "relu/tune/1")
        arm = conductor.arms["relu"]
        for config in (second, first):
            conductor.started(config, config.id)
            conductor.ended(outcome(config), config.id)
            assert not arm.may_ask() or config is first
            assert {state for state, _ in arm.search.states().values()} == {"RUNNING"}
        while conductor.next_trial() is not None:
            pass
        assert set(arm.asked["tune"]) == {0, 1, 2, 3}
        told = {index for index, (state, _) in arm.search.states().items() if state != "RUNNING"}
        assert told == {0, 1}
        assert not arm.untold


def test_a_lag_that_is_not_given_leaves_the_digest_as_it_was() -> None:
    assert a_study().digest == a_study(lag=None).digest
    assert a_study().digest != a_study(lag=0).digest
