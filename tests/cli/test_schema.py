"""`study schema`: what editors check study files with."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from study import studyfile
from tests.cli.conftest import Command
from tests.good_study import GOOD


@pytest.fixture
def validator(study: Command) -> Draft202012Validator:
    schema = json.loads(study("schema").out)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", studyfile.bundled_names())
def test_bundled_studies_are_valid(name: str, validator: Draft202012Validator) -> None:
    table = studyfile.read(studyfile.find(name))
    assert [error.message for error in validator.iter_errors(table)] == []


def test_a_good_study_is_valid(validator: Draft202012Validator) -> None:
    validator.validate(studyfile.parse(GOOD, "mine.toml"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("qestion",), "?"),
        (("question",), 3),
        (("objective", "direction"), "up"),
        (("search", "sampler"), "tpee"),
        (("search", "trials"), 3),
        (("nuisance", "optimizer", "lr"), {"low": 1e-4}),
        (("nuisance", "optimizer", "lr"), {"low": "1e-4", "high": 1.0}),
        (("nuisance", "optimizer", "lr"), 0.1),
        (("fixed", "model", "width"), [0.1, 0.2]),
        (("scientific", "activation", "name"), "relu"),
        (("scientific", "exclude"), "relu"),
        (("claims",), {}),
        (("name",), "mine"),
    ],
    ids=str,
)
def test_a_bad_study_is_not_valid(path: tuple[str, ...], value: Any, validator: Draft202012Validator) -> None:
    table = copy.deepcopy(studyfile.parse(GOOD, "mine.toml"))
    at = table
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert not validator.is_valid(table)


@pytest.mark.parametrize("missing", ["question", "objective"])
def test_what_must_be_there_must_be_there(missing: str, validator: Draft202012Validator) -> None:
    table = studyfile.parse(GOOD, "mine.toml")
    del table[missing]
    assert not validator.is_valid(table)


def test_the_schema_is_written_where_one_says(study: Command, folder: Path) -> None:
    said = study("schema", "--to", "study.schema.json")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert json.loads((folder / "study.schema.json").read_text()) == json.loads(study("schema").out)
