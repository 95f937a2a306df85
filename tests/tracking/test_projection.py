"""Events to runs: what MLflow should hold of a record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study.record import JournalWriter, StudyRecord
from study.tracking.projection import Projection, projected
from study.tracking.runs import STUDY, Run, arm_key
from study.tracking.words import key_name, long_tag, whole_tag
from study.trial import TrialConfig, TrialResult, Verdict
from tests.tracking.records import begin, config, events, new_record, row, run_trial, times


def runs(record: StudyRecord) -> dict[str, Run]:
    return projected(record).runs


def test_there_is_one_run_for_the_study_one_an_arm_and_one_a_trial(record: StudyRecord) -> None:
    assert set(runs(record)) == {STUDY, arm_key("relu"), arm_key("elu"), *record.asked()}


def test_trials_stand_under_their_arms_and_arms_under_the_study(record: StudyRecord) -> None:
    found = runs(record)
    assert found["elu/confirm/0"].parent == arm_key("elu")
    assert found[arm_key("elu")].parent == STUDY
    assert found[STUDY].parent is None


def test_an_arm_tells_what_it_holds_and_what_it_tunes(record: StudyRecord) -> None:
    params = runs(record)[arm_key("elu")].params
    assert params["activation.name"] == "elu"
    assert params["model.batch_norm"] == "true"
    assert params["optimizer.lr"] == "tuned: 0.0001 to 0.1 (log)"


def test_an_arm_ends_with_the_means_of_its_replicates_and_how_its_trials_ended(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        for index, accuracy in enumerate((0.5, 0.7)):
            run_trial(journal, config(index=index))
            run_trial(journal, config("relu", "confirm", index), metrics={"test_accuracy": accuracy})
        diverged = Verdict("diverged", "nonfinite_loss", 17, 2, "the loss was inf at step 17")
        run_trial(journal, config("relu", "confirm", 2), diverged, metrics={"test_accuracy": 0.1})
        journal.append("finished")
    arm = runs(record)[arm_key("relu")]
    points = {metric: value for metric, value, *_ in arm.points}
    assert points["mean.test_accuracy"] == pytest.approx(0.6)
    assert (points["trials.ok"], points["trials.diverged"]) == (4, 1)
    assert not [name for name in points if name.startswith("mean.val")]
    assert arm.status == "FINISHED"


def test_an_arm_lives_on_where_a_study_is_taken_up_again(tmp_path: Path) -> None:
    record = started(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
    assert runs(record)[arm_key("relu")].status == "KILLED"
    with JournalWriter(record) as journal:
        run_trial(journal, config(), attempt=2)
    arm = runs(record)[arm_key("relu")]
    assert (arm.status, arm.end_ms) == ("RUNNING", None)


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        ("ok", "FINISHED"),
        ("pruned", "FINISHED"),
        ("diverged", "FINISHED"),
        ("stalled", "FINISHED"),
        ("failed", "FAILED"),
    ],
)
def test_only_a_failed_trial_has_failed(tmp_path: Path, verdict: str, status: str) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        run_trial(journal, config(), Verdict(verdict))  # type: ignore[arg-type]
    assert runs(record)[config().id].status == status
    assert runs(record)[config().id].tags["verdict"] == verdict


def test_a_trial_without_an_end_is_running(tmp_path: Path) -> None:
    record = started(tmp_path)
    assert runs(record)[config().id].status == "RUNNING"


def test_a_trial_without_an_end_was_killed_once_nobody_runs_the_study(tmp_path: Path) -> None:
    record = started(tmp_path)
    projection = projected(record)
    projection.settle()
    killed = projection.runs[config().id]
    assert (killed.status, killed.end_ms) == ("KILLED", times(record, "epoch")[-1])


def test_a_new_session_ends_what_an_earlier_one_left(tmp_path: Path) -> None:
    record = started(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
    assert runs(record)[config().id].status == "KILLED"
    assert runs(record)[STUDY].status == "RUNNING"


def test_a_trial_that_was_not_started_has_no_run(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        journal.asked(config())
    assert set(runs(record)) == {STUDY}


def test_a_result_without_a_start_has_a_run(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        journal.asked(config())
        lost = Verdict("failed", "crash", reason="the worker was lost")
        journal.result(config().id, 1, TrialResult(config(), lost, seconds=2.0))
    run = runs(record)[config().id]
    assert (run.status, run.start_ms) == ("FAILED", times(record, "result")[0] - 2000)


def test_a_new_attempt_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    record = started(tmp_path, epochs=2)
    with JournalWriter(record) as journal:
        begin(journal)
        run_trial(journal, config(), attempt=2, epochs=1)
    run = runs(record)[config().id]
    assert run.tags["attempt"] == "2"
    assert {step for metric, _, _, step in run.points if metric == "val_loss"} == {1}


def test_a_late_report_of_an_attempt_that_was_given_up_changes_nothing(tmp_path: Path) -> None:
    record = started(tmp_path)
    with JournalWriter(record) as journal:
        journal.started(config().id, 2)
        journal.epoch(config().id, 1, row(2))
    assert runs(record)[config().id].points == []


def test_times_are_the_journals(record: StudyRecord) -> None:
    run = runs(record)["relu/tune/0"]
    assert (run.start_ms, run.end_ms) == (times(record, "started")[0], times(record, "result")[0])


def test_points_carry_the_time_of_their_row(record: StudyRecord) -> None:
    found = [point for point in runs(record)["relu/tune/0"].points if point[0] == "val_loss"]
    assert found == [
        ("val_loss", 2.1 / epoch, 1_790_000_000_250 + 1000 * epoch, epoch) for epoch in (1, 2, 3)
    ]


def test_what_is_not_finite_is_no_point(record: StudyRecord) -> None:
    losses = [point for point in runs(record)["elu/tune/0"].points if point[0] == "train_loss"]
    assert [step for *_, step in losses] == [1]


def test_a_final_metric_that_ends_its_curve_is_not_told_twice(record: StudyRecord) -> None:
    found = [point for point in runs(record)["relu/tune/0"].points if point[0] == "val_accuracy"]
    assert [step for *_, step in found] == [1, 2, 3]


def test_a_final_metric_that_differs_from_its_curve_stands_at_the_last_epoch(record: StudyRecord) -> None:
    found = [point for point in runs(record)["relu/confirm/0"].points if point[0] == "val_accuracy"]
    assert [(value, step) for _, value, _, step in found][-2:] == [(0.75, 3), (0.81, 3)]


def test_a_metric_of_the_test_split_belongs_to_no_epoch(record: StudyRecord) -> None:
    found = [point for point in runs(record)["relu/confirm/0"].points if point[0] == "test_accuracy"]
    assert [(value, step) for _, value, _, step in found] == [(0.8, 0)]


def test_hyperparameters_are_parameters_as_a_study_file_writes_them(record: StudyRecord) -> None:
    params = runs(record)["relu/tune/0"].params
    assert params == {"activation.name": "relu", "optimizer.lr": "0.01", "model.batch_norm": "true"}


def test_tags_tell_trial_and_verdict(record: StudyRecord) -> None:
    tags = runs(record)["elu/tune/0"].tags
    said = {
        "study": "acts",
        "digest": record.digest,
        "arm": "elu",
        "phase": "tune",
        "trial": "elu/tune/0",
        "seed": "40",
    }
    ended = {
        "verdict": "diverged",
        "verdict.kind": "nonfinite_loss",
        "verdict.reason": "the loss was inf at step 17",
        "verdict.step": "17",
        "verdict.epoch": "2",
    }
    assert tags.items() >= (said | ended).items()


def test_config_and_result_can_be_had_back_from_the_tags(record: StudyRecord) -> None:
    tags = runs(record)["relu/confirm/0"].tags
    told = {
        "config": json.loads(whole_tag("study.config", tags) or ""),
        **json.loads(whole_tag("study.result", tags) or ""),
    }
    again = TrialResult.from_json(told)
    kept = record.results()["relu/confirm/0"]
    assert again == kept.with_curve(())
    assert again.config == TrialConfig.from_json(told["config"])


def test_a_failed_trials_traceback_is_in_its_description(record: StudyRecord) -> None:
    assert "RuntimeError: no" in runs(record)["elu/tune/1"].tags["mlflow.note.content"]


def test_the_studys_run_says_what_is_held_compared_and_tuned(record: StudyRecord) -> None:
    params = runs(record)[STUDY].params
    assert params["dataset.name"] == "digits"
    assert params["activation.name"] == "relu, elu"
    assert params["optimizer.lr"] == "tuned: 0.0001 to 0.1 (log)"
    assert params["search.trials_per_arm"] == "2"


def test_the_studys_run_counts_verdicts_at_the_end(record: StudyRecord) -> None:
    study = runs(record)[STUDY]
    counts = {metric: value for metric, value, _, _ in study.points}
    assert (study.status, study.end_ms) == ("FINISHED", times(record, "finished")[0])
    assert counts == {
        "trials.ok": 4,
        "trials.diverged": 1,
        "trials.failed": 1,
        "trials.pruned": 0,
        "trials.stalled": 0,
    }


def test_the_studys_run_tells_its_progress(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        run_trial(journal, config())
    assert runs(record)[STUDY].tags["progress"] == "1 of 6 trials"


def test_the_studys_run_names_command_and_commit(record: StudyRecord) -> None:
    tags = runs(record)[STUDY].tags
    assert tags["command"] == "study run acts --profile demo"
    assert tags["mlflow.source.git.commit"] == "3e240b4"


def test_a_finished_study_that_is_run_again_stays_finished(record: StudyRecord) -> None:
    with JournalWriter(record) as journal:
        begin(journal)
    projection = projected(record)
    assert projection.runs[STUDY].status == "RUNNING"
    projection.settle()
    assert projection.runs[STUDY].status == "FINISHED"


def test_the_same_journal_gives_the_same_runs(record: StudyRecord) -> None:
    assert runs(record) == runs(record)


def test_folding_in_parts_hands_over_the_same_as_at_once(record: StudyRecord) -> None:
    projection, told = Projection(record), {key: [0, 0] for key in runs(record)}
    for event in events(record):
        projection.fold(event)
        for key in projection.changed:
            told[key][0] += len(projection.runs[key].points)
            told[key][1] += len(projection.runs[key].params)
        projection.handed_over()
    assert told == {key: [len(run.points), len(run.params)] for key, run in runs(record).items()}


def test_an_event_of_a_kind_that_is_not_known_changes_nothing(record: StudyRecord) -> None:
    projection = projected(record)
    before = dict(projection.runs)
    projection.fold({"event": "lease", "time": 1.0})
    assert projection.runs == before


@pytest.mark.parametrize(
    ("given", "admitted"),
    [
        ("optimizer.lr", "optimizer.lr"),
        ("top/5", "top/5"),
        ("acc@1 (%)", "acc_1 ___"),
        ("../x", "___x"),
        ("/x", "_x"),
    ],
)
def test_a_key_has_only_what_mlflow_admits(given: str, admitted: str) -> None:
    assert key_name(given) == admitted


def test_a_long_text_is_cut_into_tags_and_put_together_again() -> None:
    text = "".join(map(str, range(12_000)))
    tags = long_tag("study.result", text)
    assert len(tags) > 2
    assert max(map(len, tags.values())) <= 8000
    assert whole_tag("study.result", tags) == text


def started(root: Path, epochs: int = 1) -> StudyRecord:
    """A study whose one trial has begun."""
    record = new_record(root)
    with JournalWriter(record) as journal:
        begin(journal)
        journal.asked(config())
        journal.started(config().id, 1)
        for epoch in range(1, epochs + 1):
            journal.epoch(config().id, 1, row(epoch))
    return record
