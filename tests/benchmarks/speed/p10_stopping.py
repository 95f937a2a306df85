"""P10: cifar10-acts with per-arm ASHA, beside the same study without: its training steps, and its ranking.

A study that is stopped early may confirm another configuration of an arm. So its ranking is compared by
Kendall's tau over the pairs of arms that are separable: those of which the study without it says who leads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from study.analysis.outcomes import direction, replicates, test_metric
from study.analysis.pairs import ALPHA, pair_tests, scores
from study.analysis.ranking import ranking
from study.record import StudyRecord
from tests.benchmarks.speed.contestants import timed
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.sizes import Bench

STUDY = "cifar10-acts"
LIMIT = (
    "an arm's first trials meet no rung to be judged by, and diverged ones are stopped in both; with few "
    "trials an arm little is left to be saved"
)


def measure(bench: Bench) -> list[Line]:
    settings = (bench.size.stopping, (*bench.size.stopping, "--set", "search.early_stopping=asha"))
    with ThreadPoolExecutor() as pool:  # nothing is timed
        without, stopped = pool.map(partial(study, bench), settings)
    tuned = steps(stopped, "tune") / steps(without, "tune")
    whole = total(stopped) / total(without)
    pairs = separable(without)
    note = (
        f"{steps(stopped, 'tune'):,} of {steps(without, 'tune'):,} steps; the confirm phase is never stopped"
    )
    lines = [
        Line("training steps of the tuning", Spread.of([tuned]), "x", Bound("<=", 0.5), LIMIT, note),
        Line("training steps of the whole study", Spread.of([whole]), "x"),
    ]
    if not pairs:  # then there is no order to be kept
        return lines
    return [
        *lines,
        Line(
            f"tau over {len(pairs)} separable pairs of arms",
            Spread.of([tau(pairs, order(stopped))]),
            "",
            Bound(">=", 1.0),
            "another configuration was confirmed",
            f"{' > '.join(order(without))} without, {' > '.join(order(stopped))} with",
        ),
    ]


def study(bench: Bench, settings: Sequence[str]) -> StudyRecord:
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    words = ["-m", "study", "run", STUDY, *settings, "--out", str(folder)]
    if bench.data_dir is not None:
        words += ["--data-dir", str(bench.data_dir)]
    timed(words)
    return StudyRecord.latest(folder, STUDY)


def steps(record: StudyRecord, phase: str) -> int:
    ended = record.results().values()
    return sum(each.gradient_evaluations for each in ended if each.config.phase == phase)


def total(record: StudyRecord) -> int:
    return steps(record, "tune") + steps(record, "confirm")


def order(record: StudyRecord) -> list[str]:
    """The arms, best first."""
    return [arm.arm for arm in ranking(record.spec, record.results()).arms]


def separable(record: StudyRecord) -> list[tuple[str, str]]:
    """(better, worse) for each pair of arms that the paired t test tells apart, after Holm's correction."""
    spec, results = record.spec, record.results()
    metric = test_metric(spec)
    found = {arm: replicates(results, arm, metric) for arm in order(record)}
    tests = pair_tests(scores(found), direction(spec, metric))
    apart = tests[tests["p_holm"] < ALPHA]
    return [
        (one, other) if difference > 0 else (other, one)
        for one, other, difference in zip(apart["first"], apart["second"], apart["difference"], strict=True)
    ]


def tau(pairs: Sequence[tuple[str, str]], order: Sequence[str]) -> float:
    """Kendall's over these (better, worse) pairs in an order, best first."""
    place = {arm: number for number, arm in enumerate(order)}
    agreed = sum(place[better] < place[worse] for better, worse in pairs)
    return (2 * agreed - len(pairs)) / len(pairs)
