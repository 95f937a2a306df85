"""`study run`, as a user runs it: from a wheel, in an empty folder, on a study file of one's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.record import StudyRecord
from study.tracking import default_tracking_uri, differences
from tests.processes import workers_of

# Each test starts Ray of its own; two at a time would fight for the two cores they are sized for.
pytestmark = pytest.mark.xdist_group("ray")

ROOT = Path(__file__).resolve().parents[2]
STUDY_FILE = """
question = "Which activation trains a thin ALL-CNN-C best on handwritten digits?"
[objective]
metric = "val_accuracy"
direction = "maximize"
[scientific]
activation.name = ["relu", "elu"]
[nuisance]
optimizer.lr = { low = 1e-2, high = 1e-1, log = true }
[fixed]
dataset = { name = "digits", train_size = 200, validation_size = 100 }
model = { name = "all_cnn_c", width = 0.0625 }
optimizer = { name = "sgd", momentum = 0.9 }
training = { epochs = 3, batch_size = 20, evaluation_size = 50 }
[search]
trials_per_arm = 3
replicates = 3
[[claims]]
source = "a hunch"
metric = "test_accuracy"
ranking = ["elu", "relu"]
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel of this checkout is unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(site: Path, tmp_path: Path) -> Start:
    """Start the `study` command in an empty folder, with the user's study file elsewhere."""
    (tmp_path / "files").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "files" / "mine.toml").write_text(STUDY_FILE, encoding="utf-8")

    def run(*arguments: str, root: str = "runs") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "study", *arguments, "--out", str(tmp_path / root)],
            cwd=tmp_path / "empty",
            env={**os.environ, "PYTHONPATH": str(site)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def record_at(root: Path) -> StudyRecord:
    return StudyRecord.latest(root, "mine")


def numbers(record: StudyRecord) -> dict[str, Any]:
    """What a fault must not change: settings, seeds, curves and metrics; not times and hosts."""
    timed = ("seconds", "time", "images_per_second")
    return {
        trial: (
            dict(result.config.hyperparameters),
            result.config.seed,
            result.verdict,
            dict(result.metrics),
            [{key: value for key, value in row.items() if key not in timed} for row in result.curve],
        )
        for trial, result in record.results().items()
    }


def wait_for(root: Path, event: str, number: int, seconds: float = 90) -> None:
    """Wait until the running study's journal has so many events of a kind."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        journals = list(root.glob("mine/*/journal.jsonl"))
        if journals and journals[0].read_text(encoding="utf-8").count(f'"event":"{event}"') >= number:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {number} events {event} within {seconds} s")


def test_a_users_own_study_runs_from_a_wheel_in_an_empty_folder(start: Start, tmp_path: Path) -> None:
    code, out, err = end(start("run", "../files/mine.toml", "--json"))
    assert code == 0, err
    summary = json.loads(out)
    assert {entry["arm"] for entry in summary["ranking"]} == {"relu", "elu"}
    assert [entry["n"] for entry in summary["ranking"]] == [3, 3]
    assert summary["claims"][0]["verdict"] in ("reproduced", "contradicted", "undecided")
    assert summary["phases"] == {"tune": {"ok": 6}, "confirm": {"ok": 6}}
    assert all(Path(path).is_file() for path in summary["files"].values())
    assert not list((tmp_path / "empty").iterdir())
    record = record_at(tmp_path / "runs")
    assert differences(record, default_tracking_uri(tmp_path / "runs")) == []

    journal = record.journal.read_bytes()
    code, out, err = end(start("run", "../files/mine.toml"))
    assert code == 0, err
    assert "report" in out
    assert record.journal.read_bytes().startswith(journal)
    assert record.journal.read_bytes().count(b'"event":"started"') == journal.count(b'"event":"started"')


def test_a_study_interrupted_and_killed_ends_like_an_undisturbed_one(start: Start, tmp_path: Path) -> None:
    """The one with two trials at once, the other with one: its proposals keep step."""
    settings = ("--set", "search.lag=0", "--set", "search.early_stopping=asha")
    run = ("run", "../files/mine.toml", *settings)
    code, _, err = end(start(*run, "--max-concurrent", "1", root="undisturbed"))
    assert code == 0, err

    process = start(*run)
    wait_for(tmp_path / "runs", "result", 2)
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert code == 130
    assert "trials are missing; run the same command again to go on" in err.splitlines()[-1]

    process = start(*run)
    wait_for(tmp_path / "runs", "result", 7)
    process.kill()
    assert end(process)[0] == -signal.SIGKILL

    code, _, err = end(start(*run))
    assert code == 0, err
    record = record_at(tmp_path / "runs")
    assert numbers(record) == numbers(record_at(tmp_path / "undisturbed"))
    results = [event["trial"] for event in record.events() if event["event"] == "result"]
    assert len(results) == len(set(results)) == 12, "no trial ended twice"
    pruned = [each for each in record.results().values() if each.verdict.status == "pruned"]
    assert [(each.gradient_evaluations, len(each.curve)) for each in pruned] == [(10, 1)] * len(pruned)
    assert pruned
    assert differences(record, default_tracking_uri(tmp_path / "runs")) == []


@pytest.mark.slow
def test_a_killed_worker_costs_its_trial_a_new_attempt_and_nothing_else(start: Start, tmp_path: Path) -> None:
    process = start("run", "../files/mine.toml", "--set", "fixed.training.epochs=60")
    wait_for(tmp_path / "runs", "epoch", 10)  # the first two trials are under way
    workers_of(process.pid)[0].kill()
    code, _, err = end(process)
    assert code == 0, err
    attempts = [
        event["attempt"] for event in record_at(tmp_path / "runs").events() if event["event"] == "started"
    ]
    assert len(attempts) == 12 + 1
    verdicts = {result.verdict.status for result in record_at(tmp_path / "runs").results().values()}
    assert "failed" not in verdicts


def test_a_time_budget_ends_a_run_that_can_go_on(start: Start) -> None:
    code, out, err = end(start("run", "../files/mine.toml", "--time-budget", "0.001s"))
    assert code == 130
    assert out == ""
    assert "the time budget is used up; 12 trials are missing" in err


def test_a_second_driver_of_the_same_study_is_turned_away(start: Start, tmp_path: Path) -> None:
    words = ("run", "../files/mine.toml", "--set", "fixed.training.epochs=60")  # longer than a start takes
    first = start(*words)
    wait_for(tmp_path / "runs", "epoch", 1)
    code, _, err = end(start(*words))
    assert code == 2
    assert "is running in another process" in err.splitlines()[-1]
    first.send_signal(signal.SIGINT)
    assert end(first)[0] == 130
