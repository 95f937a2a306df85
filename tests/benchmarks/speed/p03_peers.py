"""P3: trials an hour beside what users would pick instead, from the command to its end.

At equal layout and precision first; then as each is written: the tutorial's batches are NCHW, in fp32. The
quick bench starts Ray once for the three peers that run on it, and counts that start for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from tests.benchmarks.speed.contestants import (
    LAST,
    LAST_BF16,
    NCHW,
    Finished,
    exported,
    on_one_ray,
    ours,
    peer,
)
from tests.benchmarks.speed.lines import Bound, Line, Spread, alternating, ratio
from tests.benchmarks.speed.sizes import Bench

Contestant = Callable[[], Finished]


def measure(bench: Bench) -> list[Line]:
    exported(bench.folder, bench.data_dir)
    load = bench.size.compared
    accuracies: dict[str, float] = {}

    def seconds(name: str, contestant: Contestant, number: int) -> float:
        finished = contestant()
        accuracies[name] = finished.accuracy
        return finished.seconds

    contestants: dict[str, Contestant] = {
        name: partial(peer, module, bench, load, layout) for name, (module, layout) in PEERS.items()
    }
    if bench.size.one_ray:
        contestants |= {name: partial(sharing, bench, name) for name in ON_RAY}
    contestants |= {name: partial(ours, bench, load, layout) for name, layout in OURS.items()}
    found = alternating(
        {name: partial(seconds, name, each) for name, each in contestants.items()}, bench.size.rounds
    )
    lines = [
        Line(f"{fast}, beside {slow}", ratio(found[slow], found[fast]), "x", Bound(">=", bound), LIMIT)
        for slow, fast, bound in COMPARED
    ]
    return lines + [
        Line(
            name,
            Spread.of([3600 * load.trials / each for each in times]),
            " trials/h",
            note=f"best val_accuracy {accuracies[name]:.3f}",
        )
        for name, times in sorted(found.items(), key=lambda each: Spread.of(each[1]).median)
    ]


def sharing(bench: Bench, name: str) -> Finished:
    return all_sharing(bench)[name]


@cache
def all_sharing(bench: Bench) -> dict[str, Finished]:
    """Once, by the first that is asked for."""
    assert bench.size.rounds == 1, "one run of it is one round"
    found = on_one_ray([PEERS[name] for name in ON_RAY], bench, bench.size.compared)
    return dict(zip(ON_RAY, found, strict=True))


TUTORIAL, TUTORIAL_LAST = "Tune's tutorial", "Tune's tutorial, channels last"
REUSED = "Tune, reuse_actors"
ON_RAY = (TUTORIAL, TUTORIAL_LAST, REUSED)
FP32, BF16 = "study, fp32", "study, bf16"
LIMIT = "start and stop weigh more the shorter the study is; see where the time goes in P2"
PEERS = {
    TUTORIAL: ("tutorial", NCHW),
    TUTORIAL_LAST: ("tutorial", LAST),
    REUSED: ("reused", NCHW),
    "Optuna, n_jobs=2": ("optuna_threads", NCHW),
    "Optuna, 2 processes": ("optuna_processes", NCHW),
    "raw loops": ("raw", NCHW),
}
OURS = {FP32: LAST, BF16: LAST_BF16}
# The slower, the faster, and how many times as fast it must be. A study's pictures are always channels last.
COMPARED = ((TUTORIAL_LAST, FP32, 1.5), (TUTORIAL, FP32, 1.9), (TUTORIAL, BF16, 2.5))
