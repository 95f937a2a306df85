"""A whole study on Ray, to which everything happens: `study run`, as its user runs it.

Cases 1, 4, 8, 17 and 23 of the faults.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from study.components.datasets import load_dataset
from study.record import StudyRecord
from tests.faults.toy import TRAINED, a_study, events, numbers, run_trained
from tests.processes import workers_of

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("ray"), pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]

# Epochs of a tenth of a second, forty of them: time enough to be killed in.
LONG: dict[str, Any] = {
    **TRAINED,
    "scientific": {"activation": {"name": ["elu"]}},
    "fixed": {**TRAINED["fixed"], "training": {**TRAINED["fixed"]["training"], "epochs": 40}},
    "resources": {"checkpoint_s": 0.0, "silence_s": 15.0},
}

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the `study` command on the study of ``LONG``; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "study", *arguments, "--out", str(tmp_path / "runs")],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    (tmp_path / "toy.toml").write_text(a_study(LONG).to_toml(), encoding="utf-8")
    yield run
    for process in started:
        if process.poll() is None:
            kill_all(process)
        process.communicate()


def kill_all(process: subprocess.Popen[str]) -> None:
    """A driver and all that it has started, at once."""
    driver = psutil.Process(process.pid)
    for each in [*driver.children(recursive=True), driver]:
        if each.is_running():
            each.kill()


def end(process: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def wait_for(root: Path, condition: Callable[[list[dict[str, Any]]], bool], seconds: float = 200) -> None:
    """Until the journal's events are so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if list(root.glob("toy/*/journal.jsonl")) and condition(
            list(StudyRecord.latest(root, "toy").events())
        ):
            return
        time.sleep(0.02)
    raise AssertionError(f"not so within {seconds} s")


def epochs(found: list[dict[str, Any]]) -> int:
    return sum(event["event"] == "epoch" for event in found)


def epochs_in(root: Path) -> int:
    """Of all of the study's records, whichever attempt's they are: what is told again is nothing new."""
    records = [StudyRecord(path.parent) for path in root.glob("toy/*/journal.jsonl")]
    found = [{(each["trial"], each["row"]["epoch"]) for each in events(one, "epoch")} for one in records]
    return sum(map(len, found))


def listened_on(process: subprocess.Popen[str]) -> set[str]:
    """The addresses at which a driver or anything that it has started takes connections."""
    driver = psutil.Process(process.pid)
    family = [driver, *driver.children(recursive=True)]
    found = {
        connection.laddr.ip
        for each in family
        if each.is_running()
        for connection in each.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    return {address.removeprefix("::ffff:") for address in found}


def audited(start: Start) -> dict[str, Any]:
    code, out, err = end(start("audit", "toy", "--json"))
    document: dict[str, Any] = json.loads(out)
    assert (code, document["violations"]) == (0, []), err
    return document


def test_a_study_that_is_killed_at_every_turn_ends_like_an_undisturbed_one(
    start: Start, tmp_path: Path
) -> None:
    root, run = tmp_path / "runs", ("run", "toy.toml", "--max-concurrent", "1")

    # Its worker is killed, then everything is.
    process = start(*run)
    wait_for(root, lambda found: epochs(found) >= 10)
    assert listened_on(process) == {"127.0.0.1"}, "Ray executes what it is sent"
    workers_of(process.pid)[0].kill()
    wait_for(root, lambda found: any(event.get("attempt") == 2 for event in found))
    record = StudyRecord.latest(root, "toy")
    before = epochs(list(record.events()))
    wait_for(root, lambda found: epochs(found) >= before + 20)
    kill_all(process)
    process.communicate()

    # The worker of a replicate is stopped, in silence: it has failed, and the next one goes on in its place.
    process = start(*run)
    wait_for(root, lambda found: found[-1]["event"] == "epoch" and found[-1]["trial"] == "elu/confirm/0")
    workers_of(process.pid)[0].suspend()
    code, _, err = end(process)
    assert code == 1, err
    assert "1 trial failed; run the same command again to go on" in err
    (hung,) = [result for result in record.results().values() if result.verdict.status == "failed"]
    assert (hung.config.id, str(hung.verdict)) == ("elu/confirm/0", "failed(hang)")
    assert "its process (stopped) was killed" in hung.verdict.reason

    # The same command once more.
    code, _, err = end(start(*run))
    assert code == 0, err
    audited(start)
    undisturbed = run_trained(tmp_path / "undisturbed", a_study(LONG), load_dataset("digits", None))
    assert numbers(record) == numbers(undisturbed)
    resumed = [event["epoch"] for event in events(record, "started") if "epoch" in event]
    assert len(resumed) == 3, "behind the killed worker, the killed driver and the hung worker"
    assert resumed[0] >= 9
    assert resumed[1] > resumed[0]
    whys = [event["what"] for event in events(record, "fault")]
    assert whys == ["the session before this one ended without a word: it was killed"]
    assert not record.checkpoints.exists()


@pytest.mark.slow
def test_ctrl_c_once_sigterm_and_ctrl_c_twice(start: Start, tmp_path: Path) -> None:
    root, run = tmp_path / "runs", ("run", "toy.toml", "--max-concurrent", "1")
    record = None
    for number, (send, within) in enumerate([(signal.SIGINT, 30), (signal.SIGTERM, 30)]):
        process = start(*run)
        wait_for(root, lambda found, number=number: epochs(found) >= 10 * (number + 1))  # type: ignore[misc]
        began = time.monotonic()
        process.send_signal(send)
        code, _, err = end(process)
        assert code == 130
        assert "run the same command again to go on" in err.splitlines()[-1]
        assert time.monotonic() - began < within
        record = StudyRecord.latest(root, "toy")
        assert events(record, "ended")[-1]["why"] == "interrupted"
        audited(start)
    process = start(*run)
    wait_for(root, lambda found: epochs(found) >= 30)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two at once may arrive as one
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    # Not end(): what Ray started holds the pipes until it has noticed.
    assert process.wait(60) == 130
    assert time.monotonic() - began < 5, "twice is at once"
    assert end(start(*run))[0] == 0
    audited(start)


@pytest.mark.slow
def test_a_tracking_server_that_is_never_there_costs_nothing(start: Start) -> None:
    """The study is done, and says what to do once there is a store; here it is the usual one."""
    nobody = ("--tracking-uri", "http://127.0.0.1:9")
    code, _, err = end(start("run", "toy.toml", "--set", "fixed.training.epochs=3", *nobody))
    assert code == 0, err
    assert "records pending; send them later with: study sync toy" in err
    code, _, err = end(start("sync", "toy"))
    assert code == 0, err
    audited(start)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_workers_killed_over_forty_trials(start: Start, tmp_path: Path) -> None:
    """Each goes on from its checkpoint, and the study takes at most half as long again. A worker that has not
    got any further since the last one died is left alone: thrice in a row would be the trial's own fault."""
    root = tmp_path / "runs"
    size = ["--set", "search.trials_per_arm=30", "--set", "search.replicates=10"]
    size += ["--max-concurrent", "1"]  # whatever is done, the one that was killed last has done it
    began = time.monotonic()
    assert end(start("run", "toy.toml", "--set", "search.seed=1", *size), 800)[0] == 0
    undisturbed_s = time.monotonic() - began
    others = epochs_in(root)
    moments, kills, seen, began = random.Random(20), 0, 0, time.monotonic()
    process = start("run", "toy.toml", *size)
    while process.poll() is None:
        time.sleep(moments.uniform(0, undisturbed_s / 15))
        workers = workers_of(process.pid) if process.poll() is None else []
        now = epochs_in(root) - others
        if workers and kills < 20 and now > seen:
            moments.choice(workers).kill()
            kills, seen = kills + 1, now
    code, _, err = end(process)
    assert code == 0, err
    assert time.monotonic() - began < 1.5 * undisturbed_s + 3 * 20, "a new worker takes 3 s to start"
    assert kills >= 10
    record = StudyRecord.latest(root, "toy")
    assert len(record.results()) == 40
    assert max(event["attempt"] for event in events(record, "started")) >= 2
    audited(start)
