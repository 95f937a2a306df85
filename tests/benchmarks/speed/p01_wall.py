"""P1: the wall time of a study beside raw training loops in as many processes, confirm phase included.

From the beginning of the first trial to the end of the last; both train and evaluate the same, in the same
layout and precision.
"""

from __future__ import annotations

from tests.benchmarks.speed.contestants import natural, rounds
from tests.benchmarks.speed.lines import Bound, Line, ratio
from tests.benchmarks.speed.sizes import Bench, Load

LIMIT = (
    "where trainers have all cores, the driver and Ray's processes take theirs from them; a worker's first "
    "trial imports, while MLflow starts in the driver (P2); the monitor (P13)"
)


def measure(bench: Bench) -> list[Line]:
    return [
        line(bench, "short trials, beside raw loops", bench.size.short, 1.05),
        line(bench, "long trials, beside raw loops", bench.size.long, 1.02),
    ]


def line(bench: Bench, what: str, load: Load, bound: float) -> Line:
    found = rounds(bench, load)
    raw, ours = ([each.training_s for each in side] for side in zip(*found, strict=True))
    lengths = [each.ended - each.began for raw, _ in found for each in raw.trained]
    last_raw, last_ours = found[-1]
    note = (
        f"{load.trials} trials and {load.replicates} replicates of {sum(lengths) / len(lengths):.1f} s, "
        f"{natural()}: {ours[-1]:.1f} s beside {raw[-1]:.1f} s; best val_accuracy "
        f"{last_ours.accuracy:.3f} beside {last_raw.accuracy:.3f}"
    )
    return Line(what, ratio(ours, raw), "x", Bound("<=", bound), LIMIT, note)
