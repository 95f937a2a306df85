"""The speed table's arithmetic and looks; nothing here is timed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks.speed.__main__ import ROWS
from tests.benchmarks.speed.lines import Bound, Line, Sign, Spread, alternating, quantile, ratio
from tests.benchmarks.speed.p01_wall import turns
from tests.benchmarks.speed.p07_idle import idle_s
from tests.benchmarks.speed.p10_stopping import tau
from tests.benchmarks.speed.p11_slots import busy
from tests.benchmarks.speed.peers.workload import Trained, best
from tests.benchmarks.speed.table import Row, document, number, rendered

ROOT = Path(__file__).resolve().parent.parent


def test_a_number_is_the_median_of_the_rounds_with_their_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0, 4)


def test_ratios_are_taken_round_by_round() -> None:
    assert ratio([2.0, 40.0, 9.0], [1.0, 10.0, 3.0]) == Spread(3.0, 2.0, 4.0, 3)


@pytest.mark.parametrize(
    ("sign", "found", "holds"),
    [("<=", 2.0, True), ("<=", 2.01, False), (">=", 2.0, True), (">=", 1.99, False), ("<", 2.0, False)],
)
def test_a_bound_is_kept_or_missed(sign: Sign, found: float, holds: bool) -> None:
    assert Line("", Spread.of([found]), bound=Bound(sign, 2.0)).reached is holds


@pytest.mark.parametrize(("share", "value"), [(0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_quantile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert quantile([float(each) for each in range(100, 0, -1)], share) == value


def test_contestants_take_turns_at_who_is_first() -> None:
    order: list[str] = []

    def contestant(name: str, number: int) -> float:
        order.append(name)
        return float(number)

    found = alternating({name: partial(contestant, name) for name in ("a", "b", "c")}, 3)
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert found == {name: [0.0, 1.0, 2.0] for name in ("a", "b", "c")}


def a_row(found: float) -> Row:
    line = Line("start", Spread(found, 1.0, 3.0, 3), " s", Bound("<=", 2.0), "Ray's own", "cold")
    return Row("P2", "start and stop", [line, Line("beside", Spread.of([0.25]), "x")], 7.2)


def test_a_row_names_its_target_and_that_it_was_reached() -> None:
    head, line, note, beside = rendered(a_row(1.5)).splitlines()
    assert head == "P2  start and stop  [7 s]"
    assert line.split() == ["start", "1.5", "s", "(1", "to", "3,", "n", "=", "3)", "<=", "2", "s", "reached"]
    assert note.strip() == "cold"
    assert beside.split() == ["beside", "0.25x", "(n", "=", "1)"]


def test_a_missed_target_says_what_stands_in_the_way() -> None:
    assert "LIMIT" in rendered(a_row(2.5))
    assert "limit: Ray's own" in rendered(a_row(2.5))
    assert "limit" not in rendered(a_row(1.5))


def test_a_row_that_could_not_be_measured_says_why() -> None:
    row = Row("P1", "wall time", [], 0.1, "cifar10 is not there; fetch it")
    assert rendered(row).splitlines()[1].strip() == "not measured: cifar10 is not there; fetch it"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (0.12345, "0.123"), (2.0, "2"), (99.96, "100"), (15.04, "15")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_what_is_kept_is_strict_json_with_machine_versions_and_date() -> None:
    kept = json.loads(json.dumps(document([a_row(float("inf"))], "tiny"), allow_nan=False))
    assert kept["environment"]["packages"]["ray"]
    assert kept["environment"]["cpu"]
    assert kept["date"].endswith("UTC")
    (line, beside) = kept["rows"][0]["lines"]
    assert line["found"]["median"] is None
    assert (line["reached"], beside["reached"]) == (False, None)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_has_a_module_that_says_what_it_measures(name: str) -> None:
    module = importlib.import_module(f"tests.benchmarks.speed.{ROWS[name][0]}")
    assert (module.__doc__ or "").startswith(f"{name}: ")
    assert callable(module.measure)


def test_idle_is_between_two_trials_of_one_process() -> None:
    spans = [(1, 0.0, 1.0), (2, 0.0, 2.0), (1, 1.5, 3.0), (2, 2.25, 4.0), (1, 3.0, 5.0)]
    seen = [{"process": process, "began": began, "ended": ended} for process, began, ended in spans]
    assert sorted(idle_s(seen)) == [0.0, 0.25, 0.5]


def test_turns_are_those_of_a_slot_after_its_first() -> None:
    times = [(0.0, 10.0, None), (0.5, 11.0, None), (10.1, 20.0, None), (11.2, 22.0, None), (22.0, 30.0, 0.5)]
    trained = [Trained(0.1, 0.5, began, ended, test) for began, ended, test in times]
    assert turns(trained) == [10.0, 11.0]
    assert turns(trained[:2]) == []


def test_slots_are_judged_until_the_last_trial_begins() -> None:
    trained = [Trained(0.1, 0.5, began, ended) for began, ended in ((0, 4), (0, 5), (5, 9), (6, 20))]
    assert busy(trained, 2) == pytest.approx((4 + 5 + 1) / 12)


def test_tau_counts_pairs_in_order_against_pairs_out_of_it() -> None:
    order = ["c", "a", "b"]
    assert tau([("a", "b")], order) == 1
    assert tau([("a", "b"), ("b", "c")], order) == 0


def test_the_best_rate_is_that_of_the_best_accuracy() -> None:
    assert best([Trained(0.1, 0.5, 0, 1), Trained(0.2, 0.7, 0, 1), Trained(0.3, 0.6, 0, 1)]) == 0.2


def test_a_row_can_be_run_alone_and_is_kept(tmp_path: Path) -> None:
    words = ["-m", "tests.benchmarks.speed", "--tiny", "--only", "P8", "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("P8  a training step of ALL-CNN-C")
    (path,) = tmp_path.glob("tiny-*.json")
    (row,) = json.loads(path.read_text())["rows"]
    assert row["row"] == "P8"
    assert all(line["found"]["median"] > 0 for line in row["lines"])
