"""One study in which trials blow up, die, spike and recover, hang and crash: told apart, and told why.

The whole of it on Ray, as its user runs it; cases 17, 18 and 24 of the faults meet in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.planted import FIRST_LAYER
from tests.faults.toy import TRAINED, a_study

pytestmark = [
    *(pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(900)),
]

ROOT = Path(__file__).resolve().parents[2]
PLANTING = Path(__file__).parent / "planting"

# Whoever breaks stands between two that do not fail: three failures in a row would end the study.
ARMS = ("relu", "hangs", "explodes", "dies", "crashes", "nan", "spikes")

STUDY: dict[str, Any] = {
    **TRAINED,
    "scientific": {"activation": {"name": list(ARMS)}},
    "nuisance": {"optimizer": {"lr": {"low": 0.008, "high": 0.012, "log": True}}},
    "fixed": {
        **TRAINED["fixed"],
        "dataset": {"name": "digits", "train_size": 800, "validation_size": 100},
        "model": {"name": "all_cnn_c", "width": 0.0625},
        "augmentation": {"flip": False, "crop": 0},
        "training": {"epochs": 14, "batch_size": 40, "evaluation_size": 100},
    },
    "search": {"trials_per_arm": 2, "replicates": 0, "sampler": "random"},
    "resources": {"checkpoint_s": 1e9, "silence_s": 4.0},
}

# What has to come out, by status and kind: the arms, two trials each.
EXPECTED = {
    ("ok", None): "relu",
    ("ok", "recovered"): "spikes",
    ("diverged", "explosion"): "explodes",
    ("diverged", "nonfinite_loss"): "nan",
    ("stalled", "dead"): "dies",
    ("failed", "crash"): "crashes",
    ("failed", "hang"): "hangs",
}


# What `study why` has to say of each arm's first trial.
WHYS = {
    "relu": ["It finished with validation accuracy"],
    "spikes": ["1 loss spike that it recovered from, at step 150"],
    "explodes": [
        "diverged (explosion) at step 30",
        f"step 30: {FIRST_LAYER} (Planted) is the first layer past 100 times its first maximum",
        "Cause: growth",
    ],
    "nan": [
        "diverged (nonfinite_loss) at step 4",
        f"step 4: first non-finite activation: {FIRST_LAYER} (Planted), output: nan",
        "Cause: an invalid operation",
    ],
    "dies": ["stalled (dead)", "which is chance", f"outputs are zero in {FIRST_LAYER}"],
    "crashes": ["failed (crash)", "RuntimeError: planted", "tests/faults/planted.py"],
    "hangs": ["failed (hang)", "silent for", "the innermost call first", 'planted.py", line 59 in hang'],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, run to its end; four of its trials failed, so it exits with 1."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "toy.toml").write_text(a_study(STUDY).to_toml(), encoding="utf-8")
    study(folder, "run", "toy.toml", "--max-concurrent", "1", code=1)
    return folder


def study(folder: Path, *arguments: str, code: int = 0) -> str:
    """What the `study` command prints, in processes that know the planted activations."""
    done = subprocess.run(
        [sys.executable, "-m", "study", *arguments, "--out", "runs"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{PLANTING}:{ROOT}", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_every_end_is_counted_under_its_cause(folder: Path) -> None:
    found = json.loads(study(folder, "report", "toy", "--json"))["causes"]
    counts = {(each["status"], each["kind"]): each["arms"] for each in found}
    assert counts == {cause: {arm: 2} for cause, arm in EXPECTED.items()}


def test_the_report_prints_one_table_of_them(folder: Path) -> None:
    lines = [" ".join(line.split()) for line in study(folder, "report", "toy").splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith("how trials ended"))
    assert lines[start + 2 : start + 10] == [
        "ok 2 relu 2 relu/tune/0",
        "ok: recovered from a loss spike 2 spikes 2 spikes/tune/0",
        "diverged: loss exploded 2 explodes 2 explodes/tune/0",
        "diverged: loss not finite 2 nan 2 nan/tune/0",
        "stalled: at chance for good 2 dies 2 dies/tune/0",
        "failed: crash 2 crashes 2 crashes/tune/0",
        "failed: hang 2 hangs 2 hangs/tune/0",
        "all 14",
    ]


@pytest.mark.parametrize("arm", WHYS)
def test_why_names_the_planted_cause(folder: Path, arm: str) -> None:
    said = study(folder, "why", "toy", f"{arm}/tune/0")
    for words in WHYS[arm]:
        assert words in said


def test_the_record_keeps_its_promises(folder: Path) -> None:
    study(folder, "sync", "toy")  # a busy machine may not have let MLflow follow
    document = json.loads(study(folder, "audit", "toy", "--json"))
    assert document["violations"] == []
