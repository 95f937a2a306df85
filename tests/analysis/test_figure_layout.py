"""Nothing in a figure is cut off, and no label lies on another, also where names are long."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from study.analysis.figures import FIGURES
from study.analysis.figures.drawing import LIGHT, Drawing
from study.analysis.figures.shapes import draw_activations, draw_losses
from study.analysis.figures.trial import draw_trial
from study.analysis.outcomes import Results
from study.analysis.ranking import ranking
from study.spec import StudySpec
from tests.analysis import test_coverage, test_note_figures
from tests.analysis.planted import diverged, planted_spec, simulated
from tests.analysis.test_figures import APART, NAMED, OF_SIZES, draw, draw_whole, search_for

# One dot of the page at 250 an inch is rounding.
SLACK = 1.5
LONG = (
    "relu+spreadgrowing+width0.125+bn",
    "elu+spreadconstant+width0.0625+bn",
    "tanh+spreadconstant+bn+dropout",
)


def cut_off(figure: Figure) -> list[str]:
    """The texts that reach beyond the figure."""
    page = figure.bbox
    return [
        text.get_text()
        for text in shown(figure)
        for box in [text.get_window_extent()]
        if min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) < -SLACK
    ]


def on_each_other(figure: Figure) -> list[tuple[str, str]]:
    """The texts that overlap."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown(figure)]
    return [
        (one, other) for (one, first), (other, second) in combinations(boxes, 2) if first.overlaps(second)
    ]


def axes_of(figure: Figure) -> Iterator[Axis]:
    for axes in figure.axes:
        yield from (axes.xaxis, axes.yaxis)


def labels(axis: Axis) -> list[Text]:
    """Those that are drawn."""
    low, high = sorted(axis.get_view_interval())
    return [
        label
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if inside(tick.get_loc(), low, high) and label.get_text() and label.get_visible()
    ]


def inside(at: float, low: float, high: float) -> bool:
    return low <= at <= high or any(math.isclose(at, end, abs_tol=1e-12) for end in (low, high))


def shown(figure: Figure) -> Iterator[Text]:
    ticks = {
        label
        for axis in axes_of(figure)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
    }
    drawn = {label for axis in axes_of(figure) for label in labels(axis)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text().strip() and text.get_visible() and (text in drawn or text not in ticks):
            yield text


def check(drawing: Drawing | None) -> None:
    assert drawing is not None
    drawing.figure.draw_without_rendering()
    assert cut_off(drawing.figure) == []
    assert on_each_other(drawing.figure) == []


def apart(name: str) -> tuple[StudySpec, Results]:
    """A study and its results that have the figure."""
    if name == "coverage":
        spec = test_coverage.interval_spec()
        return spec, test_coverage.covered(spec)
    _, spec, results = test_note_figures.CASES[name]
    return spec, results


@pytest.mark.parametrize("name", [*NAMED, *OF_SIZES])
def test_a_figure_is_whole(name: str) -> None:
    check(draw_whole(name))


@pytest.mark.parametrize("name", NAMED)
def test_a_figure_of_long_names_is_whole(name: str) -> None:
    spec = planted_spec(*LONG, search=search_for(name))
    check(draw(name, spec, simulated(spec, dict(zip(LONG, (0.41, 0.418, 0.414), strict=True)), noise=3e-4)))


@pytest.mark.parametrize("name", APART)
def test_a_figure_of_a_study_of_its_own_is_whole(name: str) -> None:
    spec, results = apart(name)
    check(FIGURES[name](spec, results, ranking(spec, results), LIGHT))


@pytest.mark.parametrize("drawing", [draw_activations, draw_losses])
def test_shapes_are_whole(drawing: object) -> None:
    assert callable(drawing)
    check(drawing(LIGHT))


@pytest.mark.parametrize("layers", [0, 2, 18])
def test_a_blow_up_is_whole(layers: int) -> None:
    steps = list(range(20))
    growth = [10.0 ** max(0, step - 14) for step in steps]
    autopsy = {
        "steps": steps,
        "loss": [2.3 * each for each in growth],
        "gradient_norm": [0.4 * each**2 for each in growth],
        "layers": [f"conv{number}" for number in range(layers)],
        "maxima": [growth] * layers,
        "initial": [1.0] * layers,
    }
    check(draw_trial(replace(diverged("relu", "tune", 0), autopsy=autopsy), LIGHT))
