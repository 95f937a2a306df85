"""P1: the wall time of a study beside raw training loops in as many processes, confirm phase included.

From the beginning of the first trial to the end of the last; both train and evaluate the same, in the same
layout and precision. Then without each slot's first trial, during which the driver makes contact with MLflow.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.speed.contestants import natural, rounds
from tests.benchmarks.speed.lines import Bound, Line, ratio
from tests.benchmarks.speed.peers.workload import Trained
from tests.benchmarks.speed.sizes import Bench, Load

LIMIT = (
    "where trainers have all cores, the driver and Ray's processes take theirs from them, and so does "
    "MLflow, most of all during each slot's first trial; the monitor (P13)"
)


def measure(bench: Bench) -> list[Line]:
    return [
        line(bench, "short trials, beside raw loops", bench.size.short, 1.05),
        *later(bench, "short trials, from each slot's second on", bench.size.short),
        line(bench, "long trials, beside raw loops", bench.size.long, 1.02),
    ]


def later(bench: Bench, what: str, load: Load) -> list[Line]:
    """The tuning trials' turns, but for each slot's first; nothing where there are no more trials than
    slots."""
    sides = zip(*rounds(bench, load), strict=True)
    raw, ours = ([sum(turns(each.trained)) for each in side] for side in sides)
    return [Line(what, ratio(ours, raw), "x")] if all(raw) else []


def turns(trained: Sequence[Trained]) -> list[float]:
    """Seconds from the end of a tuning trial to that of the next in its slot."""
    free: list[float] = []
    found: list[float] = []
    for each in sorted(trained, key=lambda each: each.began):
        if each.test_accuracy is not None:
            continue  # a replicate, which waits until the tuning has ended
        before = [end for end in free if end <= each.began]
        if before:
            free.remove(max(before))
            found.append(each.ended - max(before))
        free.append(each.ended)
    return found


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
