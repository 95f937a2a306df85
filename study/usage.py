"""What a trial's process uses of its machine, epoch by epoch, under names that MLflow's tab "System metrics"
shows."""

from __future__ import annotations

from importlib.util import find_spec

import psutil
import torch

from study.trial import Row

CPU, MEMORY = "system/cpu_utilization_percentage", "system/process_memory_megabytes"
GPU, GPU_MEMORY = "system/gpu_utilization_percentage", "system/gpu_memory_megabytes"


class Usage:
    """Measures this process from one call to the next.

    CPU time as a share of wall time (100 for one core), resident memory; on a GPU its utilization, where
    nvidia-ml-py is installed, and the most memory that torch held there since the last call.
    """

    def __init__(self, device: torch.device) -> None:
        self._process, self._device = psutil.Process(), device
        self._process.cpu_percent()  # the first call only begins the interval

    def __call__(self) -> Row:
        row: Row = {CPU: self._process.cpu_percent(), MEMORY: self._process.memory_info().rss / 2**20}
        if self._device.type == "cuda":
            row[GPU_MEMORY] = torch.cuda.max_memory_allocated(self._device) / 2**20
            torch.cuda.reset_peak_memory_stats(self._device)
            if find_spec("pynvml"):
                row[GPU] = float(torch.cuda.utilization(self._device))
        return row
