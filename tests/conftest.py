"""What every test shares: an environment of its own, and the folders and programs that may be missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read before the environment is cleared below.
DATA_DIR = os.environ.get("STUDY_DATA_DIR")

# What a user's shell may have set that would change what a test sees.
FOREIGN = (
    "STUDY_DATA_DIR",
    "STUDY_HOME",
    "STUDY_NOTIFY",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
    "RAY_ADDRESS",
)

# One thread a process, set before anything imports torch: the numbers of a training depend on it,
# and the suite shares its cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "agg"


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the user's shell reaches a test, and no test writes to the user's folders."""
    with pytest.MonkeyPatch.context() as environment:
        for name in FOREIGN:
            environment.delenv(name, raising=False)
        environment.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user-data")))
        environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user-cache")))
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real CIFAR, as published; the test is skipped where there is none."""
    if not DATA_DIR:
        pytest.skip("needs real CIFAR: set STUDY_DATA_DIR to the folder that holds cifar-10-batches-py")
    return Path(DATA_DIR)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("needs Chromium on the PATH")
