"""Shell completion, as bash asks for it: commands, studies, profiles, records, statements."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.record import StudyRecord
from study.studyfile import bundled_names
from tests.good_study import GOOD, spec_of

ROOT = Path(__file__).resolve().parents[2]


def completed(line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of ``line``."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from study.cli import run; sys.exit(run(sys.argv[1:]))"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_STUDY_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [offer.partition(",")[2] for offer in done.stdout.splitlines() if offer]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.toml").write_text(GOOD, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("study sch", ["schema"]),
        ("study data f", ["fetch"]),
        ("study run cifar10-ac", ["cifar10-acts"]),
        ("study run cifar10-acts --profile la", ["laptop"]),
        ("study check ./mine.toml --profile ", ["small"]),
        ("study facts C5", [f"C5{n}" for n in range(10)]),
        ("study run cifar10-acts --notif", ["--notify"]),
        ("study check ./mi", ["./mi"]),
    ],
)
def test_bash_is_offered_what_fits(line: str, offered: list[str], folder: Path) -> None:
    assert completed(line, folder) == offered


def test_every_bundled_study_is_offered(folder: Path) -> None:
    assert completed("study plan ", folder) == bundled_names()


def test_records_are_offered_by_name_and_by_digest(folder: Path) -> None:
    record = StudyRecord.create(folder / "runs", spec_of())
    assert completed("study report m", folder) == ["mine"]
    assert completed("study report mine@", folder) == [f"mine@{record.folder.name}"]
    assert completed("study status --out elsewhere m", folder) == []
