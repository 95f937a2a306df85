"""Processes to be killed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def processes() -> Iterator[ForkServerContext]:
    """Processes that begin with all they need imported, and with none of this one's threads."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.faults.toy", "study.training", "study.checkpoint"])
        yield context
