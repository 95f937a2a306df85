"""Figures that the notes show: depth, splits, spikes, fits and intervals, from planted results and frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from study.analysis.figures.depth import draw_depth
from study.analysis.figures.drawing import LIGHT, THEMES, Theme, png
from study.analysis.figures.fits import draw_fits, draw_intervals
from study.analysis.figures.spikes import draw_spikes
from study.analysis.figures.splits import draw_splits
from study.analysis.outcomes import Results
from study.analysis.ranking import ranking
from study.spec import StudySpec
from study.trial import TrialResult
from tests.analysis.planted import by_id, planted_spec, trial

DEPTHS = (8, 20)


def depth_spec() -> StudySpec:
    return planted_spec(
        replicates=2,
        scientific={"model": {"name": ["plain", "resnet"], "depth": list(DEPTHS)}},
        fixed={"dataset": {"name": "digits"}, "activation": {"name": "relu"}},
    )


def depth_results(spec: StudySpec) -> dict[str, TrialResult]:
    errors = {"plain+depth8": 0.2, "plain+depth20": 0.3, "resnet+depth8": 0.2, "resnet+depth20": 0.1}
    return by_id(
        trial(arm.name, "confirm", index, {"train_eval_error": errors[arm.name], "test_error": 0.4})
        for arm in spec.arms()
        for index in range(2)
    )


def dropout_spec() -> StudySpec:
    return planted_spec(
        replicates=2,
        scientific={"model": {"dropout": [True, False]}},
        fixed={
            "dataset": {"name": "digits"},
            "model": {"name": "all_cnn_c"},
            "activation": {"name": "relu"},
        },
    )


def dropout_results(spec: StudySpec) -> dict[str, TrialResult]:
    row: dict[str, float | int | None] = {"epoch": 1, "step": 10, "train_accuracy": 0.5}
    metrics = {"train_eval_accuracy": 0.8, "test_accuracy": 0.7}
    return by_id(
        replace(trial(arm.name, "confirm", index, metrics), curve=(row,))
        for arm in spec.arms()
        for index in range(2)
    )


def spiky() -> dict[str, TrialResult]:
    curve: Any = tuple({"epoch": i, "step": 10 * i, "train_loss": 2.3 / i} for i in range(1, 9))
    events: Any = (
        {"kind": "recovered", "step": 33, "median": 0.7, "peak": 4.0, "steps": 5},
        {"kind": "recovered", "step": 61, "median": 0.4, "peak": 1.5, "steps": 3},
    )
    plain = trial("elu", "tune", 0, {"val_accuracy": 0.5})
    return by_id(
        [plain, replace(trial("relu", "tune", 0, {"val_accuracy": 0.5}), curve=curve, events=events)]
    )


CASES: dict[str, tuple[Any, StudySpec, Results]] = {
    "depth": (draw_depth, depth_spec(), depth_results(depth_spec())),
    "splits": (draw_splits, dropout_spec(), dropout_results(dropout_spec())),
    "spikes": (draw_spikes, planted_spec("relu", "elu"), spiky()),
}


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("name", CASES)
def test_each_is_drawn_where_the_record_has_what_it_needs(name: str, theme: Theme) -> None:
    draw, spec, results = CASES[name]
    drawing = draw(spec, results, ranking(spec, results), theme)
    assert png(drawing.figure).startswith(b"\x89PNG")
    assert "n = " in drawing.caption


@pytest.mark.parametrize("name", CASES)
def test_none_is_drawn_of_another_study(name: str) -> None:
    draw, _, _ = CASES[name]
    spec = planted_spec("relu", "elu")
    results = by_id([trial("relu", "confirm", 0, {"test_accuracy": 0.5})])
    assert draw(spec, results, ranking(spec, results), LIGHT) is None


def test_each_family_has_a_line_over_depth() -> None:
    draw, spec, results = CASES["depth"]
    left, _ = draw(spec, results, ranking(spec, results), LIGHT).figure.axes
    lines = {line.get_label(): list(line.get_ydata()) for line in left.lines if len(line.get_ydata()) == 2}
    assert lines["plain"] == pytest.approx([0.2, 0.3])
    assert lines["resnet"] == pytest.approx([0.2, 0.1])


def test_test_stands_beside_training_in_both_modes() -> None:
    draw, spec, results = CASES["splits"]
    (axes,) = draw(spec, results, ranking(spec, results), LIGHT).figure.axes
    shown = {line.get_label(): float(line.get_xdata()[0]) for line in axes.lines}
    assert shown["training, as it goes"] == 0.5
    assert shown["training, in eval mode"] == 0.8
    assert shown["test"] == 0.7


def test_each_spike_reaches_from_its_median_to_its_peak() -> None:
    draw, spec, results = CASES["spikes"]
    (axes,) = draw(spec, results, ranking(spec, results), LIGHT).figure.axes
    ends = [list(line.get_ydata()) for line in axes.lines if list(line.get_xdata()) == [33, 33]]
    assert ends == [[0.7, 4.0]]


# -- one-dimensional regressions


def fits() -> pd.DataFrame:
    x = np.linspace(-15, 15, 60)
    truth = 10 * np.sinc(x / np.pi)
    rows = []
    for panel, names in (("MSE and MAE", ("MSE", "MAE")), ("Huber", ("delta 4", "delta 2", "delta 1"))):
        for at, name in enumerate(("observed", "true", *names)):
            rows += [(panel, name, a, b + at / 4) for a, b in zip(x, truth, strict=True)]
    return pd.DataFrame(rows, columns=["panel", "series", "x", "y"])


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_fits_are_drawn_over_what_was_observed(theme: Theme) -> None:
    drawing = draw_fits(fits(), theme, "Sinc", "n = 60")
    assert png(drawing.figure).startswith(b"\x89PNG")
    first, second = drawing.figure.axes
    assert (len(first.lines), len(second.lines)) == (4, 5)
    assert first.lines[0].get_linestyle() == "None"


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_intervals_stand_over_their_coverage(theme: Theme) -> None:
    x = np.linspace(0, 10, 50)
    panels, series = ("constant", "growing"), ("OLS", "quantile")
    points = pd.DataFrame([(p, a, a) for p in panels for a in x], columns=["panel", "x", "y"])
    bands = pd.DataFrame(
        [(p, s, a, a - 1, a + 1) for p in panels for s in series for a in x],
        columns=["panel", "series", "x", "low", "high"],
    )
    coverage = pd.DataFrame(
        [(p, s, d, 0.9, 0.8, 0.95) for p in panels for s in series for d in range(1, 11)],
        columns=["panel", "series", "decile", "share", "low", "high"],
    )
    drawing = draw_intervals(points, bands, coverage, theme, replicates=12)
    assert png(drawing.figure).startswith(b"\x89PNG")
    assert len(drawing.figure.axes) == 4
    assert "n = 50 a panel" in drawing.caption
    assert "n = 12 replicates" in drawing.caption
