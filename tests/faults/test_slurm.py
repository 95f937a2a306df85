"""A real Slurm of one node, a study in its queue, and a pre-emption: the job is queued again and goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from study.components.datasets import load_dataset
from study.record import StudyRecord
from tests.faults.test_ray import LONG, ROOT
from tests.faults.toy import a_study, events, numbers, run_trained

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(1200),
]

NAMESPACES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--uts", "--ipc")
TARGET = """
kind = "slurm"
out = "{folder}/there"
python = "{python}"
cpus_per_node = 2
time = "01:00:00"
setup = ["export PATH={ray}:$PATH"]
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a short path, for sockets stand in it."""
    missing = [each for each in ("slurmctld", "slurmd", "munged", "unshare") if not shutil.which(each)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and Debian's slurmctld, slurmd, slurm-client, munge; lacks {missing}")
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def seen(folder: Path) -> dict[str, Any]:
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    ray = Path(spec.origin).parents[4] / "bin"
    (folder / "toy.toml").write_text(a_study(LONG).to_toml(), encoding="utf-8")
    target = TARGET.format(folder=folder, python=sys.executable, ray=ray)
    (folder / "slurm.toml").write_text(target, encoding="utf-8")
    scenario = [sys.executable, "-m", "tests.faults.slurm_scenario", str(folder)]
    done = subprocess.run(
        [*NAMESPACES, "bash", str(ROOT / "tests" / "faults" / "slurm.sh"), str(folder), *scenario],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    logs = [file.read_text(errors="replace")[-3000:] for file in folder.glob("there/submitted/*/log.txt")]
    assert done.returncode == 0, "\n".join([done.stderr, *logs])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_study_in_the_queue_is_joined_not_sent_again(seen: dict[str, Any]) -> None:
    assert not seen["first"]["joined"]
    assert seen["second"] == {**seen["first"], "joined": True}
    assert (seen["while it runs"], seen["at the end"]) == ("running", "finished")


def test_a_pre_empted_job_is_queued_again_and_ends_with_the_same_numbers(
    seen: dict[str, Any], folder: Path
) -> None:
    record = StudyRecord.latest(folder / "there", "toy")
    assert record.finished
    assert [event["why"] for event in events(record, "ended")[:2]] == ["interrupted", None]
    resumed = [event["epoch"] for event in events(record, "started") if "epoch" in event]
    assert resumed, "it went on from its checkpoint"
    undisturbed = run_trained(folder / "undisturbed", a_study(LONG), load_dataset("digits", None))
    assert numbers(record) == numbers(undisturbed)


def test_the_log_is_of_both_runs(seen: dict[str, Any]) -> None:
    assert "the job is queued again" in seen["log"]
    assert "[4/4]" in seen["log"]


def test_a_study_that_has_finished_is_sent_again_under_the_next_number(seen: dict[str, Any]) -> None:
    assert seen["third"]["id"] == f"{seen['first']['id']}-2"
    assert "4 trials are done, 0 missing" in seen["log of the third"]


def test_no_token_is_in_a_log(seen: dict[str, Any], folder: Path) -> None:
    token = (folder / "there" / "submitted" / seen["first"]["id"] / "token").read_text()
    assert token not in seen["log"]
    assert not any(token in file.read_text(errors="replace") for file in folder.glob("*.log"))
