"""P11: how busy the slots are until the last trials, and how the machine's threads are best given to trials.

Busy: the trials' time over the slots' time, from the beginning of the first trial until no other was left to
be started. Left out are the last trials of a phase, when a slot can have nothing to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from study.cores import divide
from study.studyfile import validate
from study.typical import example
from tests.benchmarks.speed.contestants import NAME, natural, rounds, slots, study_file
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.peers.workload import Trained
from tests.benchmarks.speed.sizes import Bench


def measure(bench: Bench) -> list[Line]:
    shares = []
    for _, ours in rounds(bench, bench.size.short):
        tuned = [each for each in ours.trained if each.test_accuracy is None]
        shares.append(100 * busy(tuned, slots()))
    return [
        Line(
            "busy until the last trials",
            Spread.of(shares),
            " %",
            Bound(">=", 95),
            "Ray's turns between trials",
        ),
        *threads(bench),
    ]


def busy(trained: Sequence[Trained], lanes: int) -> float:
    begins = sorted(each.began for each in trained)
    start, last = begins[0], begins[-1]
    worked = sum(max(0.0, min(each.ended, last) - each.began) for each in trained)
    return worked / (lanes * (last - start)) if last > start else 1.0


def threads(bench: Bench) -> list[Line]:
    """The same work by as many one-thread trials as there are cores, and by one trial with all of them, as
    `study plan` measures it; nothing where there is one core, or a GPU."""
    spec = validate(study_file(bench.size.short, natural()), NAME, f"{NAME}.toml")
    found = divide(spec, example(spec, spec.arms()[0], 0), bench.data_dir, slots())
    if found is None:
        return []
    note = (
        f"{found.apart:,.0f} beside {found.together:,.0f} images/s, {natural()}; a study's default is one "
        "thread a trial"
    )
    what = f"{found.cores} one-thread trials, beside one of {found.cores} threads"
    return [Line(what, Spread.of([found.ratio]), "x", Bound(">=", 1.0), note=note)]
