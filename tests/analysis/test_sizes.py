"""The grid of sizes and widths: cells, best widths, scored measures, and the trade-off's numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study.analysis import vc
from study.analysis.figures.drawing import LIGHT
from study.analysis.figures.learning import draw_learning_curves
from study.analysis.figures.measures import draw_measures
from study.analysis.figures.size_map import draw_size_map
from study.analysis.figures.tradeoff import draw_tradeoff
from study.analysis.frames import trials
from study.analysis.generalization import MEASURES, measured, random_label_capacity, score, scores
from study.analysis.learning_curves import resamples
from study.analysis.ranking import ranking
from study.analysis.sizes import Task, grid, groups, means, networks, ridge, table
from study.analysis.tradeoff import TARGET_GAP, tradeoff
from study.components.datasets.noise import mislabelled
from study.trial import TrialResult, Verdict
from tests.analysis.planted import SIZES, WIDTHS, planted_spec, simulated, size_results, size_spec

SPEC = size_spec()
WHOLE = size_results(SPEC)
CELLS = grid(SPEC, WHOLE)
DRAWS = resamples(4, seed=0, count=200)
NETWORKS = networks(SPEC, list(WIDTHS), Task(10, (32, 32, 3), 10_000))


def lost(results: dict[str, TrialResult], trial: str) -> dict[str, TrialResult]:
    """The results, with one trial diverged."""
    return {**results, trial: replace(results[trial], verdict=Verdict("diverged", "dead"), metrics={})}


# -- cells


def test_each_replicate_is_a_row() -> None:
    assert len(CELLS) == len(SIZES) * len(WIDTHS) * 4
    assert groups(CELLS) == ("",)
    assert CELLS["gap"].tolist() == pytest.approx((CELLS["test_error"] - CELLS["train_error"]).tolist())


def test_a_study_of_something_else_has_no_cell() -> None:
    spec = planted_spec("relu", "elu", replicates=2)
    assert grid(spec, simulated(spec, {"relu": 0.4, "elu": 0.5})).empty


def test_a_replicate_that_diverged_counts_as_chance_and_has_no_gap() -> None:
    cells = grid(SPEC, lost(WHOLE, "n250+width0.0625/confirm/1"))
    (row,) = cells[cells["penalised"]].to_dict("records")
    assert (row["size"], row["width"], row["test_error"]) == (250, 0.0625, 0.9)
    assert math.isnan(row["gap"])


def test_other_scientific_settings_make_groups() -> None:
    spec = size_spec(optimizer={"weight_decay": [0.0, 0.001]})
    assert len(groups(grid(spec, size_results(spec)))) == 2


def test_a_table_has_sizes_down_and_blocks_across() -> None:
    one = table(CELLS[CELLS["width"] == 0.125])
    assert one.shape == (len(SIZES), 4)
    assert one.index.tolist() == list(SIZES)


# -- best widths


def test_the_best_width_grows_where_it_was_planted_to() -> None:
    found = ridge(CELLS, DRAWS)
    assert found is not None
    best = [each.width for each in found.best]
    assert best == sorted(best)
    assert best[-1] > best[0]
    assert found.slope.low is not None
    assert found.slope.low > 0
    assert best == means(CELLS).idxmin(axis="columns").tolist()


def test_where_one_width_is_always_best_the_slope_is_zero_and_lies_at_the_edge() -> None:
    same = CELLS.assign(test_error=CELLS["test_error"] + 10 * CELLS["width"])
    found = ridge(same, DRAWS)
    assert found is not None
    assert (found.slope.value, found.slope.low, found.slope.high) == pytest.approx((0, 0, 0))
    assert found.at_edge == len(SIZES)


def test_a_single_block_has_no_interval() -> None:
    found = ridge(CELLS[CELLS["block"] == 0], DRAWS)
    assert found is not None
    assert found.slope.low is None
    assert all(each.interval.low is None for each in found.best)


def test_a_grid_with_a_hole_has_no_ridge() -> None:
    assert ridge(CELLS[(CELLS["size"] > 250) | (CELLS["width"] > 0.1)], DRAWS) is None


# -- the trade-off


def test_the_gap_needs_as_many_examples_as_it_was_planted_to() -> None:
    found = tradeoff(SPEC, WHOLE)
    assert found is not None
    for line in found.lines:
        start = 0.4 * (line.width / 0.0625) ** 0.3
        exact = 250 * (start / TARGET_GAP) ** (1 / 0.6)
        assert line.needed_by_data.value == pytest.approx(exact, rel=0.25)


def test_the_bound_needs_843_times_its_dimension() -> None:
    found = tradeoff(SPEC, WHOLE)
    assert found is not None
    for line in found.lines:
        upper = vc.network_upper_bound(vc.all_cnn_c_layers(line.width), "relu", 10)
        assert upper is not None
        assert line.needed_by_bound == pytest.approx(843 * upper, rel=1e-3)


def test_the_certificate_is_that_of_the_best_cell() -> None:
    found = tradeoff(SPEC, WHOLE)
    assert found is not None
    best = means(CELLS).to_numpy().min()
    assert found.certificate.value == pytest.approx(best, abs=1e-4)
    assert (found.chance, found.test_examples, found.blocks) == pytest.approx((0.9, 10_000, 4))


def test_a_grid_with_a_hole_is_drawn_with_one() -> None:
    """The worst cell's, so that the best one stays what it is."""
    holed = {name: each for name, each in WHOLE.items() if not name.startswith("n250+width0.0625/")}
    assert len(holed) < len(WHOLE)
    found = tradeoff(SPEC, holed)
    assert found is not None
    assert found.certificate.value == pytest.approx(means(CELLS).to_numpy().min(), abs=1e-4)
    for draw in (draw_size_map, draw_tradeoff, draw_learning_curves):
        assert draw(SPEC, holed, ranking(SPEC, holed), LIGHT) is not None


def noted(**facts: object) -> dict[str, TrialResult]:
    """The results, each saying what data it was given."""
    return {name: replace(each, environment={**each.environment, **facts}) for name, each in WHOLE.items()}


def test_chance_and_certificate_are_those_of_the_data_that_the_trials_were_given() -> None:
    found = tradeoff(SPEC, noted(classes=2, input_shape=[32, 32, 3], test_examples=2000))
    assert found is not None
    assert (found.chance, found.classes, found.test_examples) == (0.5, 2, 2000)
    assert found.lines[0].network is not None
    whole = tradeoff(SPEC, WHOLE)
    assert whole is not None
    widths = [each.certificate.high - each.certificate.low for each in (found, whole)]  # type: ignore[operator]
    assert widths[0] > 2 * widths[1]


def test_data_of_ones_own_are_drawn() -> None:
    spec = planted_spec(
        replicates=4,
        objective="val_error",
        scientific={"dataset": {"train_size": list(SIZES)}, "model": {"width": list(WIDTHS)}},
        nuisance={},
        fixed={"dataset": {"name": "npz_classification", "path": "mine.npz"}, "model": {"name": "mlp"}},
    )
    results = noted(classes=3, input_shape=[8, 8, 1], test_examples=500)
    found = tradeoff(spec, results)
    assert found is not None
    assert found.chance == pytest.approx(2 / 3)
    for draw in (draw_size_map, draw_tradeoff, draw_learning_curves, draw_measures):
        assert draw(spec, results, ranking(spec, results), LIGHT) is not None
    assert tradeoff(spec, WHOLE) is None, "an older record does not say what they were"


def test_without_replicates_there_is_no_trade_off() -> None:
    assert tradeoff(SPEC, {}) is None


# -- complexity measures


def test_a_measure_that_is_the_gap_scores_one_and_its_opposite_minus_one() -> None:
    found = measured(CELLS, WHOLE, NETWORKS)
    assert score(found, "sharpness", DRAWS).granulated == pytest.approx(1.0)
    found["sharpness"] = -found["sharpness"]
    assert score(found, "sharpness", DRAWS).tau.value == pytest.approx(-1.0)


def test_the_score_is_kendalls_tau_over_the_cells() -> None:
    found = measured(CELLS, WHOLE, NETWORKS)
    cells = found.groupby(["size", "width"])[["parameters", "gap"]].mean()
    expected = stats.kendalltau(cells["parameters"], cells["gap"]).statistic
    one = score(found, "parameters", DRAWS)
    assert one.tau.value == pytest.approx(expected)
    assert one.n == len(SIZES) * len(WIDTHS)


def test_a_measure_that_sees_one_axis_has_half_of_the_granulated_score() -> None:
    one = score(measured(CELLS, WHOLE, NETWORKS), "parameters", DRAWS)
    assert one.along["size"] == 0.0
    assert one.granulated == pytest.approx(0.5)
    assert one.along["width"] == pytest.approx(1.0)


def test_what_was_not_measured_is_left_out() -> None:
    bare = {name: replace(each, environment={}) for name, each in WHOLE.items()}
    names = {each.measure for each in scores(measured(CELLS, bare, NETWORKS), DRAWS)}
    assert names == {"parameters", "parameters / N", "VC upper bound / N", "1 / N"}


def test_all_measures_are_scored_where_all_were_measured() -> None:
    assert {each.measure for each in scores(measured(CELLS, WHOLE, NETWORKS), DRAWS)} == set(MEASURES)


def test_a_width_memorises_the_largest_set_that_it_fits() -> None:
    rows = [
        (0.9, "ok", size, width, accuracy)
        for width, fitted in ((0.1, (1.0, 0.55, 0.1)), (0.2, (1.0, 0.995, 0.3)))
        for size, accuracy in zip((100, 200, 400), fitted, strict=True)
    ]
    rows.append((0.0, "ok", 400, 0.2, 1.0))  # true labels
    rows.append((0.9, "diverged", 400, 0.2, 1.0))
    names = ["dataset.label_noise", "status", "dataset.train_size", "model.width", "train_eval_accuracy"]
    narrow, wide = random_label_capacity(pd.DataFrame(rows, columns=names), classes=10)
    assert (narrow.memorised, wide.memorised) == (100, 200)
    assert narrow.advantage == pytest.approx({100: 1.0, 200: 0.5, 400: 0.0})


def test_for_two_classes_the_advantage_is_the_rademacher_estimate() -> None:
    rows = [(0.5, "ok", 100, 0.1, 0.8)]
    names = ["dataset.label_noise", "status", "dataset.train_size", "model.width", "train_eval_accuracy"]
    (found,) = random_label_capacity(pd.DataFrame(rows, columns=names), classes=2)
    assert found.advantage[100] == pytest.approx(1 - 2 * 0.2)


def test_labels_of_which_nine_tenths_are_wrong_are_random_ones() -> None:
    labels = np.repeat(np.arange(10), 5000)
    drawn = mislabelled(labels, 10, 0.9, seed=0)
    table = np.histogram2d(labels, drawn, bins=10)[0]
    assert stats.chi2_contingency(table).pvalue > 0.01


def test_trials_show_what_was_measured_of_them() -> None:
    assert trials(WHOLE)["complexity.sharpness"].notna().all()
