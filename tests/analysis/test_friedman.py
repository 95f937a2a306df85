"""Mean ranks against the published examples."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from study.analysis.friedman import critical_difference, mean_ranks, nemenyi

# Demsar (2006), JMLR 7:1-30, table 6: AUC of C4.5 and three variants on 14 data sets. The paper ranks the
# two 0.975 of the last row but one 2 and 3; what was rounded away is put back as 0.00001.
DEMSAR = pd.DataFrame(
    [
        *((0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967)),
        *((0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931)),
        *((0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875)),
        *((1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669)),
        *((0.972, 0.981, 0.97501, 0.975), (0.957, 0.978, 0.946, 0.970)),
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)
# Its ties: one row of four, three of two. The paper does not correct for them, scipy and R do.
TIES = 1 - (4**3 - 4 + 3 * (2**3 - 2)) / (14 * (4**3 - 4))

# Hollander and Wolfe (1973), p. 140: rounding first base, 22 players by three methods; the example of R's
# friedman.test, which prints chi-squared = 11.143, df = 2, p-value = 0.003805.
ROUNDING = pd.DataFrame(
    [
        *((5.40, 5.50, 5.55), (5.85, 5.70, 5.75), (5.20, 5.60, 5.50), (5.55, 5.50, 5.40)),
        *((5.90, 5.85, 5.70), (5.45, 5.55, 5.60), (5.40, 5.40, 5.35), (5.45, 5.50, 5.35)),
        *((5.25, 5.15, 5.00), (5.85, 5.80, 5.70), (5.25, 5.20, 5.10), (5.65, 5.55, 5.45)),
        *((5.60, 5.35, 5.45), (5.05, 5.00, 4.95), (5.50, 5.50, 5.40), (5.45, 5.55, 5.50)),
        *((5.55, 5.55, 5.35), (5.45, 5.50, 5.55), (5.50, 5.45, 5.25), (5.65, 5.60, 5.40)),
        *((5.70, 5.65, 5.55), (6.30, 6.30, 6.25)),
    ],
    columns=["round out", "narrow angle", "wide angle"],
)


def test_the_mean_ranks_are_the_published_ones() -> None:
    found = mean_ranks(DEMSAR, "maximize")
    assert found is not None
    published = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert dict(found.ranks) == pytest.approx(published, abs=5e-4)
    assert list(found.ranks) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]


def test_friedmans_statistic_is_the_published_one() -> None:
    """9.28 before the correction for ties."""
    found = mean_ranks(DEMSAR, "maximize")
    assert found is not None
    assert found.chi2 is not None
    assert found.chi2 * TIES == pytest.approx(9.28, abs=5e-3)


def test_iman_and_davenports_statistic_is_the_published_one() -> None:
    """3.69 of the uncorrected 9.28, by (n - 1) chi2 / (n (k - 1) - chi2)."""
    found = mean_ranks(DEMSAR, "maximize")
    assert found is not None
    assert found.f is not None
    assert found.chi2 is not None
    uncorrected = found.chi2 * TIES
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=5e-3)
    assert found.f == pytest.approx(13 * found.chi2 / (14 * 3 - found.chi2))


def test_friedmans_test_with_ties_is_that_of_r() -> None:
    found = mean_ranks(ROUNDING, "minimize")
    assert found is not None
    assert found.chi2 == pytest.approx(11.143, abs=5e-4)
    assert found.p == pytest.approx(0.003805, abs=5e-7)


def test_the_critical_difference_is_the_published_one() -> None:
    """Demsar: 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25; no two of the four are told apart."""
    found = mean_ranks(DEMSAR, "maximize")
    assert found is not None
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)


@pytest.mark.parametrize(
    ("k", "q"),
    [
        (2, 1.960),
        (3, 2.343),
        (4, 2.569),
        (5, 2.728),
        (6, 2.850),
        (7, 2.949),
        (8, 3.031),
        (9, 3.102),
        (10, 3.164),
    ],
)
def test_the_critical_values_are_the_published_ones(k: int, q: float) -> None:
    """Demsar's table 5(a), which cuts some of its digits."""
    n = 12
    assert critical_difference(k, n) / math.sqrt(k * (k + 1) / (6 * n)) == pytest.approx(q, abs=1e-3)


@pytest.mark.parametrize(
    ("k", "n", "difference"), [(5, 5, 2.73), (5, 10, 1.93), (5, 20, 1.36), (5, 30, 1.11), (8, 10, 3.32)]
)
def test_few_replicates_have_a_wide_critical_difference(k: int, n: int, difference: float) -> None:
    """From table 5(a) by hand: 2.728 sqrt(30 / (6 n)) for five arms, 3.031 sqrt(72 / (6 n)) for eight."""
    assert critical_difference(k, n) == pytest.approx(difference, abs=5e-3)


def test_nemenyis_p_is_below_5_percent_where_ranks_are_further_apart_than_the_critical_difference() -> None:
    table = pd.DataFrame({"a": range(12), "b": range(1, 13), "c": [5, *range(11)]}, dtype=float)
    found = mean_ranks(table, "minimize")
    assert found is not None
    p = nemenyi(table)
    for first in table.columns:
        for second in table.columns:
            gap = abs(found.ranks[first] - found.ranks[second])
            assert (float(p[first][second]) < 0.05) == (gap > found.critical_difference)


def test_groups_are_the_longest_runs_that_the_difference_joins() -> None:
    """Ranks 1, 2, 3 and a critical difference of about 1.2 over 8 blocks that all agree: neighbours join."""
    table = pd.DataFrame({"a": [3.0] * 8, "b": [2.0] * 8, "c": [1.0] * 8})
    found = mean_ranks(table, "maximize")
    assert found is not None
    assert found.groups == (("a", "b"), ("b", "c"))
    assert (found.f, found.f_p) == (None, 0.0)


def test_ties_everywhere_have_no_statistic() -> None:
    found = mean_ranks(pd.DataFrame({"a": [1.0, 1.0], "b": [1.0, 1.0], "c": [1.0, 1.0]}), "maximize")
    assert found is not None
    assert (found.chi2, found.p, list(found.ranks.values())) == (None, None, [2.0, 2.0, 2.0])


@pytest.mark.parametrize(
    "table", [{"a": [1.0, 2.0], "b": [2.0, 1.0]}, {"a": [1.0], "b": [2.0], "c": [3.0]}, {}]
)
def test_too_few_arms_or_blocks_have_no_mean_ranks(table: dict[str, list[float]]) -> None:
    assert mean_ranks(pd.DataFrame(table), "maximize") is None


def test_incomplete_blocks_are_left_out() -> None:
    found = mean_ranks(DEMSAR.assign(**{"C4.5": [math.nan, *DEMSAR["C4.5"][1:]]}), "maximize")
    assert found is not None
    assert found.n == 13
