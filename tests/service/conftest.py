"""A folder that PostgreSQL may enter, and what must be installed for one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.errors import StudyError
from study.service import postgres
from tests.cli.conftest import folder, study

__all__ = ["folder", "study"]


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of PostgreSQL's programs; the test is skipped where there are none."""
    try:
        return postgres.programs_for()
    except StudyError:
        pytest.skip("needs PostgreSQL's server: apt install postgresql")


@pytest.fixture(scope="package")
def place(programs: Path) -> Iterator[Path]:
    """An empty folder that everybody may enter, which pytest's own are not: PostgreSQL does not run as root,
    as whom tests may run, but as an account of its own."""
    folder = Path(tempfile.mkdtemp(prefix="study-service-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
