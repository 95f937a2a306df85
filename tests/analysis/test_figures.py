"""Every figure on whole, partial and hostile records; looked at as pictures elsewhere."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from matplotlib.text import Text

from study.analysis.figures import FIGURES
from study.analysis.figures.drawing import LIGHT, THEMES, Drawing, Theme, plain, png, readable_on, svg
from study.analysis.figures.tradeoff import GAP_AXIS
from study.analysis.outcomes import Results
from study.analysis.ranking import ranking
from study.analysis.wording import metric_name, metric_with_unit
from study.spec import StudySpec
from tests.analysis.planted import (
    SIZES,
    by_id,
    diverged,
    finished,
    planted_spec,
    renamed,
    scores,
    simulated,
    size_results,
    size_spec,
    trial,
)

# A study that bisects has every figure but those of data sizes and of the best value by budget.
BISECTING = {"sampler": "bisect", "trials_per_arm": 6, "replicates": 4}
SEARCHING = {**BISECTING, "sampler": "random"}
LEVELS = {"relu": 0.4, "elu": 0.5, "tanh": 0.3}
SPEC = planted_spec(*LEVELS, search=BISECTING)
WHOLE = simulated(SPEC, LEVELS)
SIZE_SPEC = size_spec()
SIZE_WHOLE = size_results(SIZE_SPEC)
OF_SIZES = ("learning_curves", "tradeoff", "size_map", "measures")
# Those that only a study of their own has (see test_note_figures, test_coverage).
APART = ("depth", "splits", "spikes", "coverage")
EVERY = [name for name in FIGURES if name not in APART]
NAMED = [name for name in FIGURES if name not in (*OF_SIZES, *APART)]
HOSTILE = "$x^2$ \\frac{} $$ \x1b[31m \u202e 漢字 \U0001f600 <script> _under_ 100% {braces}"


def search_for(name: str) -> dict[str, object]:
    """A search whose study has the figure."""
    return SEARCHING if name == "budget" else BISECTING


def draw(name: str, spec: StudySpec, results: Results, theme: Theme = LIGHT) -> Drawing | None:
    return FIGURES[name](spec, results, ranking(spec, results), theme)


def draw_whole(name: str, theme: Theme = LIGHT) -> Drawing | None:
    if name in OF_SIZES:
        return draw(name, SIZE_SPEC, SIZE_WHOLE, theme)
    return draw(name, planted_spec(*LEVELS, search=search_for(name)), WHOLE, theme)


def words(drawing: Drawing) -> str:
    """All the text that stands in the figure."""
    drawing.figure.canvas.draw()
    found: list[Text] = drawing.figure.findobj(Text)
    return " ".join(text.get_text() for text in found)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("name", EVERY)
def test_each_figure_is_a_png_of_one_columns_width(name: str, theme: Theme) -> None:
    drawing = draw_whole(name, theme)
    assert drawing is not None
    data = png(drawing.figure)
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG")
    assert (width, 300 < height < 2000) == (875, True)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_results_give_the_same_bytes(name: str) -> None:
    first, second = draw_whole(name), draw_whole(name)
    assert first
    assert second
    assert png(first.figure) == png(second.figure)
    assert svg(first.figure) == svg(second.figure)


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_drawn_of_no_results(name: str) -> None:
    assert draw(name, SPEC, {}) is None


@pytest.mark.parametrize("name", NAMED)
def test_hostile_names_are_drawn_as_text(name: str) -> None:
    spec = renamed(planted_spec("relu", "elu", "tanh", search=search_for(name)), HOSTILE)
    results = simulated(spec, {HOSTILE: 0.4, "elu": 0.5, "tanh": 0.3})
    drawing = draw(name, spec, results)
    assert drawing is not None
    assert png(drawing.figure).startswith(b"\x89PNG")
    assert "\x1b" not in words(drawing)


def test_a_dollar_starts_no_mathematics() -> None:
    assert plain("$x$") == r"\$x\$"


def test_what_the_font_does_not_have_is_a_box() -> None:
    assert plain("漢") == "\N{WHITE SQUARE}"


def test_long_names_are_cut() -> None:
    assert len(plain("a" * 64)) == 28


@pytest.mark.parametrize("name", EVERY)
def test_axes_are_labelled(name: str) -> None:
    drawing = draw_whole(name)
    assert drawing is not None
    assert any(axes.get_xlabel() for axes in drawing.figure.axes)


def test_accuracies_and_losses_have_units() -> None:
    spec = planted_spec("relu", "elu", objective="val_loss", replicates=2)
    results = by_id(finished(arm, "confirm", index, 0.5) for arm in ("relu", "elu") for index in range(2))
    curves = draw("curves", spec, results)
    table = draw("ranking", SPEC, WHOLE)
    assert curves
    assert "validation loss (nats per example)" in words(curves)
    assert table
    assert "test accuracy (fraction)" in words(table)


def test_only_losses_of_labels_are_in_nats() -> None:
    labels = planted_spec("relu", objective="val_loss")
    numbers = planted_spec("relu", objective="val_loss", fixed={"dataset": {"name": "sinc"}})
    assert metric_with_unit("val_loss", labels) == "validation loss (nats per example)"
    assert metric_with_unit("val_loss", numbers) == "validation loss"


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("test_clean_rmse", "noise-free test RMSE"),
        ("val_pinball", "validation pinball loss"),
        ("test_r2", "test R²"),
        ("test_below_lowest", "test share below the lowest quantile"),
        ("end_bias_shift", "end bias shift"),
    ],
)
def test_a_metric_has_a_name_in_words(metric: str, name: str) -> None:
    assert metric_name(metric) == name


def test_the_ranking_names_n_and_the_interval() -> None:
    drawing = draw("ranking", SPEC, WHOLE)
    assert drawing
    assert "n = 4 replicates" in drawing.caption
    assert "95 % t interval" in drawing.caption


def test_the_curves_are_the_best_tuning_trials_until_there_are_replicates() -> None:
    results = by_id([finished("relu", "tune", 0, 0.5), finished("relu", "tune", 1, 0.4)])
    drawing = draw("curves", SPEC, results)
    assert drawing
    assert "n: relu 1" in drawing.caption


def test_diverged_trials_stand_on_a_strip_of_their_own() -> None:
    results = by_id([finished("relu", "tune", 0, 0.5, lr=0.01), diverged("relu", "tune", 1, lr=0.09)])
    drawing = draw("tuning", SPEC, results)
    assert drawing
    assert len(drawing.figure.axes) == 2
    (mark,) = drawing.figure.axes[1].lines
    assert list(mark.get_xdata()) == [0.09]  # type: ignore[arg-type]


def test_without_lost_trials_there_is_no_strip() -> None:
    drawing = draw("tuning", SPEC, by_id([finished("relu", "tune", 0, 0.5)]))
    assert drawing
    assert len(drawing.figure.axes) == 1


def test_the_tuning_is_drawn_where_every_trial_was_lost() -> None:
    drawing = draw("tuning", SPEC, by_id([diverged("relu", "tune", 0), diverged("elu", "tune", 0)]))
    assert drawing
    assert png(drawing.figure).startswith(b"\x89PNG")


def test_a_study_that_tunes_no_range_has_no_tuning_figure() -> None:
    spec = planted_spec("relu", "elu", nuisance={"optimizer": {"name": ["sgd", "adam"]}})
    results = by_id([trial("relu", "tune", 0, {"val_accuracy": 0.5})])
    assert draw("tuning", spec, results) is None


def test_without_a_learning_rate_the_first_log_range_is_drawn() -> None:
    nuisance = {
        "optimizer": {
            "momentum": {"low": 0.0, "high": 0.9},
            "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        }
    }
    spec = planted_spec("relu", "elu", nuisance=nuisance)
    one = trial("relu", "tune", 0, {"val_accuracy": 0.5})
    one.config.hyperparameters["optimizer.weight_decay"] = 1e-4  # type: ignore[index]
    drawing = draw("tuning", spec, by_id([one]))
    assert drawing
    assert "weight decay" in words(drawing)


def test_losses_far_apart_are_drawn_on_a_log_axis() -> None:
    spec = planted_spec("relu", "elu", objective="val_loss", trials=2)
    trials = [trial("relu", "tune", index, {"val_loss": loss}) for index, loss in enumerate((0.5, 900.0))]
    drawing = draw("tuning", spec, by_id(trials))
    assert drawing
    assert drawing.figure.axes[0].get_yscale() == "log"


def test_many_arms_are_cut_and_the_caption_says_so() -> None:
    arms = [f"arm{number}" for number in range(40)]
    spec = planted_spec(*arms, replicates=1)
    results = by_id(*(scores(arm, number / 100) for number, arm in enumerate(arms)))
    drawing = draw("ranking", spec, results)
    assert drawing
    assert "The first 30 of 40 arms" in drawing.caption


def test_text_on_a_colour_has_contrast() -> None:
    assert (readable_on("#ffffff"), readable_on(LIGHT.ink)) == ("#000000", "#ffffff")


# -- data sizes and widths


def test_no_penalty_is_drawn_where_the_formula_is_undefined() -> None:
    drawing = draw_whole("tradeoff")
    assert drawing
    gaps = drawing.figure.axes[1]
    largest = max(SIZES)
    for line in gaps.lines:
        y = np.asarray(line.get_ydata(), dtype=float)
        assert np.isfinite(y).all()
        assert (y <= GAP_AXIS[1]).all()
    assert "formula undefined" in words(drawing)
    assert max(gaps.get_xlim()) < 2 * largest


def test_the_trade_off_says_what_its_points_and_bands_are() -> None:
    drawing = draw_whole("tradeoff")
    assert drawing
    assert "4 replicates" in drawing.caption
    assert "95 % t intervals" in drawing.caption
    assert "Clopper-Pearson" in drawing.caption
    assert "proxy" in drawing.caption


def test_an_activation_without_a_bound_is_told() -> None:
    spec = size_spec(activation={"name": ["elu"]})
    drawing = draw("tradeoff", spec, size_results(spec))
    assert drawing
    assert "no such bound" in drawing.caption


def test_the_map_marks_each_sizes_best_width() -> None:
    drawing = draw_whole("size_map")
    assert drawing
    assert len(drawing.figure.axes[0].patches) == len(SIZES)
    assert "n = 4 replicates a cell" in drawing.caption
    assert "Best width ~ N^b with b = " in drawing.caption


def test_each_setting_of_another_axis_has_a_map_of_its_own() -> None:
    spec = size_spec(optimizer={"weight_decay": [0.0, 0.001]})
    drawing = draw("size_map", spec, size_results(spec))
    assert drawing
    assert len(drawing.figure.axes) == 2


# -- mean ranks and budgets ---------------------------------------------------------------------------


def test_the_critical_difference_names_its_test_and_n() -> None:
    drawing = draw_whole("critical_difference")
    assert drawing
    assert "over 4 replicates that every arm has" in drawing.caption
    assert "Nemenyi, 5 %" in drawing.caption
    assert "elu" in words(drawing)


def test_two_arms_have_no_critical_difference() -> None:
    spec = planted_spec("relu", "elu", replicates=3)
    results = by_id(scores("relu", 0.5, 0.6, 0.5), scores("elu", 0.4, 0.5, 0.3))
    assert draw("critical_difference", spec, results) is None


def test_the_budget_says_that_one_search_has_no_band() -> None:
    spec = planted_spec("relu", trials=3)
    results = by_id([finished("relu", "tune", index, 0.3 + 0.1 * index) for index in range(3)])
    drawing = draw("budget", spec, results)
    assert drawing
    assert "the one search by tpe" in drawing.caption
    assert "relu 3" in drawing.caption


def test_random_search_has_a_band() -> None:
    drawing = draw_whole("budget")
    assert drawing
    assert "80 % band" in drawing.caption


def test_an_svg_has_no_text_that_a_reader_would_run() -> None:
    spec = renamed(planted_spec("relu", "elu", replicates=2), HOSTILE)
    drawing = draw("ranking", spec, by_id(scores(HOSTILE, 0.5, 0.4), scores("elu", 0.3, 0.2)))
    assert drawing
    assert b"<script" not in svg(drawing.figure)
