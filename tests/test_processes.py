"""Processes that are known again, and the token that guards Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from study.errors import StudyError
from study.processes import birth
from study.tuning.session import protect_token


def test_a_process_began_when_it_began_whatever_the_clock_says() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        began = birth(process.pid)
        assert began == birth(process.pid)
        assert began >= birth(os.getpid())
        since_boot = psutil.Process(process.pid).create_time() - psutil.boot_time()
        assert began == pytest.approx(since_boot, abs=2)
        process.communicate(b"\n")
    with pytest.raises(psutil.NoSuchProcess):
        birth(process.pid)


def test_of_those_who_make_the_token_at_once_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "keys" / "token"))
    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(protect_token) for _ in range(8)]:
            each.result()
    (token,) = (tmp_path / "keys").iterdir()
    assert (len(token.read_text()), token.stat().st_mode & 0o777) == (64, 0o600)


def test_a_token_that_cannot_be_kept_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "file" / "token"))
    with pytest.raises(StudyError, match="name another place with RAY_AUTH_TOKEN_PATH"):
        protect_token()
