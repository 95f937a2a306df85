"""What happens inside tests/faults/slurm.sh: a study is submitted to Slurm, pre-empted, and goes on.

``python -m tests.faults.slurm_scenario FOLDER`` prints what was seen, as JSON; its inputs are there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from study.record import StudyRecord


def study(*words: str) -> str:
    command = [sys.executable, "-m", "study", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def wait_for(root: Path, condition: Callable[[list[dict[str, Any]]], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if list(root.glob("toy/*/journal.jsonl")) and condition(
            list(StudyRecord.latest(root, "toy").events())
        ):
            return
        time.sleep(0.1)
    raise AssertionError(f"not so within {seconds} s")


def count(found: list[dict[str, Any]], event: str) -> int:
    return sum(each["event"] == event for each in found)


def main(folder: Path) -> None:
    root, seen = folder / "there", {}
    submit = ("submit", "./toy.toml", "--to", "./slurm.toml", "--max-concurrent", "1", "--json")
    seen["first"] = json.loads(study(*submit))
    seen["second"] = json.loads(study(*submit))
    wait_for(root, lambda found: count(found, "epoch") >= 10)
    seen["while it runs"] = json.loads(study("status", "toy", "--json"))["submission"]["state"]
    # What Slurm sends to the script when the job is pre-empted, or `grace_s` before its time is up.
    name = seen["first"]["id"]
    subprocess.run(["scancel", "--name", name, "--batch", "--signal", "USR1"], check=True)
    wait_for(root, lambda found: count(found, "ended") == 1)
    wait_for(root, lambda found: count(found, "session") == 2)
    seen["log"] = study("logs", "toy", "--follow")
    seen["at the end"] = json.loads(study("status", "toy", "--json"))["submission"]["state"]
    seen["third"] = json.loads(study(*submit))
    seen["log of the third"] = study("logs", "toy", "--follow")
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
