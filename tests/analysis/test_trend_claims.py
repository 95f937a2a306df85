"""Claims about trends: of a metric, and of the best value of a hyperparameter, along an axis."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from study.analysis.trend_claims import linear_change
from study.analysis.verdicts import ClaimVerdict, judge_all
from study.spec import StudySpec
from study.trial import TrialResult
from tests.analysis.planted import by_id, planted_spec, trial

SIZES, WIDTHS = (100, 300, 1000), (0.125, 0.25, 0.5)
ACROSS = {"dataset": {"train_size": list(SIZES)}, "model": {"width": list(WIDTHS)}}
ALONG = {"dataset": {"train_size": list(SIZES)}}


def study(trend: dict[str, Any], scientific: dict[str, Any], replicates: int = 8, **claim: Any) -> StudySpec:
    claims = [{"source": "L36", "metric": "test_accuracy", "trend": trend, **claim}]
    fixed = {"dataset": {"name": "digits"}, "model": {"name": "all_cnn_c"}}
    return planted_spec(replicates=replicates, claims=claims, scientific=scientific, fixed=fixed)


def judged(spec: StudySpec, level: Callable[[float, float], float], noise: float = 0.005) -> ClaimVerdict:
    """The verdict where an arm's accuracy is ``level(train_size, width)``, with noise of each replicate."""
    draw = random.Random(5)
    results: list[TrialResult] = []
    blocks = [draw.gauss(0, 0.02) for _ in range(spec.search.replicates)]
    for arm in spec.arms():
        size, width = arm.values["dataset.train_size"], arm.values.get("model.width", 0.25)
        assert isinstance(size, int | float)
        assert isinstance(width, int | float)
        for index, block in enumerate(blocks):
            value = level(size, width) + block + draw.gauss(0, noise)
            results.append(trial(arm.name, "confirm", index, {"test_accuracy": value}))
    (found,) = judge_all(spec, by_id(results))
    return found


def metric_trend(direction: str) -> dict[str, Any]:
    return {"of": "test_accuracy", "along": "dataset.train_size", "direction": direction}


def by_place(*levels: float) -> Callable[[float, float], float]:
    return lambda size, width: levels[SIZES.index(int(size))]


@pytest.mark.parametrize(
    ("levels", "direction", "expected"),
    [
        ((0.5, 0.55, 0.6), "increasing", "reproduced"),
        ((0.5, 0.55, 0.6), "decreasing", "contradicted"),
        ((0.6, 0.55, 0.5), "decreasing", "reproduced"),
        ((0.5, 0.5, 0.5), "increasing", "undecided"),
        # Up and down again by as much: no net trend.
        ((0.5, 0.6, 0.5), "increasing", "undecided"),
    ],
)
@pytest.mark.parametrize("test", ["t", "sign_flips"])
def test_a_metrics_trend(levels: tuple[float, ...], direction: str, expected: str, test: str) -> None:
    found = judged(study(metric_trend(direction), ALONG, test=test), by_place(*levels))
    assert found.verdict == expected


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.05, "reproduced"), (0.099, "undecided"), (0.2, "undecided")]
)
def test_a_trend_must_exceed_the_margin(margin: float, expected: str) -> None:
    found = judged(study(metric_trend("increasing"), ALONG, margin=margin), by_place(0.5, 0.55, 0.6))
    assert found.verdict == expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [((0.5, 0.5, 0.5), "reproduced"), ((0.5, 0.55, 0.6), "contradicted"), ((0.5, 0.51, 0.52), "undecided")],
)
def test_a_flat_trend_stays_within_its_margin(levels: tuple[float, ...], expected: str) -> None:
    assert judged(study(metric_trend("flat"), ALONG, margin=0.02), by_place(*levels)).verdict == expected


def width_trend(direction: str) -> dict[str, Any]:
    return {"of": "model.width", "along": "dataset.train_size", "direction": direction}


def grows(size: float, width: float) -> float:
    """The best width is the first, second, third at the first, second, third size."""
    return 0.5 - 0.05 * abs(SIZES.index(int(size)) - WIDTHS.index(width))


def test_a_best_width_that_grows_with_the_data_is_found() -> None:
    found = judged(study(width_trend("increasing"), ACROSS), grows)
    assert found.verdict == "reproduced"
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(2.0)
    what, _, change = found.reason.partition(": ")
    assert (
        what
        == "Change of the best model.width (in steps of its values) from dataset.train_size = 100 to 1000"
    )
    assert change.startswith("+2.0000")


def test_a_best_width_that_stays_is_no_trend() -> None:
    assert judged(study(width_trend("increasing"), ACROSS), lambda size, width: -width).verdict == "undecided"


def test_the_metrics_trend_is_averaged_over_what_else_is_compared() -> None:
    spec = study(metric_trend("increasing"), ACROSS)
    found = judged(spec, lambda size, width: 0.1 * SIZES.index(int(size)) + width)
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("numbers", [(1.0, 2.0), (3.0, 1.0, 2.0), (0.1, 0.4, 0.2, 0.9, 0.3)])
def test_the_change_is_that_of_the_least_squares_line(numbers: tuple[float, ...]) -> None:
    slope = stats.linregress(range(len(numbers)), numbers).slope
    assert linear_change(numbers) == pytest.approx(slope * (len(numbers) - 1))


def test_an_unfinished_study_is_not_judged() -> None:
    spec = study(metric_trend("increasing"), ALONG)
    results = by_id([trial(arm.name, "confirm", 0, {"test_accuracy": 0.5}) for arm in spec.arms()])
    (found,) = judge_all(spec, results)
    assert found.reason == "The study is unfinished: 3 of 24 replicates of these arms ended"


def test_an_axis_with_gaps_everywhere_is_not_judged() -> None:
    spec = study(metric_trend("increasing"), ALONG, replicates=2)
    spec = spec.model_copy(update={"exclude": [spec.arms()[1].name]})
    found = judged(spec, by_place(0.5, 0.55, 0.6))
    assert found.verdict == "undecided"
    assert found.reason == "No setting of the rest has an arm at every place on the axis"


def test_an_undecided_trend_says_what_would_decide_it() -> None:
    found = judged(study(metric_trend("increasing"), ALONG), by_place(0.5, 0.5, 0.501))
    assert found.needs.startswith("To decide, if the change is as seen: ")


def test_without_a_trend_a_verdict_is_rare() -> None:
    """Of 100 studies 5 on average; 13 or fewer with a chance above 99.9 % (binomial)."""
    draw = random.Random(11)
    spec = study(metric_trend("increasing"), ALONG)
    decided = 0
    for _ in range(100):
        results = by_id(
            trial(arm.name, "confirm", index, {"test_accuracy": draw.gauss(0.5, 0.01)})
            for arm in spec.arms()
            for index in range(8)
        )
        (found,) = judge_all(spec, results)
        decided += found.verdict != "undecided"
    assert decided <= 13
