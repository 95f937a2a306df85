"""Which way a metric is better, and which test metric belongs to an objective."""

from __future__ import annotations

import pytest

from study.analysis.outcomes import MAXIMIZED, quantity
from study.analysis.outcomes import test_metric as metric_on_test
from study.components.metrics import METRICS, full_names, metric
from tests.good_study import spec_of


def test_the_maximized_metrics_are_those_of_the_table() -> None:
    assert set(MAXIMIZED) == {name for name, each in METRICS.items() if each.direction == "maximize"}


@pytest.mark.parametrize("name", full_names())
def test_a_quantity_is_the_metric_without_its_split(name: str) -> None:
    assert quantity(name) == metric(name)[1].name


@pytest.mark.parametrize(
    ("objective", "expected"),
    [("val_accuracy", "test_accuracy"), ("val_clean_rmse", "test_clean_rmse"), ("val_rmse", "test_rmse")],
)
def test_an_objective_s_test_metric_is_of_the_same_targets(objective: str, expected: str) -> None:
    assert metric_on_test(spec_of(overrides_of(objective))) == expected


def overrides_of(objective: str) -> str:
    from tests.good_study import changed

    return changed(('"val_accuracy"', f'"{objective}"'))
