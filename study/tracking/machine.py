"""What MLflow measures of this machine while a study runs, if the study or MLflow's own switch asks for it:
CPU, memory, disk, network and GPU, on the study's run, as its tab "System metrics" shows them.

    study run ... --set resources.system_metrics=true
    MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=true study run ...

How often, in seconds, says MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL. None of it is in the record; what
each trial's process uses is (study.usage).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from study.spec import StudySpec

SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"

# How these metrics' names begin.
PREFIX = "system/"


def wanted(spec: StudySpec) -> bool:
    return spec.resources.system_metrics or os.environ.get(SWITCH, "").lower() in ("true", "1")


@contextmanager
def measured(run_id: str, uri: str) -> Iterator[None]:
    """Inside, a thread of MLflow's samples this machine into the run, as long as that is running. It goes on
    counting where an earlier session ended; what goes wrong there is MLflow's to log, and ends it."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor: Any = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=uri)  # type: ignore[no-untyped-call]
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
