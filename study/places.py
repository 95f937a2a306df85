"""Where records, data, the local cluster and the local service are looked for."""

from __future__ import annotations

import os
from pathlib import Path


def default_root() -> Path:
    """Where records go: STUDY_HOME, else ./runs."""
    return Path(os.environ.get("STUDY_HOME") or "runs")


def default_data_dir(given: Path | None) -> Path | None:
    """What was given, else STUDY_DATA_DIR, else None: the user's data folder."""
    from_environment = os.environ.get("STUDY_DATA_DIR")
    return given or (Path(from_environment) if from_environment else None)


def cluster_folder() -> Path:
    """Where the cluster that was started on this machine keeps its state, its token and its logs."""
    from platformdirs import user_state_path

    return user_state_path("study") / "cluster"


def cache_folder() -> Path:
    """Where things are kept that can be made again."""
    from platformdirs import user_cache_path

    return user_cache_path("study")


def service_folder() -> Path:
    """Where the service of this machine keeps its database, its artifacts, its passwords and its logs."""
    from platformdirs import user_data_path

    return user_data_path("study") / "service"
