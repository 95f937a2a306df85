"""A record in a real SQLite store: all of it, once, whatever happened on the way."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from study import tracking
from study.errors import TrackingError
from study.record import JournalWriter, StudyRecord
from study.tracking import outbox
from study.tracking.machine import SWITCH
from study.tracking.store import connect
from study.tracking.views import QUESTIONS
from study.trial import Verdict
from tests.tracking.records import begin, config, cut, new_record, points, row, run_trial, write_study

if TYPE_CHECKING:
    from mlflow.entities import Run


def stored(record: StudyRecord, uri: str) -> dict[str, Run]:
    """What MLflow has, by the runs' names."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(record.name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    named = {str(run.info.run_name): run for run in found}
    assert len(named) == len(found)
    return named


def test_a_whole_journal_arrives(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == []
    assert set(stored(record, uri)) == {f"acts@{record.digest}", "relu", "elu", *record.asked()}


def test_a_trial_stands_under_its_arms_run_wherever_it_stood_before(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    found = stored(record, uri)
    study, arm, trial = (found[name].info.run_id for name in (f"acts@{record.digest}", "relu", "relu/tune/0"))
    assert parent_of(found["relu"]) == study
    connect(uri).set_tag(trial, "mlflow.parentRunId", study)
    connect(uri).delete_run(arm)
    tracking.sync(record, uri)
    again = stored(record, uri)
    assert parent_of(again["relu/tune/0"]) == again["relu"].info.run_id != arm


def parent_of(run: Run) -> str:
    return str(run.data.tags["mlflow.parentRunId"])


def test_nothing_is_pending_afterwards(record: StudyRecord, uri: str) -> None:
    before = tracking.pending(record, uri)
    done = tracking.sync(record, uri)
    assert (done.events + done.files, tracking.pending(record, uri)) == (before, 0)


def test_a_curve_is_the_records(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    run_id = stored(record, uri)["relu/tune/0"].info.run_id
    history = connect(uri).get_metric_history(run_id, "val_loss")
    assert [(each.value, each.timestamp, each.step) for each in history] == points(
        record, "relu/tune/0", "val_loss"
    )


def test_arms_stand_under_the_study_and_trials_under_their_arms(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    runs = stored(record, uri)
    study = runs.pop(f"acts@{record.digest}").info.run_id
    arms = {name: runs.pop(name) for name in ("relu", "elu")}
    assert {parent_of(run) for run in arms.values()} == {study}
    for run in runs.values():
        assert parent_of(run) == arms[run.data.tags["arm"]].info.run_id


def test_a_second_time_brings_nothing(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    assert tracking.sync(record, uri) == tracking.Synced(events=0, files=0)


def test_all_over_again_makes_no_second_run_and_no_second_point(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    before = {name: run.info.run_id for name, run in stored(record, uri).items()}
    (record.folder / "mlflow.json").unlink()
    assert tracking.sync(record, uri).events > 0
    assert {name: run.info.run_id for name, run in stored(record, uri).items()} == before
    assert tracking.differences(record, uri) == []


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 8, 13, 21, 30])
def test_a_journal_that_was_cut_off_goes_on(
    record: StudyRecord, tmp_path: Path, uri: str, lines: int
) -> None:
    part = cut(record, tmp_path / "part", lines)
    tracking.sync(part, uri)
    assert tracking.differences(part, uri) == []
    part.journal.write_bytes(record.journal.read_bytes())
    tracking.sync(part, uri)
    assert tracking.differences(part, uri) == []


def test_line_by_line_comes_to_the_same_as_at_once(tmp_path: Path, uri: str) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        for act in (begin, lambda journal: run_trial(journal, config(), epochs=2)):
            act(journal)
            tracking.sync(record, uri)
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == []


def test_a_line_that_is_still_being_written_waits(record: StudyRecord, tmp_path: Path, uri: str) -> None:
    part = cut(record, tmp_path / "part", 4)
    with part.journal.open("ab") as journal:
        journal.write(b'{"event":"epo')
    tracking.sync(part, uri)
    assert tracking.differences(part, uri) == []


def test_a_position_that_was_not_noted_is_no_matter(record: StudyRecord, tmp_path: Path, uri: str) -> None:
    part = cut(record, tmp_path / "part", 9)
    tracking.sync(part, uri)
    note = (part.folder / "mlflow.json").read_text()
    part.journal.write_bytes(record.journal.read_bytes())
    tracking.sync(part, uri)
    (part.folder / "mlflow.json").write_text(note)
    tracking.sync(part, uri)
    assert tracking.differences(part, uri) == []


@pytest.mark.parametrize("note", ["", "{", "[]", '{"format": 99, "stores": {}}'])
def test_a_damaged_note_is_no_matter(record: StudyRecord, uri: str, note: str) -> None:
    tracking.sync(record, uri)
    (record.folder / "mlflow.json").write_text(note)
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == []


def test_lines_that_a_power_cut_took_back_are_taken_back(
    record: StudyRecord, tmp_path: Path, uri: str
) -> None:
    part = cut(record, tmp_path / "part", 5)
    tracking.sync(part, uri)
    whole = part.journal.read_bytes().splitlines(keepends=True)
    part.journal.write_bytes(b"".join(whole[:2]))
    with JournalWriter(part) as journal:
        begin(journal)
        journal.started(config().id, 1)
        journal.epoch(config().id, 1, row(1, val_loss=9.0))
        journal.append("finished")
    tracking.sync(part, uri)
    assert tracking.differences(part, uri) == []


def test_a_store_that_was_deleted_is_filled_again(
    record: StudyRecord, uri: str, empty_database: Path
) -> None:
    tracking.sync(record, uri)
    connect(uri)._tracking_client.store._dispose_engine()
    path = Path(uri.removeprefix("sqlite:///"))
    path.unlink()
    shutil.copy(empty_database, path)
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == []


def test_a_run_that_somebody_deleted_comes_back(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    connect(uri).delete_run(stored(record, uri)["elu/tune/0"].info.run_id)
    assert tracking.differences(record, uri) == ["elu/tune/0: has no run in MLflow"]
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == []


def test_a_run_that_was_made_twice_is_there_once(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    run = stored(record, uri)["elu/tune/0"]
    connect(uri).create_run(run.info.experiment_id, run.info.start_time, run.data.tags, run.info.run_name)
    assert tracking.differences(record, uri) == ["elu/tune/0: has 2 runs in MLflow"]
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == []


def test_a_second_attempt_leaves_one_run(tmp_path: Path, uri: str) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        run_trial(journal, config(), Verdict("failed", "crash", reason="no"), metrics={})
    tracking.sync(record, uri)
    with JournalWriter(record) as journal:
        begin(journal)
        run_trial(journal, config(), attempt=2, epochs=2)
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == []
    assert stored(record, uri)["relu/tune/0"].data.tags["attempt"] == "2"


def test_a_study_that_nobody_runs_leaves_no_run_running(tmp_path: Path, uri: str) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        begin(journal)
        journal.asked(config())
        journal.started(config().id, 1)
        tracking.sync(record, uri)
        assert {run.info.status for run in stored(record, uri).values()} == {"RUNNING"}
    tracking.sync(record, uri)
    assert {run.info.status for run in stored(record, uri).values()} == {"KILLED"}
    assert tracking.differences(record, uri) == []


def test_two_records_of_one_study_file_do_not_mix(record: StudyRecord, tmp_path: Path, uri: str) -> None:
    again = new_record(tmp_path, fresh=True)
    write_study(again, epochs=2)
    assert again.digest == record.digest
    for each in (record, again):
        tracking.sync(each, uri)
    assert tracking.differences(record, uri) + tracking.differences(again, uri) == []


def test_a_record_that_was_moved_is_still_the_same(record: StudyRecord, tmp_path: Path, uri: str) -> None:
    tracking.sync(record, uri)
    before = {name: run.info.run_id for name, run in stored(record, uri).items()}
    moved = tmp_path / "elsewhere" / "acts" / record.folder.name
    shutil.copytree(record.folder, moved)
    (moved / "mlflow.json").unlink()
    tracking.sync(StudyRecord(moved), uri)
    assert {name: run.info.run_id for name, run in stored(record, uri).items()} == before


def test_each_store_has_a_note_of_its_own(
    record: StudyRecord, tmp_path: Path, uri: str, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "other.db")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    tracking.sync(record, uri)
    assert tracking.pending(record, other) > 0
    tracking.sync(record, other)
    assert tracking.differences(record, other) == []


def test_the_report_goes_along_and_goes_again_when_it_changes(record: StudyRecord, uri: str) -> None:
    (record.folder / "report.html").write_text("<p>one</p>")
    (record.folder / "figures").mkdir()
    (record.folder / "figures" / "curves.png").write_bytes(b"png")
    assert tracking.sync(record, uri).files == 4, "the journal too"
    client, run_id = connect(uri), stored(record, uri)[f"acts@{record.digest}"].info.run_id
    kept = {
        each.path for folder in ("", "record", "figures") for each in client.list_artifacts(run_id, folder)
    }
    assert kept >= {"report.html", "figures/curves.png", "record/study.toml", "record/sessions.jsonl"}
    (record.folder / "report.html").write_text("<p>two, and longer</p>")
    assert tracking.sync(record, uri) == tracking.Synced(events=0, files=1)
    assert "two" in Path(client.download_artifacts(run_id, "report.html")).read_text()


def test_artifacts_stand_beside_the_store(record: StudyRecord, tmp_path: Path, uri: str) -> None:
    tracking.sync(record, uri)
    assert list((tmp_path / "mlartifacts" / "acts").glob("*/artifacts/record/study.toml"))
    assert not (Path.cwd() / "mlruns").exists()


def test_the_description_has_question_claims_and_views(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    experiment = connect(uri).get_experiment_by_name("acts")
    assert experiment is not None
    note = experiment.tags["mlflow.note.content"]
    assert note.startswith("Which activation trains best?\n")
    assert "relu > elu by test_accuracy (A paper, Table 1)" in note
    assert f"#/experiments/{experiment.experiment_id}/runs?viewStateShareKey=trials" in note


def test_a_view_is_what_the_ui_reads(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    experiment = connect(uri).get_experiment_by_name("acts")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.trials"])
    state = json.loads(view["state"])
    assert (type(view["name"]), type(view["createdAt"])) == (str, int)
    assert state["searchFilter"] == f"tags.digest = '{record.digest}' AND tags.phase = 'tune'"
    found = connect(uri).search_runs([experiment.experiment_id], state["searchFilter"])
    assert {str(run.info.run_name) for run in found} == {trial for trial in record.asked() if "tune" in trial}


def test_differences_name_what_differs(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    client, run = connect(uri), stored(record, uri)["relu/tune/0"]
    client.set_tag(run.info.run_id, "verdict", "failed")
    client.log_metric(run.info.run_id, "val_loss", 9.0, timestamp=1, step=9)
    client.log_param(run.info.run_id, "mine", 1)
    client.set_terminated(run.info.run_id, "KILLED", end_time=run.info.end_time)
    assert tracking.differences(record, uri) == [
        "relu/tune/0: status is 'KILLED', not 'FINISHED'",
        "relu/tune/0: tag verdict is 'failed', not 'ok'",
        "relu/tune/0: parameter mine is not the record's",
        "relu/tune/0: has the point ('val_loss', 9.0, 1, 9), which is not the record's",
    ]


def test_a_record_that_is_being_brought_in_is_left_alone(record: StudyRecord, uri: str) -> None:
    with FileLock(record.folder / ".mlflow.lock"), pytest.raises(TrackingError, match="another process"):
        tracking.sync(record, uri)


def test_an_experiment_that_was_deleted_is_named_with_the_way_out(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    experiment = connect(uri).get_experiment_by_name("acts")
    assert experiment is not None
    connect(uri).delete_experiment(experiment.experiment_id)
    with pytest.raises(
        TrackingError, match=r"acts was deleted; .* mlflow experiments restore --experiment-id 1"
    ):
        tracking.sync(record, uri)


def test_an_empty_record_brings_nothing(tmp_path: Path, uri: str) -> None:
    record = new_record(tmp_path)
    assert tracking.sync(record, uri) == tracking.Synced(events=0, files=0)
    assert tracking.differences(record, uri) == []


def test_a_parameter_that_an_older_version_wrote_stands(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    run = stored(record, uri)["relu/tune/0"]
    client = connect(uri)
    client.delete_run(run.info.run_id)
    made = client.create_run(run.info.experiment_id, run.info.start_time, run.data.tags, run.info.run_name)
    client.log_param(made.info.run_id, "optimizer.lr", "1e-2")
    (record.folder / "mlflow.json").unlink()
    tracking.sync(record, uri)
    assert tracking.differences(record, uri) == ["relu/tune/0: parameter optimizer.lr is '1e-2', not '0.01'"]


def test_a_note_holds_no_password(record: StudyRecord) -> None:
    outbox.save(record, "postgresql://me:secret@host/mlflow", outbox.Cursor())
    assert "secret" not in (record.folder / "mlflow.json").read_text()


def test_the_data_set_is_known_by_its_fingerprint_however_often_it_is_said(
    record: StudyRecord, uri: str
) -> None:
    for _ in range(2):
        tracking.sync(record, uri)
        (record.folder / "mlflow.json").unlink()
        inputs = stored(record, uri)[f"acts@{record.digest}"].inputs
        assert inputs is not None
        (said,) = inputs.dataset_inputs
        assert (said.dataset.name, said.dataset.digest) == ("digits", "ab12")
        assert json.loads(said.dataset.profile or "")["fingerprint"] == "ab12"


def test_the_studys_run_has_a_link_for_each_question(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    note = stored(record, uri)[f"acts@{record.digest}"].data.tags["mlflow.note.content"]
    experiment = connect(uri).get_experiment_by_name("acts")
    assert experiment is not None
    for question, (view, _) in QUESTIONS.items():
        page = f"#/experiments/{experiment.experiment_id}/runs?viewStateShareKey={view}&"
        assert f"- [{question}]({page}" in note
        assert f"mlflow.sharedViewState.{view}" in experiment.tags


def test_the_studys_run_says_what_came_of_the_study_and_of_the_claims(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    assert "claims" not in stored(record, uri)[f"acts@{record.digest}"].data.tags
    text = "verdict,source,claim\nundecided,L1,relu is best\nreproduced,L2,elu is good\nundecided,L3,both\n"
    (record.folder / "claims.csv").write_text(text)
    ranked = (
        "rank,arm,metric,n,mean,low,high,diverged\n1,elu,test_accuracy,2,0.51234,0.4,0.6,1\n,relu,,0,,,,0\n"
    )
    (record.folder / "ranking.csv").write_text(ranked)
    tracking.sync(record, uri)
    run = stored(record, uri)[f"acts@{record.digest}"]
    assert run.data.tags["claims"] == "1 reproduced, 2 undecided"
    assert "- **reproduced** elu is good (L2)\n" in run.data.tags["mlflow.note.content"]
    assert "| 1 | elu | 0.5123 [0.4, 0.6] | 2 | 1 |\n\n" in run.data.tags["mlflow.note.content"]
    assert "claims.csv" in [each.path for each in connect(uri).list_artifacts(run.info.run_id)]
    assert tracking.differences(record, uri) == []


def test_the_view_of_what_diverged_finds_it(record: StudyRecord, uri: str) -> None:
    tracking.sync(record, uri)
    experiment = connect(uri).get_experiment_by_name("acts")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.diverged"])
    search = json.loads(view["state"])["searchFilter"]
    found = connect(uri).search_runs([experiment.experiment_id], search)
    assert [run.info.run_name for run in found] == ["elu/tune/0"]


def test_the_machine_is_measured_where_mlflows_switch_asks_and_is_no_difference(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    made = new_record(tmp_path)
    with tracking.Feeder(made, uri, every_s=0.1), JournalWriter(made) as journal:
        begin(journal)
        assert eventually(lambda: measured(made, uri))
        run_trial(journal, config())
        journal.append("finished")
    assert tracking.differences(made, uri) == []


def test_what_a_trials_process_uses_arrives_with_its_curve(tmp_path: Path, uri: str) -> None:
    made = new_record(tmp_path)
    with JournalWriter(made) as journal:
        begin(journal)
        journal.asked(config())
        journal.started(config().id, 1)
        journal.epoch(config().id, 1, row(1) | {"system/cpu_utilization_percentage": 99.5})
    tracking.sync(made, uri)
    assert tracking.differences(made, uri) == []
    assert stored(made, uri)[config().id].data.metrics["system/cpu_utilization_percentage"] == 99.5


def measured(record: StudyRecord, uri: str) -> bool:
    metrics = [run.data.metrics for run in stored(record, uri).values()] if known(record, uri) else []
    return any("system/system_memory_usage_percentage" in each for each in metrics)


def known(record: StudyRecord, uri: str) -> bool:
    return connect(uri).get_experiment_by_name(record.name) is not None


def eventually(holds: Callable[[], bool], within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False
