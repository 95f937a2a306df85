"""`study facts`: the table, the working, the ledger."""

from __future__ import annotations

import json

import pytest

from study.studyfile import bundled_names
from tests.cli.conftest import Command, assert_one_line


def test_a_statement_is_shown_with_its_working(study: Command) -> None:
    said = study("facts", "C57")
    assert said.code == 0
    assert said.out.startswith("C57  L618  The quantile loss with gamma = 0.25 punishes overestimates more")
    assert "过高估计更多的惩罚" in said.out
    assert (
        "  said    holds  loss of an overestimate by 1, over that of an underestimate: 3  (≥ 1)" in said.out
    )
    assert "  TRUE: 0.75 over and 0.25 under" in said.out


def test_json_has_verdict_correction_and_numbers(study: Command) -> None:
    document = json.loads(study("facts", "C55", "--json").out)
    (fact,) = document["facts"]
    assert (fact["id"], fact["source"], fact["verdict"]) == ("C55", "L583-589", "true with a correction")
    assert "log1p" in fact["correction"]
    overflow = fact["parts"][2]
    assert overflow["found"] == "inf"
    assert (overflow["said"], overflow["holds"]) == (True, False)
    assert document["counts"]["true with a correction"] == 1
    assert document["packages"]["torch"]


@pytest.mark.slow
def test_all_of_them_make_a_table_that_counts_them(study: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = study("facts").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "62 statements: 30 true, 23 true with a correction, 6 false, 3 not testable"


def test_the_ledger_tells_what_answers_each_statement(study: Command) -> None:
    ledger = {each["id"]: each for each in json.loads(study("facts", "--ledger", "--json").out)}
    assert len(ledger) == 93
    assert ledger["C57"]["fact"]
    assert ledger["C34"]["studies"] == ["cifar10-acts"]
    assert ledger["C34"]["open"] is None
    assert "habits" in ledger["C89"]["open"]
    named = {study for each in ledger.values() for study in each["studies"]}
    assert named <= set(bundled_names())


def test_the_ledger_is_readable(study: Command) -> None:
    said = study("facts", "--ledger", "C34")
    assert "cifar10-acts" in said.out
    assert said.out.splitlines()[-1] == "1 statement: 1 answered, 0 by nothing"


def test_an_unknown_statement_is_refused_with_the_nearest(study: Command) -> None:
    assert_one_line(study("facts", "C571"), "unknown statement 'C571'", "C57?")
    assert_one_line(study("facts", "--ledger", "C571"), "unknown statement 'C571'")


def test_what_takes_trainings_points_to_its_study(study: Command) -> None:
    assert_one_line(study("facts", "C41", "C34"), "C34 takes trainings", "study show cifar10-acts")
