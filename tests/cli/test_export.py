"""`study export`: tables for other programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from study.analysis.exports import TABLES, for_spreadsheets, tables
from study.analysis.findings import read_findings
from tests.analysis.planted import by_id, claim, planted_record, planted_spec, scores, simulated
from tests.cli.conftest import Command

LEVELS = {"relu": 0.35, "elu": 0.47, "tanh": 0.30}


@pytest.fixture
def record(folder: Path) -> Path:
    spec = planted_spec(*LEVELS, trials=4, replicates=5, claims=[claim("elu", "relu", "tanh")])
    return planted_record(folder / "runs", spec, simulated(spec, LEVELS)).folder


def test_every_table_is_written_as_csv_and_parquet(study: Command, folder: Path, record: Path) -> None:
    said = study("export", "planted", "--out", "runs", "--csv", "a", "--parquet", "b", "--json")
    assert said.code == 0
    files = json.loads(said.out)["files"]
    assert files == [
        str(Path(place) / f"{name}.{kind}")
        for name in TABLES
        for place, kind in (("a", "csv"), ("b", "parquet"))
    ]
    assert all((folder / file).is_file() for file in files)
    assert not list(folder.rglob("*.partial"))


def test_what_is_read_back_is_what_was_measured(study: Command, folder: Path, record: Path) -> None:
    study("export", "planted", "--out", "runs", "--parquet", "b")
    ranking = pd.read_parquet(folder / "b" / "ranking.parquet")
    assert ranking["arm"].tolist() == ["elu", "relu", "tanh"]
    scores = pd.read_parquet(folder / "b" / "scores.parquet")
    assert scores["elu"].mean() == pytest.approx(ranking["mean"][0])
    assert len(pd.read_parquet(folder / "b" / "trials.parquet")) == 3 * (4 + 5)


def test_links_and_pairs_have_a_row_each(study: Command, folder: Path, record: Path) -> None:
    study("export", "planted", "--out", "runs", "--csv", "a")
    with (folder / "a" / "links.csv").open(encoding="utf-8") as file:
        assert [(row["better"], row["worse"]) for row in csv.DictReader(file)] == [
            ("elu", "relu"),
            ("relu", "tanh"),
        ]
    with (folder / "a" / "pairs.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_without_a_place_it_says_what_to_give(study: Command, record: Path) -> None:
    said = study("export", "planted", "--out", "runs")
    assert (said.code, said.out) == (2, "")
    assert "--csv DIR" in said.err


def test_a_place_that_cannot_be_written_is_one_line(study: Command, folder: Path, record: Path) -> None:
    (folder / "in-the-way").write_text("")
    said = study("export", "planted", "--out", "runs", "--csv", "in-the-way/a")
    assert said.code == 2
    assert "the tables cannot be written" in said.err


@pytest.mark.parametrize("results", [{}, by_id(scores("relu", None)), by_id(scores("relu", 0.5, None))])
def test_a_study_with_little_in_it_has_every_table(tmp_path: Path, results: dict[str, object]) -> None:
    spec = planted_spec("relu", "elu", replicates=2, claims=[claim("relu", "elu")])
    found = tables(read_findings(planted_record(tmp_path, spec, results)))  # type: ignore[arg-type]
    assert list(found) == list(TABLES)
    for name, table in found.items():
        table.to_parquet(tmp_path / f"{name}.parquet")


@pytest.mark.parametrize("table", ["claims", "links"])
def test_a_table_without_rows_has_the_header_of_one_with_rows(tmp_path: Path, table: str) -> None:
    headers = []
    for folder, claims in (("with", [claim("elu", "relu", "tanh")]), ("without", [])):
        spec = planted_spec(*LEVELS, trials=4, replicates=5, claims=claims)
        record = planted_record(tmp_path / folder, spec, simulated(spec, LEVELS))
        headers.append(TABLES[table](read_findings(record)).columns.tolist())
    assert headers[0] == headers[1]


def test_text_that_a_spreadsheet_would_run_is_quoted() -> None:
    table = for_spreadsheets(pd.DataFrame({"=a": ["=1+1", "b"], "n": [-1.0, 2.0]}))
    assert table.columns.tolist() == ["'=a", "n"]
    assert table["'=a"].tolist() == ["'=1+1", "b"]
    assert table["n"].tolist() == [-1.0, 2.0]
