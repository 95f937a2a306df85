"""The record: what was written is read back, whatever happened in between, and nobody writes beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest
from filelock import FileLock

from study.errors import RecordError, StudyFileError
from study.record import FORMAT, JournalWriter, StudyRecord, drop_torn_line, folders, is_running, write_whole
from study.trial import Row, TrialConfig, TrialResult, Verdict
from tests.good_study import spec_of

SPEC = spec_of()
CONFIG = TrialConfig(
    "mine", "relu+bn", "tune", 0, {"optimizer.lr": 0.1 + 0.2, "model.batch_norm": True}, 40, 7
)
ROWS: list[Row] = [{"epoch": 1, "val_accuracy": 0.5, "train_loss": None}, {"epoch": 2, "val_accuracy": 0.75}]
RESULT = TrialResult(
    CONFIG, Verdict("ok"), metrics={"val_accuracy": 0.75}, seconds=1.5, gradient_evaluations=64
)


def new_record(root: Path, fresh: bool = False) -> StudyRecord:
    return StudyRecord.create(root, SPEC, fresh)


def with_one_trial(root: Path) -> StudyRecord:
    record = new_record(root)
    with JournalWriter(record) as journal:
        journal.session({"host": "here"}, ["study", "run"])
        journal.asked(CONFIG)
        journal.started(CONFIG.id, 1)
        for row in ROWS:
            journal.epoch(CONFIG.id, 1, row)
        journal.result(CONFIG.id, 1, RESULT)
        journal.finished()
    return record


# -- what is written is read back --------------------------------------------------------------------


def test_events_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    names = [event["event"] for event in with_one_trial(tmp_path).events()]
    assert names == ["session", "asked", "started", "epoch", "epoch", "result", "finished", "ended"]


def test_a_result_comes_back_with_config_and_curve(tmp_path: Path) -> None:
    assert with_one_trial(tmp_path).results() == {CONFIG.id: replace(RESULT, curve=tuple(ROWS))}


def test_a_config_comes_back_as_it_was_asked(tmp_path: Path) -> None:
    assert with_one_trial(tmp_path).asked() == {CONFIG.id: CONFIG}


def test_the_spec_comes_back_from_the_folder(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    assert StudyRecord(record.folder).spec == SPEC
    assert record.folder == tmp_path / "mine" / SPEC.digest
    assert (record.name, record.digest) == ("mine", SPEC.digest)


def test_a_session_says_what_was_claimed_when_it_began(tmp_path: Path) -> None:
    (session,) = with_one_trial(tmp_path).sessions()
    assert session["criterion"] == SPEC.criterion
    assert session["command"] == ["study", "run"]


def test_a_record_without_a_journal_is_empty(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    assert (list(record.events()), record.results(), record.finished) == ([], {}, False)


def test_of_several_attempts_the_last_counts_with_its_own_curve(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    failed = replace(RESULT, verdict=Verdict("failed", "crash"), metrics={}, error="Traceback")
    with JournalWriter(record) as journal:
        journal.asked(CONFIG)
        for attempt, result in ((1, failed), (2, RESULT)):
            journal.started(CONFIG.id, attempt)
            journal.epoch(CONFIG.id, attempt, {"epoch": 1, "val_accuracy": attempt / 10})
            journal.result(CONFIG.id, attempt, result)
    result = record.results()[CONFIG.id]
    assert result.verdict == Verdict("ok")
    assert [row["val_accuracy"] for row in result.curve] == [0.2]


def test_a_number_that_is_not_finite_never_gets_into_the_journal(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record) as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.epoch(CONFIG.id, 1, {"epoch": 1, "val_loss": float("nan")})
        journal.append("fault", what="after it")
    assert [event["event"] for event in record.events()] == ["fault"]


# -- cut off and damaged -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "torn", [b"{", b'{"event":"result","trial":"rel', b'{"event":"finished"}', b"\x00" * 100_000]
)
def test_a_torn_last_line_is_not_read_and_is_cut_off_when_writing_goes_on(
    tmp_path: Path, torn: bytes
) -> None:
    record = with_one_trial(tmp_path)
    whole = record.journal.read_bytes()
    record.journal.write_bytes(whole + torn)
    assert len(list(record.events())) == 8
    with JournalWriter(record) as journal:
        journal.append("fault", what="the machine went away")
    assert record.journal.read_bytes().startswith(whole)
    assert [event["event"] for event in record.events()][-2:] == ["ended", "fault"]


def test_every_prefix_of_a_journal_is_a_journal(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    whole, events = record.journal.read_bytes(), list(record.events())
    for size in range(0, len(whole), 7):
        record.journal.write_bytes(whole[:size])
        assert list(record.events()) == events[: whole[:size].count(b"\n")]


@pytest.mark.parametrize("content", [b"", b"no line end", b"one\n", b"one\ntwo", b"one\n" + b"x" * 200_000])
def test_only_what_follows_the_last_line_end_is_cut(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    drop_torn_line(tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == content[: content.rfind(b"\n") + 1]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    lines = record.journal.read_bytes().splitlines(keepends=True)
    record.journal.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
    with pytest.raises(RecordError, match=r"journal\.jsonl:2: is not a line of a journal .*garbage"):
        record.results()


@pytest.mark.parametrize(
    "line", ["3", "{}", '{"event":"session","format":"x"}', '{"event":"asked","trial":"a"}']
)
def test_a_line_that_is_json_but_no_event_is_refused(tmp_path: Path, line: str) -> None:
    record = with_one_trial(tmp_path)
    with record.journal.open("a", encoding="utf-8") as journal:
        journal.write(f"{line}\n")
    with pytest.raises(RecordError, match=r"is not a line of a journal|is damaged"):
        record.results()


def test_a_journal_of_a_newer_format_is_refused_politely(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    record.journal.write_text(json.dumps({"event": "session", "format": FORMAT + 1}) + "\n", encoding="utf-8")
    with pytest.raises(
        RecordError, match=rf"written by a newer version \(format {FORMAT + 1}\); upgrade study"
    ):
        record.results()


def test_a_damaged_study_file_is_named(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    (record.folder / "study.toml").write_text("question =", encoding="utf-8")
    with pytest.raises(StudyFileError, match=r"study\.toml: must be valid TOML"):
        StudyRecord(record.folder)


def test_a_folder_without_a_study_file_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"holds no study record \(study\.toml is missing\)"):
        StudyRecord(tmp_path)


def test_a_file_appears_only_when_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "report.html", "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "report.html", "new \ud800")
    assert (tmp_path / "report.html").read_text() == "old"


# -- one writer --------------------------------------------------------------------------------------

WRITER = """
import sys, time
from pathlib import Path
from study.record import JournalWriter, StudyRecord
with JournalWriter(StudyRecord(Path(sys.argv[1]))) as journal:
    journal.append("fault", what="mine")
    print("writing", flush=True)
    time.sleep(600)
"""


@contextmanager
def writing(record: StudyRecord) -> Iterator[subprocess.Popen[str]]:
    """Another process that is writing the record."""
    command = [sys.executable, "-c", WRITER, str(record.folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": "."}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


@pytest.mark.faults
def test_a_second_writer_is_refused_while_the_first_lives_and_not_after_it_was_killed(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    with writing(record) as process:
        assert is_running(record)
        with pytest.raises(
            RecordError, match="is running in another process; watch it with: study status mine"
        ):
            JournalWriter(record).__enter__()
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert not is_running(record)
        with JournalWriter(record) as journal:
            journal.append("fault", what="the other was killed")
    assert [event["what"] for event in record.events()] == ["mine", "the other was killed"]


def test_a_second_writer_is_refused_in_the_same_process(tmp_path: Path) -> None:
    record = new_record(tmp_path)
    with JournalWriter(record), pytest.raises(RecordError, match="is running in another process"):
        JournalWriter(record).__enter__()


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    with JournalWriter(record):
        assert StudyRecord(record.folder).results()


def test_looking_whether_it_runs_leaves_the_record_free(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    assert not is_running(record)
    with JournalWriter(record):
        pass


def test_who_looks_whether_it_runs_turns_no_writer_away(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    looking = FileLock(record.folder / ".lock", thread_local=False)
    looking.acquire()
    Timer(0.1, looking.release, [True]).start()
    with JournalWriter(record):
        assert not looking.is_locked


AS_ANOTHER = """
import os, sys
from pathlib import Path
from study.errors import RecordError
from study.record import JournalWriter, StudyRecord, is_running
os.setgid(65534)
os.setuid(65534)
record = StudyRecord(Path(sys.argv[1]))
print(is_running(record), len(record.results()))
try:
    JournalWriter(record).__enter__()
except RecordError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_users_record_can_be_looked_at() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        record = with_one_trial(Path(place))
        command = [sys.executable, "-c", AS_ANOTHER, str(record.folder)]

        def looked() -> list[str]:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return done.stdout.splitlines()

        refused = f"{record.folder}: cannot be written: Permission denied"
        assert looked() == ["False 1", refused]
        with JournalWriter(record):
            (record.folder / ".lock").chmod(0o644)
            assert looked() == ["True 1", refused]


# -- finding -----------------------------------------------------------------------------------------


def test_a_record_goes_on_with_the_resources_of_the_latest_run(tmp_path: Path) -> None:
    first = new_record(tmp_path)
    more = SPEC.model_copy(update={"resources": SPEC.resources.model_copy(update={"silence_s": 300.0})})
    record = StudyRecord.create(tmp_path, more)
    assert record.folder == first.folder
    record.take_resources(more)
    assert record.spec.resources.silence_s == 300.0
    assert StudyRecord(record.folder).spec == more


def test_running_again_finds_the_same_record(tmp_path: Path) -> None:
    assert with_one_trial(tmp_path).folder == new_record(tmp_path).folder


def test_fresh_makes_a_folder_beside_and_overwrites_nothing(tmp_path: Path) -> None:
    first = with_one_trial(tmp_path)
    journal = first.journal.read_bytes()
    names = [new_record(tmp_path, fresh=True).folder.name for _ in range(3)]
    assert names == [f"{SPEC.digest}-{number}" for number in (2, 3, 4)]
    assert first.journal.read_bytes() == journal
    assert StudyRecord(tmp_path / "mine" / names[0]).digest == SPEC.digest


def test_after_fresh_the_newest_goes_on(tmp_path: Path) -> None:
    first = with_one_trial(tmp_path)
    os.utime(first.journal, (1, 1))
    second = new_record(tmp_path, fresh=True)
    assert new_record(tmp_path).folder == second.folder
    assert StudyRecord.latest(tmp_path, "mine").folder == second.folder


def test_the_first_record_is_named_by_its_digest_though_a_fresh_one_is_newer(tmp_path: Path) -> None:
    first = with_one_trial(tmp_path)
    os.utime(first.journal, (1, 1))
    second = new_record(tmp_path, fresh=True)
    for record in (first, second):
        assert StudyRecord.latest(tmp_path, f"mine@{record.folder.name}").folder == record.folder
    assert StudyRecord.latest(tmp_path, f"mine@{SPEC.digest[:5]}").folder == second.folder


def test_an_older_record_is_found_by_its_digest(tmp_path: Path) -> None:
    first = with_one_trial(tmp_path)
    other = StudyRecord.create(tmp_path, spec_of(profile="small"))
    os.utime(first.journal, (1, 1))
    assert StudyRecord.latest(tmp_path, "mine").folder == other.folder
    assert StudyRecord.latest(tmp_path, f"mine@{SPEC.digest}").folder == first.folder
    assert StudyRecord.latest(tmp_path, f"mine@{SPEC.digest[:4]}").folder == first.folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mime", "holds no record of 'mime'; did you mean mine"),
        ("mine@ffff", "holds no record of 'mine' with digest 'ffff'"),
    ],
)
def test_a_record_that_is_not_there_is_answered_with_the_nearest(
    tmp_path: Path, name: str, words: str
) -> None:
    with_one_trial(tmp_path)
    with pytest.raises(RecordError, match=words):
        StudyRecord.latest(tmp_path, name)


def test_an_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"run it first \(study run NAME\), or say .* \(--out\)"):
        StudyRecord.latest(tmp_path, "mine")


@pytest.mark.parametrize("name", ["..", ".", "../mine", "a/b", "", "mine\n", "[a]", "?", "x" * 65, "\x1b[2J"])
def test_a_hostile_name_is_refused_before_any_folder_is_looked_at(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordError, match="a study's name has 1 to 64 letters"):
        StudyRecord.latest(tmp_path, name)


def test_a_name_is_never_a_pattern(tmp_path: Path) -> None:
    with_one_trial(tmp_path)
    with pytest.raises(RecordError):
        StudyRecord.latest(tmp_path, "m*")


def test_folders_that_are_no_digests_are_left_alone(tmp_path: Path) -> None:
    record = with_one_trial(tmp_path)
    for name in ("notes", "0123456789abc", f"{SPEC.digest}-x", f"{SPEC.digest}~"):
        (tmp_path / "mine" / name).mkdir()
        (tmp_path / "mine" / name / "study.toml").write_text("")
    assert folders(tmp_path, "*") == [record.folder]


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RecordError, match=r"cannot be written: .*; choose another --out"):
        new_record(tmp_path / "runs")
