"""What a trial's process uses, as its rows tell it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from study.components.datasets import load_dataset
from study.trial import TrialConfig, TrialResult, Verdict
from study.tuning.attempt import Keeping, attempt
from study.usage import CPU, MEMORY, Usage
from tests.tracking.records import config, row


def a_training(trial: TrialConfig, data: Any, *, report: Any, **others: Any) -> TrialResult:
    report(row(1))
    return TrialResult(trial, Verdict("ok"))


def rows(folder: Path, usage: bool) -> list[dict[str, Any]]:
    """What one attempt says of its epochs."""
    said: list[Mapping[str, Any]] = []
    keeping = Keeping(folder, 10.0, usage)
    attempt(config(), load_dataset("digits", None), 1, keeping, send=said.append, train=a_training)
    return [message["row"] for message in said if "row" in message]


def test_a_busy_process_uses_a_core_and_one_that_sleeps_none() -> None:
    used = Usage(torch.device("cpu"))
    began, until = time.perf_counter(), time.process_time() + 0.3
    while time.process_time() < until:
        pass
    expected = 100 * 0.3 / (time.perf_counter() - began)
    assert float(used()[CPU] or 0) == pytest.approx(expected, rel=0.2)
    time.sleep(0.3)
    assert float(used()[CPU] or 0) < 20


def test_memory_is_the_processs_own() -> None:
    used = Usage(torch.device("cpu"))
    before = float(used()[MEMORY] or 0)
    block = b"x" * 2**28
    assert float(used()[MEMORY] or 0) - before == pytest.approx(2**8, abs=16)
    assert len(block) == 2**28


def test_the_rows_tell_it_only_where_it_is_asked_for(tmp_path: Path) -> None:
    assert rows(tmp_path / "without", usage=False) == [row(1)]
    (told,) = rows(tmp_path / "with", usage=True)
    assert set(told) - set(row(1)) == {CPU, MEMORY}
