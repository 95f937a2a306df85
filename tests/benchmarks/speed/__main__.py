"""How fast studies run: beside what users would pick instead, and beside what the machine can do.

    python -m tests.benchmarks.speed --quick            (make bench-quick)
    python -m tests.benchmarks.speed --only P1,P3       (make bench: all rows, an hour)
    python -m tests.benchmarks.speed --only P10 --profile laptop                (90 minutes)

Needs CIFAR-10 for P1, P2, P3, P11 and P10's larger profiles (`study data fetch cifar10`). Each number is the
median of the rounds, with their range; contestants take turns. The peers are the installed libraries, used
the way their own documentation says (tests/benchmarks/speed/peers). LIMIT: the target was missed; what stands
in the way follows. The numbers of a busy machine mean nothing: let nothing else run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from study.errors import StudyError, StudyUnfinished
from study.places import default_data_dir
from study.record import write_whole
from tests.benchmarks.speed.lines import Line
from tests.benchmarks.speed.sizes import SIZES, Bench
from tests.benchmarks.speed.table import Row, document, rendered


def measured(name: str, bench: Bench) -> Row:
    module, title = ROWS[name]
    measure: Callable[[Bench], list[Line]] = import_module(f"{__package__}.{module}").measure
    began = time.monotonic()
    try:
        lines, missing = measure(bench), ""
    except (StudyError, StudyUnfinished) as error:
        lines, missing = [], str(error)
    return Row(name, title, lines, time.monotonic() - began, missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_const", const="quick", dest="size", default="full")
    parser.add_argument("--tiny", action="store_const", const="tiny", dest="size", help="does it run?")
    parser.add_argument("--only", default=",".join(ROWS), metavar="P1,P3", help="these rows")
    parser.add_argument("--profile", metavar="laptop", help="that of P10's study, in place of its own")
    parser.add_argument("--out", type=Path, default=Path("runs/speed"), help="where the JSON is kept")
    asked = parser.parse_args()
    names = asked.only.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    rows: list[Row] = []
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"{asked.size}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    # As a study's workers have it, whatever the shell says.
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="study-speed-") as folder:
        size = SIZES[asked.size]
        if asked.profile:
            size = replace(size, stopping=("--profile", asked.profile))
        bench = Bench(size, Path(folder), default_data_dir(None))
        for name in names:
            rows.append(measured(name, bench))
            say(rendered(rows[-1]))
            # After every row: an hour of measuring is not lost with the last of them.
            kept = document(rows, asked.size)
            write_whole(path, json.dumps(kept, indent=2, allow_nan=False) + "\n")
    say(f"{kept['environment']['cpu']}, {kept['environment']['cores']} cores, {kept['date']}")
    say(f"kept in {path}")
    sys.exit(any(row.missing for row in rows))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


ROWS = {
    "P1": ("p01_wall", "a study's wall time, start excluded, beside raw training loops"),
    "P2": ("p02_start", "start and stop"),
    "P3": ("p03_peers", "trials an hour beside what users would pick instead, start included"),
    "P4": ("p04_orchestration", "orchestration of trials that do nothing"),
    "P5": ("p05_reports", "reports"),
    "P6": ("p06_tracking", "MLflow on, beside off"),
    "P7": ("p07_idle", "a warm worker's idle time between trials, TPE"),
    "P8": ("p08_step", "a training step of ALL-CNN-C, one thread"),
    "P9": ("p09_data", "data"),
    "P10": ("p10_stopping", "early stopping per arm (ASHA), beside none"),
    "P11": ("p11_slots", "slots"),
    "P12": ("p12_digits", "the same seed gives the same digits"),
    "P13": ("p13_watching", "monitor, metrics, checkpoints and reports, as a share of step time"),
    "P14": ("p14_memory", "memory and analysis of a large study"),
}

if __name__ == "__main__":
    main()
