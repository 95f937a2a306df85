"""The figure of coverage from place to place, from planted results."""

from __future__ import annotations

import numpy as np
import pytest

from study.analysis.figures.coverage import DECILES, draw_coverage
from study.analysis.figures.drawing import LIGHT, THEMES, Theme, png
from study.analysis.outcomes import Results
from study.analysis.ranking import ranking
from study.spec import StudySpec
from tests.analysis.planted import by_id, planted_spec, trial


def interval_spec(spreads: int = 2) -> StudySpec:
    dataset = {"dataset": {"spread": ["growing", "constant"]}} if spreads > 1 else {}
    return planted_spec(
        scientific={"loss": {"name": ["mse", "quantiles"]}, **dataset},
        conditional={"loss.name=quantiles": {"loss": {"levels": "0.1-0.9"}}},
    )


def covered(spec: StudySpec) -> Results:
    """Those of ``mse`` fall from 1 to 0.55 where the spread grows, all others stay at 0.8."""

    def share(arm: str, decile: int) -> float:
        return 1 - 0.05 * (decile - 1) if arm == "mse+spreadgrowing" else 0.8

    return by_id(
        trial(
            arm.name,
            "confirm",
            index,
            {f"test_coverage_decile{d}": share(arm.name, d) + 0.01 * index for d in DECILES},
        )
        for arm in spec.arms()
        for index in range(3)
    )


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("spreads", [1, 2])
def test_each_kind_of_data_has_a_panel(theme: Theme, spreads: int) -> None:
    spec = interval_spec(spreads)
    results = covered(spec)
    drawing = draw_coverage(spec, results, ranking(spec, results), theme)
    assert drawing is not None
    assert png(drawing.figure).startswith(b"\x89PNG")
    assert len(drawing.figure.axes) == spreads
    assert "n = 3" in drawing.caption


def test_a_line_has_the_means_of_its_arm_and_a_dashed_one_the_nominal_share() -> None:
    spec = interval_spec()
    results = covered(spec)
    drawing = draw_coverage(spec, results, ranking(spec, results), LIGHT)
    assert drawing is not None
    growing = drawing.figure.axes[0]
    lines = {line.get_label(): line for line in growing.lines if np.size(line.get_xdata()) == len(DECILES)}
    assert np.asarray(lines["mse"].get_ydata()).tolist() == pytest.approx(
        [1.01 - 0.05 * (d - 1) for d in DECILES]
    )
    assert growing.lines[0].get_ydata() == pytest.approx([0.8, 0.8])


def test_none_is_drawn_where_nothing_has_intervals() -> None:
    spec = planted_spec("relu", "elu")
    results = by_id([trial("relu", "confirm", 0, {"test_accuracy": 0.5})])
    assert draw_coverage(spec, results, ranking(spec, results), LIGHT) is None
