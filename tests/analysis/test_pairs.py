"""Every pair of arms at once: the same numbers as one by one, and ranks that join what is alike."""

from __future__ import annotations

import math
import random

import pandas as pd
import pytest

from study.analysis.intervals import false_discovery, holm, paired_test
from study.analysis.outcomes import Replicate
from study.analysis.pairs import joined_ranks, pair_table, pair_tests, scores


def drawn(seed: int, arms: int, blocks: int) -> pd.DataFrame:
    """Scores on a coarse grid, so that there are ties, with some missing."""
    draw = random.Random(seed)

    def score(arm: int) -> float:
        return math.nan if draw.random() < 0.1 else round(draw.gauss(0.5 + 0.02 * arm, 0.05), 2)

    rows = [[score(arm) for arm in range(arms)] for _ in range(blocks)]
    return pd.DataFrame(rows, columns=[f"arm{arm}" for arm in range(arms)])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("better", ["maximize", "minimize"])
def test_all_pairs_at_once_are_what_each_is_alone(seed: int, better: str) -> None:
    table = drawn(seed, 5, 6)
    found = pair_tests(table, "maximize" if better == "maximize" else "minimize")
    sign = 1 if better == "maximize" else -1
    columns: dict[str, dict[int, float]] = {
        str(arm): {block: each for block, each in enumerate(sign * column) if not math.isnan(each)}
        for arm, column in table.items()
    }
    alone = [
        paired_test(columns[first], columns[second])
        for first, second in zip(found["first"], found["second"], strict=True)
    ]
    assert found["n"].tolist() == [test.interval.n for test in alone]
    assert found["difference"].tolist() == pytest.approx([test.interval.mean for test in alone])
    assert found["p"].tolist() == pytest.approx([test.p for test in alone])
    assert found["p_holm"].tolist() == pytest.approx(list(holm([test.p for test in alone])))
    assert found["p_bh"].tolist() == pytest.approx(list(false_discovery([test.p for test in alone])))


def test_equal_differences_are_judged_by_their_signs() -> None:
    """2 / 2**4; and no difference at all proves nothing."""
    table = pd.DataFrame({"a": [0.5, 0.6, 0.7, 0.8], "b": [0.4, 0.5, 0.6, 0.7], "c": [0.4, 0.5, 0.6, 0.7]})
    assert pair_tests(table, "maximize")["p"].tolist() == [0.125, 0.125, 1.0]


@pytest.mark.parametrize("arms", [0, 1])
def test_without_a_pair_there_is_no_row(arms: int) -> None:
    assert pair_tests(drawn(0, arms, 4), "maximize").empty


def test_one_common_block_has_a_difference_and_no_p() -> None:
    row = pair_tests(pd.DataFrame({"a": [0.5, math.nan], "b": [0.4, 0.4]}), "maximize").iloc[0]
    assert row["difference"] == pytest.approx(0.1)
    assert math.isnan(row["p"])


def test_hundreds_of_arms_are_compared_at_once() -> None:
    assert len(pair_tests(drawn(1, 300, 3), "maximize")) == 44_850


def apart(*pairs: tuple[str, str]) -> pd.DataFrame:
    """Tests of the arms a to d, of which ``pairs`` can be told apart."""
    every = [(a, b) for a in "abcd" for b in "abcd" if a < b]
    return pd.DataFrame(
        {
            "first": [a for a, _ in every],
            "second": [b for _, b in every],
            "p_holm": [0.01 if pair in pairs else 0.2 for pair in every],
        }
    )


@pytest.mark.parametrize(
    ("pairs", "ranks"),
    [
        ((), [1, 1, 1, 1]),
        ((("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")), [1, 2, 3, 4]),
        ((("a", "d"),), [1, 1, 1, 4]),
        ((("a", "c"), ("a", "d")), [1, 1, 3, 3]),
        # b and d are apart, but d is not told from a, the first of the group.
        ((("b", "d"),), [1, 1, 1, 1]),
    ],
)
def test_a_group_ends_where_an_arm_is_worse_than_its_first(
    pairs: tuple[tuple[str, str], ...], ranks: list[int]
) -> None:
    assert list(joined_ranks("abcd", apart(*pairs)).values()) == ranks


def test_scores_have_a_row_a_seed_block() -> None:
    found = scores(
        {
            "a": [Replicate(0, "ok", 0.5, False), Replicate(2, "diverged", 0.1, True)],
            "b": [Replicate(1, "ok", 0.4, False)],
        }
    )
    assert found.index.tolist() == [0, 1, 2]
    assert found["a"].dropna().to_dict() == {0: 0.5, 2: 0.1}


def test_the_table_of_pairs_has_every_opinion() -> None:
    found = {
        arm: [Replicate(block, "ok", level + shift, False) for block, shift in enumerate(shifts)]
        for arm, level, shifts in (
            ("a", 0.6, (0.0, 0.01, 0.02, -0.01, 0.0, 0.01)),
            ("b", 0.5, (0.01, 0.0, 0.01, -0.02, 0.01, 0.0)),
        )
    }
    row = pair_table(found, "maximize", 0.01).iloc[0]
    assert (row["first"], row["second"], row["n"], row["interval"]) == ("a", "b", 6, "t")
    assert row["low"] < row["difference"] < row["high"]
    assert row["other_low"] < row["difference"] < row["other_high"]
    assert (row["p_first"], row["p_sign_flips"]) == (1.0, 2 / 2**6)
    assert row["bayes_first"] > 0.99
    assert row["bayes_first"] + row["bayes_equal"] + row["bayes_second"] == pytest.approx(1)
