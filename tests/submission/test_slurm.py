"""The batch script: shellcheck finds nothing, it does what it should with programs that play Slurm and Ray,
and the queue is believed. tests/faults/test_slurm.py gives it to a real Slurm."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from study.errors import StudyError
from study.submission import sending, slurm
from study.submission.order import Order
from tests.submission.orders import DIGEST, an_order, programs, slurm_target, tool

ID = f"study-mine-{DIGEST}"
FULL: dict[str, Any] = {
    "gpus_per_node": 4,
    "partition": "gpu",
    "account": "me",
    "qos": "high",
    "constraint": "a100",
    "setup": ["module load cuda", "export NCCL_DEBUG=WARN"],
    "secrets": "/home/me/my secrets.env",
    "python": "/shared/venv/bin/python",
}


@pytest.mark.parametrize("changes", [{}, FULL, {"nodes": 1}], ids=["least", "all", "one node"])
def test_shellcheck_has_nothing_to_say(changes: dict[str, Any]) -> None:
    text = slurm.script(an_order(data_dir="/shared/my data"), slurm_target(**changes), ID)
    done = subprocess.run([tool("shellcheck"), "-"], input=text, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("line", ["--partition=gpu", "--account=me", "--qos=high", "--constraint=a100"])
def test_what_the_target_asks_is_in_the_header(line: str) -> None:
    assert f"#SBATCH {line}\n" in slurm.script(an_order(), slurm_target(**FULL), ID)
    assert line not in slurm.script(an_order(), slurm_target(), ID)


def test_the_header_ends_before_the_first_command() -> None:
    lines = slurm.script(an_order(), slurm_target(**FULL), ID).splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:])
    assert lines[0] == "#!/bin/bash"


def test_a_folder_that_a_header_cannot_hold_is_refused() -> None:
    with pytest.raises(StudyError, match="out: Slurm wants a path of letters"):
        slurm.script(an_order(), slurm_target(out="/shared/my runs"), ID)


# -- the script at work --------------------------------------------------------------------------------

# `srun` runs its command on this one node; `ray` what stands behind --; `study` is a python that waits.
PLAYED = {
    "scontrol": 'case $1 in show) echo "$2" > /dev/null; echo node1;; *) echo "$@" > requeued;; esac',
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "ray": 'echo "$@" > ray-arguments; while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    "python": f'exec {sys.executable} -c "$(cat waiting.py)" "$@"',
}
# A driver: Python listens to a SIGTERM that its parents ignore.
WAITING = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
print(*sys.argv)
pathlib.Path("listening").touch()
while not (go := pathlib.Path("go")).exists():
    time.sleep(0.02)
sys.exit(int(go.read_text()))
"""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The script, running; its folder is the current one of the process."""
    path = programs(tmp_path / "bin", PLAYED)
    target = slurm_target(out=str(tmp_path), nodes=1, python=str(path / "python"))
    place = slurm.folder(target, ID)
    place.mkdir(parents=True)
    text = slurm.script(an_order(), target, ID)
    (place / "job.sbatch").write_text(text, encoding="utf-8")
    (place / "waiting.py").write_text(WAITING, encoding="utf-8")
    environment = {
        "PATH": f"{path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node1",
        "SLURM_JOB_ID": "7",
    }
    with subprocess.Popen(
        ["bash", str(place / "job.sbatch")],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        wait_until((place / "listening").is_file)
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.02)


def ended(job: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = job.communicate(timeout=20)
    return job.returncode, out


def place_of(tmp_path: Path) -> Path:
    return tmp_path / "submitted" / ID


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_study_s_exit_code_is_the_job_s(code: int, job: subprocess.Popen[str], tmp_path: Path) -> None:
    (place_of(tmp_path) / "go").write_text(str(code))
    assert ended(job)[0] == code
    assert (place_of(tmp_path) / "exit-code").read_text() == f"{code}\n"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_job_that_is_pre_empted_stops_its_study_and_is_queued_again(
    number: signal.Signals, job: subprocess.Popen[str], tmp_path: Path
) -> None:
    job.send_signal(number)
    code, out = ended(job)
    assert "the job is queued again" in out
    assert (place_of(tmp_path) / "exit-code").read_text() == "130\n", "the study's own way to stop"
    assert (place_of(tmp_path) / "requeued").read_text() == "requeue 7\n"
    assert code == 0, "scontrol's, which takes the script's place"


def test_a_job_that_was_stopped_on_request_is_not_queued_again(
    job: subprocess.Popen[str], tmp_path: Path
) -> None:
    (place_of(tmp_path) / "stopped").touch()
    job.send_signal(signal.SIGUSR1)
    assert ended(job)[0] == 130
    assert not (place_of(tmp_path) / "requeued").exists()


def test_a_ray_that_did_not_start_is_a_failure(job: subprocess.Popen[str], tmp_path: Path) -> None:
    """`ray symmetric-run` ends with 0 all the same."""
    (place_of(tmp_path) / "pid").unlink()
    (place_of(tmp_path) / "go").write_text("0")
    assert ended(job)[0] == 1


def test_a_study_that_was_interrupted_from_inside_is_not_queued_again(
    job: subprocess.Popen[str], tmp_path: Path
) -> None:
    """As by its own time budget: nobody has asked for the nodes."""
    (place_of(tmp_path) / "go").write_text("130")
    assert ended(job)[0] == 130
    assert not (place_of(tmp_path) / "requeued").exists()


def test_ray_gets_the_nodes_and_never_a_token(job: subprocess.Popen[str], tmp_path: Path) -> None:
    (place_of(tmp_path) / "go").write_text("0")
    ended(job)
    words = (place_of(tmp_path) / "ray-arguments").read_text()
    assert words.startswith("symmetric-run --address node1:6379 --min-nodes 1 --num-cpus 8 --num-gpus 0")
    assert "token" not in words


# -- the queue -----------------------------------------------------------------------------------------

QUEUE = {
    "sbatch": 'cp "${@: -1}" "$PLAY/submitted-$(basename "$(dirname "${@: -1}")")"; echo 7',
    "squeue": 'cat "$PLAY/queue" 2> /dev/null || true',
    "scancel": 'echo "$@" >> "$PLAY/cancelled"',
}


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where a played queue keeps what it was told; its file ``queue`` is what squeue prints."""
    folder = tmp_path / "play"
    folder.mkdir()
    monkeypatch.setenv("PLAY", str(folder))
    monkeypatch.setenv("PATH", f"{programs(tmp_path / 'bin', QUEUE)}:{os.environ['PATH']}")
    return folder


def test_a_study_is_sent_once_while_it_runs_and_again_when_it_has_ended(tmp_path: Path, play: Path) -> None:
    target = slurm_target(out=str(tmp_path))
    order = an_order(out=str(tmp_path))
    assert sending.submit(order, target) == sending.Sent(ID, joined=False)
    (play / "queue").write_text("PENDING Priority\n")
    assert sending.submit(order, target) == sending.Sent(ID, joined=True)
    (play / "queue").write_text("RUNNING None\n")
    assert sending.submit(order, target) == sending.Sent(ID, joined=True)
    (play / "queue").unlink()
    (tmp_path / "submitted" / ID / "exit-code").write_text("130\n")
    assert sending.submit(order, target) == sending.Sent(f"{ID}-2", joined=False)
    assert sorted(each.name for each in play.iterdir()) == [f"submitted-{ID}", f"submitted-{ID}-2"]


def test_what_is_sent_is_its_owner_s_alone(tmp_path: Path, play: Path) -> None:
    target = slurm_target(out=str(tmp_path))
    sending.submit(an_order(out=str(tmp_path)), target)
    place = slurm.folder(target, ID)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "token").stat().st_mode) == 0o600
    token = (place / "token").read_text()
    assert len(token) == 64
    assert token not in (place / "job.sbatch").read_text()


@pytest.mark.parametrize(
    ("queue", "files", "state"),
    [
        ("PENDING Resources", {}, "waiting"),
        ("RUNNING None", {"exit-code": "130"}, "running"),
        ("REQUEUED BeginTime", {"exit-code": "130"}, "waiting"),
        ("", {"exit-code": "0\n"}, "finished"),
        ("", {"exit-code": "1\n"}, "failed"),
        ("", {"exit-code": "130\n"}, "stopped"),
        ("", {"stopped": ""}, "stopped"),
        ("", {}, "failed"),
    ],
)
def test_a_job_s_state_is_the_queue_s_or_what_its_script_left(
    queue: str, files: dict[str, str], state: str, tmp_path: Path, play: Path
) -> None:
    target = slurm_target(out=str(tmp_path))
    sending.submit(an_order(out=str(tmp_path)), target)
    for name, text in files.items():
        (slurm.folder(target, ID) / name).write_text(text)
    (play / "queue").write_text(queue)
    assert sending.the_job(target, "mine", DIGEST[:5]).state == state


def test_stopping_asks_the_script_and_takes_a_waiting_job_out(tmp_path: Path, play: Path) -> None:
    target = slurm_target(out=str(tmp_path))
    sending.submit(an_order(out=str(tmp_path)), target)
    slurm.stop(target, ID)
    assert (play / "cancelled").read_text().splitlines() == [
        f"--user {getuser()} --name {ID} --state PENDING",
        f"--user {getuser()} --name {ID} --batch --signal USR1",
    ]
    assert (slurm.folder(target, ID) / "stopped").exists()


def test_a_log_is_read_to_its_end(tmp_path: Path, play: Path) -> None:
    target = slurm_target(out=str(tmp_path))
    sending.submit(an_order(out=str(tmp_path)), target)
    (slurm.folder(target, ID) / "log.txt").write_text("one\ntwo\n")
    assert "".join(slurm.logs(target, ID, follow=True)) == "one\ntwo\n"


def test_a_job_that_slurm_refuses_leaves_nothing(
    tmp_path: Path, play: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path / "bin", {"sbatch": "echo 'sbatch: error: invalid partition: gpuu' >&2; exit 1"})
    target = slurm_target(out=str(tmp_path))
    with pytest.raises(StudyError, match="invalid partition: gpuu"):
        sending.submit(an_order(out=str(tmp_path)), target)
    assert list((tmp_path / "submitted").iterdir()) == []


def test_without_slurm_that_is_said_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="there is no sbatch here"):
        sending.submit(an_order(out=str(tmp_path)), slurm_target(out=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_submission_that_breaks_off_leaves_nothing(
    tmp_path: Path, play: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(order: Order, place: Path) -> None:
        raise KeyboardInterrupt

    target, order = slurm_target(out=str(tmp_path)), an_order(out=str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(slurm, "pack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sending.submit(order, target)
    assert list((tmp_path / "submitted").iterdir()) == []
    assert not sending.submit(order, target).joined


def test_a_submission_that_was_killed_on_its_way_is_named(
    tmp_path: Path, play: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, order = slurm_target(out=str(tmp_path)), an_order(out=str(tmp_path))
    place = slurm.folder(target, ID)
    place.mkdir(parents=True)
    monkeypatch.setattr(slurm, "WRITING_S", 0.3)
    with pytest.raises(StudyError, match="a submission broke off there; remove that folder"):
        sending.submit(order, target)
    Timer(0.1, (place / "job.sbatch").touch).start()
    assert not slurm.send(order, target, ID), "somebody was sending it at this moment"


def test_a_file_in_the_way_is_no_submission(tmp_path: Path, play: Path) -> None:
    (tmp_path / "submitted").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        sending.submit(an_order(out=str(tmp_path)), slurm_target(out=str(tmp_path)))


def test_slurm_is_reached_where_it_answers_and_the_shared_disk_is_there(tmp_path: Path, play: Path) -> None:
    slurm.reach(slurm_target(out=str(tmp_path)))
    with pytest.raises(StudyError, match="is no folder here"):
        slurm.reach(slurm_target(out=str(tmp_path / "nowhere")))
    programs(tmp_path / "bin", {"squeue": "echo 'squeue: error: no controller' >&2; exit 1"})
    with pytest.raises(StudyError, match="no controller"):
        slurm.reach(slurm_target(out=str(tmp_path)))
