"""The conductor: which trial comes next, and that none is lost or counted twice.

Trials are not trained here: their results are computed from their hyperparameters, so that hundreds
of them take a second. Record, samplers and accounting are the real ones.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from study.conductor import FAILURES_IN_A_ROW, Conductor
from study.record import JournalWriter, StudyRecord
from study.spec import StudySpec
from study.studyfile import validate
from study.trial import Row, TrialConfig, TrialResult, Verdict

CHANCE = 0.1
TABLE = {
    "question": "Which is better?",
    "objective": {"metric": "val_accuracy", "direction": "maximize"},
    "scientific": {"activation": {"name": ["relu", "elu"]}},
    "nuisance": {"optimizer": {"lr": {"low": 1e-4, "high": 1.0, "log": True}}},
    "fixed": {"dataset": {"name": "digits"}, "training": {"epochs": 2}},
    "search": {"trials_per_arm": 5, "replicates": 3},
}


def a_study(**search: object) -> StudySpec:
    return validate({**TABLE, "search": {**TABLE["search"], **search}}, "toy", "toy.toml")  # type: ignore[dict-item]


def outcome(config: TrialConfig) -> TrialResult:
    """Best at lr 0.01, diverged from 0.3 on."""
    lr = float(config.hyperparameters["optimizer.lr"])
    if lr > 0.3:
        return TrialResult(config, Verdict("diverged", "nonfinite_loss", step=3, epoch=1))
    accuracy = 0.9 - abs(math.log10(lr) + 2) / 10 + config.seed % 7 / 1000
    test = {"test_accuracy": accuracy} if config.phase == "confirm" else {}
    return TrialResult(config, Verdict("ok"), metrics={"val_accuracy": accuracy, **test})


def epoch_row(epoch: int) -> Row:
    return {"epoch": epoch, "val_accuracy": 0.5}


@contextmanager
def conducting(root: Path, spec: StudySpec, concurrent: int = 1, **options: Any) -> Iterator[Conductor]:
    record = StudyRecord.create(root, spec)
    with JournalWriter(record) as journal:
        yield Conductor(record, journal, worst=CHANCE, concurrent=concurrent, **options)


def carry_out(conductor: Conductor, config: TrialConfig) -> None:
    token = f"{config.id}-{time.monotonic_ns()}"
    conductor.started(config, token)
    conductor.reported(config, token, epoch_row(1))
    conductor.reported(config, token, epoch_row(2))
    conductor.ended(outcome(config), token)


def run(conductor: Conductor, trials: int = 10_000) -> list[TrialConfig]:
    """Carry out up to ``trials`` trials, oldest first, as many at once as the conductor hands out."""
    handed: list[TrialConfig] = []
    waiting: list[TrialConfig] = []
    while len(handed) < trials:
        while (config := conductor.next_trial()) is not None:
            waiting.append(config)
        if not waiting:
            break
        handed.append(waiting.pop(0))
        carry_out(conductor, handed[-1])
    return handed


def facts(results: dict[str, TrialResult]) -> dict[str, object]:
    return {
        trial: (dict(r.config.hyperparameters), r.config.seed, dict(r.metrics))
        for trial, r in results.items()
    }


def test_every_arm_gets_the_trials_and_the_replicates_that_were_asked_for(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        handed = run(conductor)
    counts = Counter((config.arm, config.phase) for config in handed)
    assert counts == {("relu", "tune"): 5, ("elu", "tune"): 5, ("relu", "confirm"): 3, ("elu", "confirm"): 3}


def test_arms_advance_together(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        handed = [config for config in run(conductor) if config.phase == "tune"]
    assert [config.arm for config in handed] == ["relu", "elu"] * 5


def test_an_arm_is_confirmed_as_soon_as_its_own_tuning_is_done(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(), concurrent=2) as conductor:
        handed = run(conductor, trials=9)
        assert len(conductor.arms["elu"].ended["tune"]) == 4
        following = conductor.next_trial()
        assert following is not None
        assert following.id == "relu/confirm/0"
        assert set(conductor.running) == {"elu/tune/4", "relu/confirm/0"}
    assert all(config.phase == "tune" for config in handed)


def test_replicates_take_the_best_finished_configuration_of_their_arm(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        handed = run(conductor)
        tuned = [r for r in conductor.done.values() if r.config.phase == "tune" and r.verdict.status == "ok"]
    for arm in ("relu", "elu"):
        of_arm = [result for result in tuned if result.config.arm == arm]
        best = max(of_arm, key=lambda result: result.metrics["val_accuracy"])
        confirmed = [config for config in handed if config.arm == arm and config.phase == "confirm"]
        assert all(config.hyperparameters == best.config.hyperparameters for config in confirmed)


def test_arms_share_their_seeds_and_replicates_have_fresh_ones(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        handed = run(conductor)
    seeds = {(config.arm, config.phase, config.index): (config.seed, config.split_seed) for config in handed}
    for (_, phase, index), pair in seeds.items():
        assert seeds["relu", phase, index] == pair
    assert len({pair[0] for pair in seeds.values()}) == 5 + 3
    assert len({seeds["relu", "tune", index][1] for index in range(5)}) == 1, "one validation split in tuning"
    assert len({seeds["relu", "confirm", index][1] for index in range(3)}) == 3, "redrawn in each replicate"


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "cmaes"])
def test_a_study_cut_anywhere_goes_on_as_if_it_had_not_been(tmp_path: Path, sampler: str) -> None:
    space = {
        "optimizer": {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "momentum": {"low": 0.0, "high": 0.9}}
    }
    spec = validate(
        {**TABLE, "nuisance": space, "search": {**a_study().search.model_dump(), "sampler": sampler}},
        "toy",
        "",
    )
    with conducting(tmp_path / "whole", spec) as conductor:
        run(conductor)
        undisturbed = facts(conductor.done)
    for done_before in (1, 4, 9, 11, 14):
        root = tmp_path / str(done_before)
        with conducting(root, spec) as conductor:
            run(conductor, done_before)
            lost = conductor.next_trial()  # handed out, then everything dies
        with conducting(root, spec) as conductor:
            assert len(conductor.done) == done_before
            again = run(conductor)
            assert again[0] == lost, "what was handed out comes first, unchanged"
            assert facts(conductor.done) == undisturbed


def learn(conductor: Conductor, config: TrialConfig, epochs: int = 9) -> None:
    """Report an epoch after the other, learning towards the outcome, until told to stop."""
    token = f"{config.id}-{time.monotonic_ns()}"
    conductor.started(config, token)
    result = outcome(config)
    final = result.metrics.get("val_accuracy")
    for epoch in range(1, epochs + 1):
        value = None if final is None else final * epoch / epochs
        row: Row = {"epoch": epoch, "step": 10 * epoch, "seconds": 1.0, "val_accuracy": value}
        if conductor.reported(config, token, row):
            return
        if final is None:
            break
    conductor.ended(result, token)


def learn_all(conductor: Conductor, trials: int = 10_000) -> list[TrialConfig]:
    handed: list[TrialConfig] = []
    while len(handed) < trials and (config := conductor.next_trial()) is not None:
        learn(conductor, config)
        handed.append(config)
    return handed


def with_stopping(rule: str, **search: object) -> StudySpec:
    fixed = {"dataset": {"name": "digits"}, "training": {"epochs": 9}}
    settings = {"trials_per_arm": 12, "replicates": 2, "early_stopping": rule, **search}
    return validate({**TABLE, "fixed": fixed, "search": settings}, "toy", "toy.toml")


@pytest.mark.parametrize("rule", ["asha", "hyperband", "median"])
def test_rungs_are_rebuilt_from_the_record(tmp_path: Path, rule: str) -> None:
    spec = with_stopping(rule)
    with conducting(tmp_path / "whole", spec) as conductor:
        learn_all(conductor)
        undisturbed = {trial: result.verdict for trial, result in conductor.done.items()}
        rungs = {name: progress.stopping.values for name, progress in conductor.arms.items()}
    assert {verdict.status for verdict in undisturbed.values()} >= {"ok", "pruned"}
    for done_before in (3, 11, 20):
        root = tmp_path / str(done_before)
        with conducting(root, spec) as conductor:
            learn_all(conductor, done_before)
            conductor.next_trial()
        with conducting(root, spec) as conductor:
            learn_all(conductor)
            assert {trial: result.verdict for trial, result in conductor.done.items()} == undisturbed
            assert {name: progress.stopping.values for name, progress in conductor.arms.items()} == rungs


def test_a_stopped_trial_is_told_pruned_at_its_epoch(tmp_path: Path) -> None:
    with conducting(tmp_path, with_stopping("asha")) as conductor:
        learn_all(conductor)
        for progress in conductor.arms.values():
            told = progress.search.states()
            for index, result in progress.ended["tune"].items():
                if result.verdict.status == "pruned":
                    assert told[index] == ("PRUNED", result.curve[-1]["val_accuracy"])
                    assert result.verdict.epoch == len(result.curve)


def test_an_arm_is_not_judged_by_the_rungs_of_another(tmp_path: Path) -> None:
    both = with_stopping("asha")
    alone = both.model_copy(update={"arms_only": ["elu"]})
    with conducting(tmp_path / "both", both) as conductor:
        learn_all(conductor)
        together = {t: r.verdict for t, r in conductor.done.items() if t.startswith("elu/")}
    with conducting(tmp_path / "alone", alone) as conductor:
        learn_all(conductor)
        assert {trial: result.verdict for trial, result in conductor.done.items()} == together


def test_replicates_are_never_stopped_early(tmp_path: Path) -> None:
    with conducting(tmp_path, with_stopping("asha", replicates=10)) as conductor:
        learn_all(conductor)
        confirmed = [r.verdict.status for r in conductor.done.values() if r.config.phase == "confirm"]
    assert confirmed == ["ok"] * 20


def test_spared_trials_run_to_their_end_and_the_record_says_so(tmp_path: Path) -> None:
    with conducting(tmp_path, with_stopping("asha", finish_share=1.0)) as conductor:
        learn_all(conductor)
        assert "pruned" not in {result.verdict.status for result in conductor.done.values()}
    events = [event for event in StudyRecord.latest(tmp_path, "toy").events() if event["event"] == "spared"]
    assert events
    assert all(event["verdict"]["status"] == "pruned" for event in events)
    assert len({event["trial"] for event in events}) == len(events), "one line a trial"


def test_nothing_is_left_to_do_in_a_finished_study(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        run(conductor)
    with conducting(tmp_path, a_study()) as conductor:
        assert conductor.exhausted()
        assert conductor.next_trial() is None
        assert conductor.missing() == 0


def test_the_samplers_are_told_every_trial_once_and_none_is_left_running(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(trials_per_arm=20)) as conductor:
        run(conductor)
        for progress in conductor.arms.values():
            told = progress.search.states()
            for index, result in progress.ended["tune"].items():
                ok = result.verdict.status == "ok"
                assert told[index] == (
                    ("COMPLETE", result.metrics["val_accuracy"]) if ok else ("PRUNED", None)
                )
            assert len(told) == 20
        assert {r.verdict.status for r in conductor.done.values()} == {"ok", "diverged"}


def test_the_record_says_what_the_conductor_knows(tmp_path: Path) -> None:
    spec = a_study()
    with conducting(tmp_path, spec, concurrent=3) as conductor:
        run(conductor)
        known = conductor.done
    stored = StudyRecord.latest(tmp_path, "toy").results()
    assert stored == known
    assert all([row["epoch"] for row in result.curve] == [1, 2] for result in stored.values())


def test_late_doubled_and_reordered_rows_are_refused(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        config = conductor.next_trial()
        assert config is not None
        conductor.started(config, "first")
        conductor.reported(config, "first", epoch_row(1))
        conductor.started(config, "second")  # the first worker died
        conductor.reported(config, "first", epoch_row(2))  # its last words arrive late
        conductor.reported(config, "second", epoch_row(2))  # out of order
        conductor.reported(config, "second", epoch_row(1))
        conductor.reported(config, "second", epoch_row(1))  # doubled
        conductor.ended(outcome(config), "first")  # from the one that was given up
        assert config.id in conductor.running
        conductor.reported(config, "second", epoch_row(2))
        conductor.ended(outcome(config), "second")
        conductor.ended(outcome(config), "second")
    record = StudyRecord.latest(tmp_path, "toy")
    rows = [(e["attempt"], e["row"]["epoch"]) for e in record.events() if e["event"] == "epoch"]
    assert rows == [(1, 1), (2, 1), (2, 2)]
    assert sum(event["event"] == "result" for event in record.events()) == 1


def test_every_trial_whose_checkpoint_is_gone_is_told_of(tmp_path: Path) -> None:
    """In the same words: what is written down once is written down once a trial."""
    with conducting(tmp_path, a_study(), concurrent=2) as conductor:
        for config in [config for config in (conductor.next_trial(), conductor.next_trial()) if config]:
            conductor.started(config, f"{config.id} first")
            conductor.reported(config, f"{config.id} first", epoch_row(1), saved=True)
            for attempt in ("second", "third"):
                conductor.started(config, f"{config.id} {attempt}", 0)
    told = [event for event in StudyRecord.latest(tmp_path, "toy").events() if event["event"] == "fault"]
    assert [event["trial"] for event in told] == ["relu/tune/0", "elu/tune/0"]
    assert {event["what"] for event in told} == {
        "the checkpoint of epoch 1 is not there any more; starts over"
    }


def fail(conductor: Conductor, config: TrialConfig) -> None:
    conductor.started(config, config.id)
    conductor.ended(
        TrialResult(config, Verdict("failed", "crash", reason="a bug"), error="Traceback"), config.id
    )


def test_a_failed_trial_is_tried_again_by_the_next_run_and_only_then(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        first = conductor.next_trial()
        assert first is not None
        fail(conductor, first)
        assert first not in run(conductor)
    with conducting(tmp_path, a_study()) as conductor:
        again = run(conductor)
        assert again[0] == first
        assert not conductor.missing()
        states = conductor.arms[first.arm].search.states()
        assert "FAIL" not in {state for state, _ in states.values()}


def test_failures_in_a_row_stop_the_study(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        for _ in range(FAILURES_IN_A_ROW):
            config = conductor.next_trial()
            assert config is not None
            fail(conductor, config)
        assert conductor.broken
        assert conductor.stopping()
        assert conductor.next_trial() is None


def test_single_failures_do_not_stop_the_study(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        for _ in range(FAILURES_IN_A_ROW):
            config = conductor.next_trial()
            assert config is not None
            fail(conductor, config)
            run(conductor, 1)
        assert not conductor.broken


def test_an_arm_of_which_every_trial_diverged_is_confirmed_like_the_others(tmp_path: Path) -> None:
    space = {"optimizer": {"lr": {"low": 0.5, "high": 1.0, "log": True}}}
    spec = validate({**TABLE, "nuisance": space}, "toy", "toy.toml")
    with conducting(tmp_path, spec) as conductor:
        handed = run(conductor)
        assert not conductor.missing()
    replicates = [config for config in handed if config.phase == "confirm"]
    assert len(replicates) == 2 * spec.search.replicates
    assert {result.verdict.status for result in conductor.done.values()} == {"diverged"}


def test_an_arm_of_which_every_trial_failed_has_nothing_to_confirm(tmp_path: Path) -> None:
    spec = a_study(trials_per_arm=1)
    with conducting(tmp_path, spec) as conductor:
        for _ in range(2):
            config = conductor.next_trial()
            assert config is not None
            fail(conductor, config)
        assert not conductor.missing()
        assert conductor.next_trial() is None


def test_no_trial_starts_after_the_deadline(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(), deadline=time.monotonic() - 1) as conductor:
        assert conductor.next_trial() is None
        assert conductor.exhausted()
        assert conductor.out_of_time


def test_a_deadline_that_passes_while_the_last_trials_run_cuts_nothing_short(tmp_path: Path) -> None:
    clock = [0.0]
    spec = a_study(trials_per_arm=1, replicates=0)
    with conducting(tmp_path, spec, concurrent=2, deadline=5.0, now=lambda: clock[0]) as conductor:
        last = [conductor.next_trial(), conductor.next_trial()]
        clock[0] = 6.0
        assert not conductor.exhausted()
        for config in last:
            assert config is not None
            carry_out(conductor, config)
        assert conductor.exhausted()
        assert not conductor.out_of_time


def test_a_trial_that_may_still_test_is_not_held_to_its_epochs(tmp_path: Path) -> None:
    clock = [0.0]
    with conducting(tmp_path, a_study(), now=lambda: clock[0]) as conductor:
        config = conductor.next_trial()
        assert config is not None
        conductor.started(config, "t")
        for epoch in (1, 2):
            clock[0] += 1
            conductor.overdue()
            conductor.reported(config, "t", {**epoch_row(epoch), "seconds": epoch})
        for _ in range(int(conductor.spec.resources.silence_s) + 10):
            clock[0] += 1
            assert conductor.overdue() == []


@pytest.mark.parametrize("metrics", [{}, {"val_acuracy": 0.5}, {"val_accuracy": math.nan}])
def test_a_trial_without_the_objective_has_failed_and_the_study_can_go_on(
    metrics: dict[str, float], tmp_path: Path
) -> None:
    spec = a_study()
    with conducting(tmp_path, spec) as conductor:
        config = conductor.next_trial()
        assert config is not None
        conductor.started(config, "t")
        conductor.ended(TrialResult(config, Verdict("ok"), metrics=metrics), "t")
        verdict = conductor.done[config.id].verdict
        assert (verdict.status, verdict.kind) == ("failed", "crash")
        assert str(verdict.reason).startswith("ended ok without a finite val_accuracy")
        assert conductor.done[config.id].error == verdict.reason
    with conducting(tmp_path, spec) as conductor:
        assert [each.id for each in conductor.interrupted] == [config.id]


def test_proposals_do_not_depend_on_the_other_arms(tmp_path: Path) -> None:
    both = a_study()
    alone = both.model_copy(update={"arms_only": ["elu"]})
    with conducting(tmp_path / "both", both) as conductor:
        run(conductor)
        together = {trial: fact for trial, fact in facts(conductor.done).items() if trial.startswith("elu/")}
    with conducting(tmp_path / "alone", alone) as conductor:
        run(conductor)
        assert facts(conductor.done) == together


def test_a_trial_that_waits_for_another_node_is_not_blamed_for_its_silence(tmp_path: Path) -> None:
    spec = validate({**TABLE, "resources": {"silence_s": 0.1}}, "toy", "toy.toml")
    with conducting(tmp_path, spec) as conductor:
        config = conductor.next_trial()
        assert config is not None
        conductor.started(config, "first")
        conductor.reported(config, "first", {**epoch_row(1), "seconds": 0.001})
        time.sleep(0.2)
        assert [trial.id for trial, _ in conductor.overdue()] == [config.id]
        conductor.lost(config)
        assert conductor.overdue() == []
        conductor.started(config, "second")
        time.sleep(0.2)
        assert [trial.id for trial, _ in conductor.overdue()] == [config.id]


def test_a_trial_that_was_asked_for_ahead_has_taken_no_time_till_it_begins(tmp_path: Path) -> None:
    seconds = [0.0]
    record = StudyRecord.create(tmp_path, a_study())
    with JournalWriter(record) as journal:
        conductor = Conductor(record, journal, worst=CHANCE, now=lambda: seconds[0])
        conductor.ahead = 1
        first, second = conductor.next_trial(), conductor.next_trial()
        assert first is not None
        assert second is not None
        assert conductor.next_trial() is None
        carry_out(conductor, first)
        seconds[0] = 100.0
        conductor.started(second, "later")
        seconds[0] = 102.0
        conductor.ended(outcome(second), "later")
        assert conductor.wall_seconds[-1] == 2


def test_nodes_that_come_and_go_change_how_many_trials_run(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        first = conductor.next_trial()
        assert first is not None
        assert conductor.next_trial() is None
        conductor.room(2)
        assert conductor.next_trial() is not None
        conductor.room(1)
        carry_out(conductor, first)
        assert conductor.next_trial() is None, "the other one still runs"


def test_it_is_under_way_once_all_that_have_room_have_started_or_one_has_got_on(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(), concurrent=2) as conductor:
        conductor.ahead = 1
        seen = [conductor.under_way]
        first, second, ahead = (conductor.next_trial() for _ in range(3))
        assert first is not None
        assert second is not None
        assert ahead is not None
        conductor.started(first, "a")
        seen.append(conductor.under_way)
        conductor.started(second, "b")
        seen.append(conductor.under_way)
        conductor.room(3)  # on a node that may never come
        seen.append(conductor.under_way)
        conductor.reported(first, "a", epoch_row(1))
        seen.append(conductor.under_way)
    assert seen == [False, False, True, False, True]


def test_a_trial_that_was_cut_off_goes_on_and_the_record_says_so_once(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        first = conductor.next_trial()
        assert first is not None
        conductor.started(first, "a")
        conductor.cut_off(first)
        conductor.cut_off(first)
        conductor.reported(first, "a", epoch_row(1))
        conductor.ended(outcome(first), "a")
        assert conductor.done[first.id].verdict == outcome(first).verdict
    told = [event for event in StudyRecord.latest(tmp_path, "toy").events() if event["event"] == "fault"]
    assert [(each["trial"], "cut off" in each["what"]) for each in told] == [(first.id, True)]
