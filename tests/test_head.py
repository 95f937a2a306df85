"""A Ray of our own: it starts beside the driver, ends with it, and has processes ready for trials."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from study.conductor import Conductor
from study.errors import StudyError
from study.processes import family
from study.record import JournalWriter, StudyRecord
from study.spec import Resources
from study.tuning.attempt import Keeping
from study.tuning.head import Head
from study.tuning.nodes import LOOPBACK, WARM
from study.tuning.session import DRIVER_SETTINGS, GPU_DRIVERS, own_settings, protect_token, ray_session
from tests.benchmarks.speed.driven import NoWork, a_study, in_its_own_process, nothing_to_learn

QUIET = DRIVER_SETTINGS | LOOPBACK
TRIALS = 40

DRIVER = """
import sys, time
from study.tuning.head import Head
with Head(dict(each.split("=") for each in sys.argv[1:])) as head:
    print(head.address(), flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def token() -> None:
    protect_token()


def left(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    return list(psutil.wait_procs(processes, timeout=seconds)[1])


def test_it_ends_with_the_driver_however_that_ends() -> None:
    words = [sys.executable, "-c", DRIVER, *(f"{key}={value}" for key, value in QUIET.items())]
    driver = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline().startswith("127.0.0.1:")
    started = family(psutil.Process(driver.pid))
    assert any("raylet" in each.name() for each in started)
    driver.kill()
    driver.communicate()
    assert left(started, 60) == []


@pytest.mark.parametrize(("logs", "also"), [(False, set()), (True, {"log_monitor.py"})])
def test_it_starts_no_process_that_nobody_asks_anything_of(logs: bool, also: set[str]) -> None:
    with Head(QUIET, logs) as head:
        head.address()
        words = [word for each in family(psutil.Process(head.pid)) for word in each.cmdline()]
        head.cancel()
    assert {"raylet", "gcs_server"} <= {Path(word).name for word in words}
    unused = {"dashboard.py", "monitor.py", "log_monitor.py"}
    assert unused & {Path(word).name for word in words} == also


def test_what_is_not_wanted_after_all_is_gone_at_once() -> None:
    with Head(QUIET) as head:
        deadline = time.monotonic() + 60
        while len(started := family(psutil.Process(head.pid))) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(started) >= 3, "Ray starts processes"
        head.cancel()
        assert left(started, 10) == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        # Ray has no place for its files; Python does not find itself.
        ({"RAY_TMPDIR": "/proc/nowhere"}, "nowhere"),
        ({"PYTHONHOME": "/nowhere"}, "encodings"),
    ],
)
def test_a_ray_that_cannot_be_started_says_why(
    settings: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in settings:
        monkeypatch.delenv(key, raising=False)
    with (
        Head(QUIET | settings) as head,
        pytest.raises(StudyError, match=f"Ray on this machine: cannot be started: .*{reason}"),
    ):
        head.address()


@pytest.mark.skipif(any(Path(each).exists() for each in GPU_DRIVERS), reason="GPUs bound how many trials run")
@pytest.mark.parametrize(
    ("resources", "warm"),
    [
        (Resources(), True),
        (Resources(max_concurrent=2), False),
        (Resources(cpus_per_trial=2), False),
    ],
)
def test_processes_import_ahead_only_where_each_gets_a_trial(resources: Resources, warm: bool) -> None:
    assert (WARM.items() <= own_settings(resources).items()) is warm


def watched(folder: Path) -> dict[str, Any]:
    """A study of trials that do nothing: the processes that Ray had ready, that of the first trial, and how
    many trials Tune had in mind in the end."""
    ready: set[int] = set()
    known: list[int] = []
    record = StudyRecord.create(folder, a_study(TRIALS, 1, "random"))

    def watch(conductor: Conductor) -> None:
        if len(conductor.done) == TRIALS:
            from ray.tune.experiment import Trial

            gc.collect()
            known.append(sum(type(each) is Trial for each in gc.get_objects()))

    with JournalWriter(record) as journal, ray_session(None, Resources(), debug=False) as slots:
        from study.tuning.spread import spread

        deadline = time.monotonic() + 120
        while len(ready) < slots.concurrent and time.monotonic() < deadline:
            ready = {each.pid for each in family(psutil.Process()) if is_idle(each)}
            time.sleep(0.05)
        journal.session({}, ["study", "run"])
        conductor = Conductor(record, journal, worst=0.1, concurrent=slots.concurrent, watch=watch)
        record.checkpoints.mkdir()
        spread(conductor, nothing_to_learn(), slots, Keeping(record.checkpoints, 10.0), NoWork(1))
    seen = [result.environment for result in record.results().values()]
    first = min(seen, key=lambda each: float(each["began"]))["process"]
    return {"ready": ready, "first": first, "known": known, "ended": len(seen)}


def is_idle(process: psutil.Process) -> bool:
    """Whether it waits for a trial."""
    try:
        return process.cmdline()[:1] == ["ray::IDLE"]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def test_trials_run_in_the_processes_that_ray_had_ready_and_are_forgotten(tmp_path: Path) -> None:
    found = in_its_own_process(watched, tmp_path)
    assert found["ended"] == TRIALS
    # Later ones may not: Tune ends a process for which it has no trial at the moment.
    assert found["first"] in found["ready"], "Tune asked for others"
    assert found["known"]
    assert max(found["known"]) <= TRIALS / 2, "Tune holds what has ended"
