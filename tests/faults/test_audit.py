"""The audit: silent on a record that keeps its promises, and loud on each way to break one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.audit import audit
from study.cli import run as command
from study.record import JournalWriter, StudyRecord, checkpoint_folder
from study.tracking import default_tracking_uri, sync
from tests.faults.toy import CHANCE, TABLE, a_study, conducting, failed, outcome, rows, run_computed

pytestmark = pytest.mark.faults

Event = dict[str, Any]
Change = Callable[[list[Event]], object]


@pytest.fixture
def record(tmp_path: Path) -> StudyRecord:
    """A finished study of sixteen trials."""
    with conducting(tmp_path, a_study()) as conductor:
        run_computed(conductor)
    return StudyRecord.latest(tmp_path, "toy")


def rewrite(record: StudyRecord, change: Change) -> None:
    events = list(record.events())
    change(events)
    record.journal.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")


def place(events: list[Event], kind: str, trial: str | None = None, number: int = 0) -> int:
    """Where an event stands: of its kind (and trial) the one with this number."""
    of_it = [
        index
        for index, event in enumerate(events)
        if event["event"] == kind and trial in (None, event.get("trial"))
    ]
    return of_it[number]


# -- silent ------------------------------------------------------------------------------------------


def test_a_finished_study_keeps_its_promises(record: StudyRecord) -> None:
    assert audit(record) == []


@pytest.mark.parametrize("trials", [0, 1, 7, 11])
def test_so_does_one_that_was_cut_short(tmp_path: Path, trials: int) -> None:
    with conducting(tmp_path, a_study(), concurrent=2) as conductor:
        run_computed(conductor, trials)
        lost = conductor.next_trial()
        assert lost is not None
        conductor.started(lost, "lost")
        conductor.reported(lost, "lost", rows(lost)[0])
    assert audit(StudyRecord.latest(tmp_path, "toy")) == []


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "cmaes", "gp", "grid"])
def test_every_sampler_can_be_made_anew(tmp_path: Path, sampler: str) -> None:
    lr = [1e-3, 1e-2, 0.5] if sampler == "grid" else {"low": 1e-4, "high": 1.0, "log": True}
    momentum = {"momentum": {"low": 0.0, "high": 0.9}} if sampler == "cmaes" else {}
    table = {**TABLE, "nuisance": {"optimizer": {"lr": lr, **momentum}}}
    trials = 3 if sampler == "grid" else 6
    with conducting(tmp_path, a_study(table, sampler=sampler, trials_per_arm=trials)) as conductor:
        run_computed(conductor)
    assert audit(StudyRecord.latest(tmp_path, "toy")) == []


@pytest.mark.parametrize("rule", ["asha", "hyperband", "median"])
def test_so_can_early_stopping(tmp_path: Path, rule: str) -> None:
    with conducting(tmp_path, a_study(early_stopping=rule, trials_per_arm=12), concurrent=3) as conductor:
        run_computed(conductor)
    assert audit(StudyRecord.latest(tmp_path, "toy")) == []


def test_a_failed_trial_is_missing_until_it_is_tried_again(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        config = conductor.next_trial()
        assert config is not None
        conductor.started(config, "a")
        conductor.ended(failed(config), "a")
        run_computed(conductor)
    record = StudyRecord.latest(tmp_path, "toy")
    assert audit(record) == []
    with conducting(tmp_path, a_study()) as conductor:
        assert run_computed(conductor) == 1
    assert audit(record) == []


def test_the_best_trial_that_failed_at_first_changes_nothing_that_is_being_confirmed(tmp_path: Path) -> None:
    with conducting(tmp_path / "whole", a_study()) as conductor:
        run_computed(conductor)
        best = conductor.arms["relu"].chosen
    assert best is not None
    with conducting(tmp_path, a_study()) as conductor:
        while len(conductor.arms["relu"].asked["confirm"]) < 2:
            config = conductor.next_trial()
            assert config is not None
            conductor.started(config, config.id)
            conductor.ended(failed(config) if config == best.config else outcome(config), config.id)
    with conducting(tmp_path, a_study()) as conductor:
        run_computed(conductor)
        settings = [config.hyperparameters for config in conductor.arms["relu"].asked["confirm"].values()]
    assert settings == [settings[0]] * 3
    assert settings[0] != best.config.hyperparameters


def note_chance(events: list[Event], noted: str) -> None:
    for event in events:
        if event["event"] == "session" and noted == "by the session":
            event["environment"]["worst_objective"] = CHANCE
        if event["event"] == "result" and noted == "by the trials":
            event["result"]["environment"] = {"worst": {"accuracy": CHANCE}}


@pytest.mark.parametrize("noted", ["by the session", "by the trials", "by nobody, as none ended"])
def test_a_study_of_ones_own_classes_is_made_anew_from_what_was_noted(tmp_path: Path, noted: str) -> None:
    """What a trial is told that learned nothing does not follow from the data set's name."""
    own = {"dataset": {"name": "npz_classification", "path": "own.npz"}}
    with conducting(tmp_path, a_study({**TABLE, "fixed": {**TABLE["fixed"], **own}})) as conductor:
        run_computed(conductor, 0 if noted.startswith("by nobody") else 7)
    record = StudyRecord.latest(tmp_path, "toy")
    rewrite(record, lambda events: note_chance(events, noted))
    assert audit(record) == []


# -- loud --------------------------------------------------------------------------------------------

OK = "relu/tune/1"  # a trial of the fixture that ended well


def asked_for_twice(events: list[Event]) -> None:
    events.insert(place(events, "finished"), events[place(events, "asked", OK)])


def never_asked_for(events: list[Event]) -> None:
    del events[place(events, "asked", OK)]


def ended_twice(events: list[Event]) -> None:
    events.insert(place(events, "finished"), events[place(events, "result", OK)])


def started_after_its_end(events: list[Event]) -> None:
    events.insert(place(events, "finished"), {"event": "started", "time": 0.0, "trial": OK, "attempt": 2})


def without_an_end(events: list[Event]) -> None:
    del events[place(events, "result", OK)]


def a_trial_gone(events: list[Event]) -> None:
    events[:] = [event for event in events if event.get("trial") != OK]


def of_no_arm(events: list[Event]) -> None:
    for event in events:
        if event.get("trial") == OK:
            event["trial"] = "gelu/tune/1"
            if event["event"] == "asked":
                event["config"]["arm"] = "gelu"


def an_epoch_gone(events: list[Event]) -> None:
    del events[place(events, "epoch", OK, 1)]


def the_last_epoch_gone(events: list[Event]) -> None:
    del events[place(events, "epoch", OK, 2)]


def an_epoch_doubled(events: list[Event]) -> None:
    events.insert(place(events, "epoch", OK, 1), events[place(events, "epoch", OK, 1)])


def an_epoch_of_an_attempt_given_up(events: list[Event]) -> None:
    started = {"event": "started", "time": 0.0, "trial": OK, "attempt": 2}
    events.insert(place(events, "epoch", OK, 1), started)


def another_final_value(events: list[Event]) -> None:
    events[place(events, "result", OK)]["result"]["metrics"]["val_accuracy"] += 1e-12


def no_final_value(events: list[Event]) -> None:
    del events[place(events, "result", OK)]["result"]["metrics"]["val_accuracy"]


def half_an_event(events: list[Event]) -> None:
    del events[place(events, "epoch", OK)]["row"]


def another_seed(events: list[Event]) -> None:
    events[place(events, "asked", OK)]["config"]["seed"] += 1


def one_seed_for_all(events: list[Event]) -> None:
    for event in events:
        if event["event"] == "asked" and event["config"]["phase"] == "confirm":
            event["config"]["seed"] = 1


def others_confirmed(events: list[Event]) -> None:
    events[place(events, "asked", "elu/confirm/2")]["config"]["hyperparameters"]["optimizer.lr"] = 0.007


def other_data(events: list[Event]) -> None:
    for number in (0, 1):
        events[place(events, "result", None, number)]["result"]["environment"] = {"data": str(number)}


def a_checkpoint_ignored(events: list[Event]) -> None:
    """Epoch 1 was saved; then the worker died, and the second attempt began anew."""
    mine = [event for event in events if event.get("trial") == OK and event["event"] in ("epoch", "result")]
    at = place(events, "epoch", OK)
    for event in mine:
        events.remove(event)
    again = {**events[place(events, "started", OK)], "attempt": 2}
    events[at:at] = [{**mine[0], "saved": True}, again, *({**event, "attempt": 2} for event in mine)]


def a_session_killed_in_silence(events: list[Event]) -> None:
    last = events.pop(place(events, "ended"))
    events += [{**events[0]}, last]


BREAKS: dict[Change, tuple[str, str]] = {
    asked_for_twice: ("I1", "asked for twice"),
    never_asked_for: ("I1", "never asked for"),
    ended_twice: ("I1", "ended after it had ended"),
    started_after_its_end: ("I1", "was started after it had ended"),
    without_an_end: ("I1", "1 trial is missing"),
    a_trial_gone: ("I1", "numbered with a gap"),
    of_no_arm: ("I1", "an arm that the study does not have"),
    an_epoch_gone: ("I2", "epoch 3 stands where 2 should"),
    the_last_epoch_gone: ("I2", "2 epochs of 3"),
    an_epoch_doubled: ("I2", "epoch 2 stands where 3 should"),
    an_epoch_of_an_attempt_given_up: ("I2", "was not under way"),
    another_final_value: ("I2", "in its last epoch"),
    no_final_value: ("I3", "cannot be made anew"),
    half_an_event: ("I2", "is not whole"),
    another_seed: ("I5", "other seeds"),
    one_seed_for_all: ("I5", "the seed of a trial of another number"),
    others_confirmed: ("I5", "retrains other hyperparameters"),
    other_data: ("I5", "other data"),
    a_checkpoint_ignored: ("I7", "went on from epoch 0"),
    a_session_killed_in_silence: ("I8", "session 1 ended without a word"),
}


@pytest.mark.parametrize("change", BREAKS, ids=lambda change: change.__name__)
def test_a_broken_promise_is_found(record: StudyRecord, change: Change) -> None:
    rewrite(record, change)
    invariant, words = BREAKS[change]
    found = audit(record)
    assert any(each.invariant == invariant and words in each.says for each in found), found


def test_a_checkpoint_that_a_fault_explains_away_is_no_violation(record: StudyRecord) -> None:
    rewrite(record, a_checkpoint_ignored)
    fault = {"event": "fault", "time": 0.0, "trial": OK, "what": "it was torn"}
    rewrite(record, lambda events: events.insert(place(events, "result", OK), fault))
    assert audit(record) == []


def test_a_journal_that_is_damaged_in_the_middle_is_found(record: StudyRecord) -> None:
    content = record.journal.read_bytes()
    record.journal.write_bytes(content[:2000] + b"\x00" * 40 + content[2040:])
    (found,) = audit(record)
    assert (found.invariant, "is not a line of a journal" in found.says) == ("I2", True)


def test_checkpoints_of_a_trial_that_ended_are_left_behind(record: StudyRecord) -> None:
    checkpoint_folder(record.checkpoints, OK).mkdir(parents=True)
    (found,) = audit(record)
    assert (found.invariant, found.trial) == ("I6", OK)


def test_a_half_written_file_of_an_earlier_session_is_left_behind(record: StudyRecord) -> None:
    partial = record.folder / ".report.html.partial"
    partial.write_text("half")
    assert audit(record) == [], "somebody is writing it"
    os.utime(partial, (0, 0))
    (found,) = audit(record)
    assert found.invariant == "I6"


# -- against MLflow ----------------------------------------------------------------------------------


def test_what_has_not_reached_mlflow_is_named_with_the_way_there(record: StudyRecord) -> None:
    uri = default_tracking_uri(record.folder.parent.parent)
    sync(record, uri)
    assert audit(record, uri) == []
    with JournalWriter(record) as journal:
        journal.session({}, [])
    (found,) = audit(record, uri)
    assert found.invariant == "I4"
    assert "study sync toy" in found.says


def test_a_report_that_was_written_again_is_remarked_on_and_no_violation(
    record: StudyRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    root = record.folder.parent.parent
    sync(record, default_tracking_uri(root))
    (record.folder / "report.html").write_text("anew")
    assert command(["audit", "toy", "--out", str(root)]) == 0
    said = capsys.readouterr().out
    assert "of the report's files 1 is newer" in said
    assert "nothing lost" in said


def test_a_run_that_nobody_carries_on_is_left_behind(tmp_path: Path) -> None:
    uri = default_tracking_uri(tmp_path)
    with conducting(tmp_path, a_study()) as conductor:
        config = conductor.next_trial()
        assert config is not None
        conductor.started(config, "a")
        record = StudyRecord.latest(tmp_path, "toy")
        conductor.journal.ended(None)
        sync(record, uri)
        assert audit(record, uri) == [], "it is running"
    assert {each.invariant for each in audit(record, uri)} == {"I4", "I6"}
    sync(record, uri)
    assert audit(record, uri) == []


def test_a_store_that_cannot_be_asked_is_a_violation(record: StudyRecord) -> None:
    uri = default_tracking_uri(record.folder.parent.parent)
    sync(record, uri)
    (record.folder.parent.parent / "mlflow.db").write_text("no database")
    (found,) = audit(record, uri)
    assert found.invariant == "I4"
    assert "cannot be asked" in found.says


# -- the command -------------------------------------------------------------------------------------


def test_the_command_says_that_all_is_well(record: StudyRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["audit", "toy", "--out", str(record.folder.parent.parent)]) == 0
    assert "nothing lost, doubled or left behind" in capsys.readouterr().out


def test_the_command_prints_json_and_exits_with_1(
    record: StudyRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(record, an_epoch_gone)
    assert command(["audit", "toy", "--json", "--out", str(record.folder.parent.parent)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert {"invariant", "trial", "says"} == document["violations"][0].keys()
    assert document["violations"][0]["trial"] == OK
