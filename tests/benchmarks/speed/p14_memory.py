"""P14: the driver's memory at so many trials, and the report of as large a record."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from study.record import StudyRecord
from tests.analysis.planted import planted_record, planted_spec, simulated
from tests.benchmarks.speed.driven import in_its_own_process, peak_memory_mb
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.p04_orchestration import largest
from tests.benchmarks.speed.sizes import Bench

ARMS = ("relu", "elu", "prelu", "gelu", "tanh")
REPLICATES = 10


def measure(bench: Bench) -> list[Line]:
    run, trials = largest(bench), max(bench.size.orchestrated)
    folder = planted(Path(tempfile.mkdtemp(dir=bench.folder)), bench.size.recorded)
    seconds, memory_mb = in_its_own_process(reported, folder)
    what = f"report of {bench.size.recorded:,} trials"
    return [
        Line(
            f"driver after {trials:,} trials over Ray",
            Spread.of([run.memory_mb]),
            " MB",
            Bound("<", 500),
            "Ray, torch and Optuna loaded; the results of all trials",
        ),
        Line(
            what,
            Spread.of([seconds]),
            " s",
            Bound("<", 20),
            "figures and fANOVA; see python -m cProfile -m study report",
        ),
        Line(f"{what}, memory", Spread.of([memory_mb]), " MB"),
    ]


def planted(folder: Path, trials: int) -> Path:
    """The folder of a record of ``trials`` tuning trials and some replicates, with curves of eight epochs."""
    spec = planted_spec(*ARMS, trials=trials // len(ARMS), replicates=REPLICATES)
    levels = {arm: 0.8 + 0.02 * number for number, arm in enumerate(ARMS)}
    return planted_record(folder, spec, simulated(spec, levels)).folder


def reported(folder: Path) -> tuple[float, float]:
    """Seconds from the record to its report, and the most memory meanwhile."""
    began = time.monotonic()
    from study.report import write_report

    write_report(StudyRecord(folder))
    return time.monotonic() - began, peak_memory_mb()
