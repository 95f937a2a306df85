"""The VC bound on generated data: the data, the classes, the verdict on planted cells, the command."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from study.analysis.figures.drawing import LIGHT, png
from study.analysis.figures.validity import draw_validity
from study.analysis.vc_validity import (
    BAYES_ERROR,
    CLASSES,
    ModelClass,
    Validity,
    draw,
    judge,
    linear,
    quadratic,
    validity,
)
from study.cli import cli

GENERATOR = np.random.default_rng


@cache
def found() -> Validity:
    return validity(redraws=20, sizes=(100, 1000))


def cells(*rows: tuple[str, int, float, float, int]) -> pd.DataFrame:
    """Planted cells: model, n, gap, penalty, violations, of 200 redraws with a standard error of 0.001."""
    return pd.DataFrame(
        [
            {"model": model, "features": 2, "h": {"small": 3.0, "large": 6.0}[model], "n": n, "redraws": 200}
            | {"train": 0.1, "test": 0.1 + gap, "gap": gap, "gap_error": 0.001, "penalty": penalty}
            | {"violations": violations, "relative": 0.7 * penalty, "relative_violations": 0}
            for model, n, gap, penalty, violations in rows
        ]
    )


AS_IT_SAYS = (
    ("small", 100, 0.02, 0.4, 0),
    ("small", 1000, 0.005, 0.2, 0),
    ("large", 100, 0.04, 0.5, 0),
    ("large", 1000, 0.01, 0.3, 0),
)


def test_the_best_classifier_has_the_bayes_error() -> None:
    x, clean = draw(200_000, 2, GENERATOR(0))
    flipped = clean ^ (GENERATOR(1).random(len(x)) < BAYES_ERROR)
    assert np.mean(flipped != clean) == pytest.approx(BAYES_ERROR, abs=0.003)
    assert np.mean(clean) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("model", [each for each in CLASSES if each.exact], ids=lambda each: each.name)
def test_the_dimension_is_the_number_of_features_of_a_linear_fit(model: ModelClass) -> None:
    expand = linear if model.name.startswith("linear") else quadratic
    x, _ = draw(500, model.features, GENERATOR(0))
    assert np.linalg.matrix_rank(expand(x)) == model.dimension


@pytest.mark.parametrize("model", CLASSES, ids=lambda each: each.name)
def test_every_class_learns_the_plane(model: ModelClass) -> None:
    x, clean = draw(3000, model.features, GENERATOR(0))
    fresh, side = draw(3000, model.features, GENERATOR(1))
    assert np.mean(model.fit(x, clean, GENERATOR(2))(fresh) != side) < 0.06


def test_in_a_small_run_the_bound_is_never_broken() -> None:
    assert found().cells["violations"].sum() == 0
    assert found().reversed == 0
    assert found().verdict == "reproduced"


def test_the_bound_by_relative_deviations_holds_too() -> None:
    known = found().cells[np.isfinite(found().cells["relative"])]
    assert known["relative_violations"].sum() == 0
    assert (known["gap"] < known["relative"]).all()


def test_the_same_seed_gives_the_same_numbers() -> None:
    once, again = (validity(redraws=3, seed=5, sizes=(100,)) for _ in range(2))
    assert once.cells.equals(again.cells)


def test_the_penalty_is_many_times_the_gap() -> None:
    known = found().cells[found().cells["gap"] > 2 * found().cells["gap_error"]]
    assert (known["penalty"] > 2 * known["gap"]).all()


def test_gaps_as_the_formula_says_and_no_violation_reproduce_it() -> None:
    assert judge(cells(*AS_IT_SAYS), eta=0.05).verdict == "reproduced"


def test_too_many_violations_contradict_it() -> None:
    broken = [(model, n, gap, penalty, 20) for model, n, gap, penalty, _ in AS_IT_SAYS]
    assert judge(cells(*broken), eta=0.05).verdict == "contradicted"


def test_as_many_violations_as_allowed_leave_it_undecided() -> None:
    some = [(model, n, gap, penalty, 10) for model, n, gap, penalty, _ in AS_IT_SAYS]
    assert judge(cells(*some), eta=0.05).verdict == "undecided"


def test_gaps_that_rise_with_the_data_contradict_it() -> None:
    turned = cells(*AS_IT_SAYS).assign(gap=[0.01, 0.04, 0.005, 0.02])
    assert judge(turned, eta=0.05).verdict == "contradicted"


def test_vacuous_cells_count_for_no_violation() -> None:
    vacuous = cells(*AS_IT_SAYS, ("large", 10_000, 0.001, math.inf, 0))
    assert "in 800 training sets" in judge(vacuous, eta=0.05).reason


def test_json_has_no_infinity() -> None:
    vacuous = judge(cells(*AS_IT_SAYS, ("large", 10_000, 0.001, math.inf, 0)), eta=0.05).to_json()
    assert json.loads(json.dumps(vacuous, allow_nan=False))["cells"][-1]["penalty"] is None
    assert vacuous["cells"][-1]["relative"] is None


def test_the_figure_tells_how_loose_the_bound_is() -> None:
    drawing = draw_validity(judge(cells(*AS_IT_SAYS), eta=0.05), LIGHT)
    assert png(drawing.figure).startswith(b"\x89PNG")
    assert "The penalty is 12 to 40 times the gap." in drawing.caption


def test_the_command_refuses_a_figure_of_another_kind_before_it_starts(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["vc-validity", "--figure", str(tmp_path / "vc.pdf")])
    assert "must end in .png or .svg" in str(result.exception)


@pytest.mark.slow
def test_the_command_prints_a_verdict_and_draws(tmp_path: Path) -> None:
    path = tmp_path / "vc.svg"
    result = CliRunner().invoke(cli, ["vc-validity", "--redraws", "20", "--figure", str(path), "--json"])
    assert json.loads(result.stdout)["verdict"] == "reproduced"
    assert path.read_bytes().startswith(b"<?xml")
