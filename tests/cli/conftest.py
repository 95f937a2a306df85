"""The command line in this process, as a user meets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from study.cli import run
from tests.good_study import GOOD


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the command; ``mine.toml`` in it is a good study file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(GOOD, encoding="utf-8")
    return tmp_path


@pytest.fixture
def study(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``study("check", "mine")`` runs ``study check mine`` in a folder of its own."""
    # Set first, so that what --debug sets is taken back.
    monkeypatch.setenv("STUDY_DEBUG", "")
    monkeypatch.delenv("STUDY_DEBUG")

    def command(*arguments: str | Path) -> Said:
        capsys.readouterr()
        code = run([str(each) for each in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return command


def assert_one_line(said: Said, *words: str) -> None:
    """A user's mistake: exit code 2, nothing on standard output, one line that has all the words."""
    assert said.code == 2, said
    assert said.out == ""
    assert said.err.startswith("study: ")
    assert said.err.endswith("\n")
    line = said.err.removesuffix("\n")
    assert line.isprintable(), "one line, without control characters"
    assert "Traceback" not in line
    assert len(line) < 1500
    for word in words:
        assert word in line, f"{word!r} is not in: {line}"
