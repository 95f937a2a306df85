"""Errors: one line for the user, whatever the value was."""

from __future__ import annotations

import datetime as dt

import pytest

from study import errors
from study.errors import StudyError, StudyFileError, one_line, shorten


def test_a_study_file_error_names_place_rule_value_and_way_out() -> None:
    error = StudyFileError("mine.toml: fixed.model.width", "must be above 0", 0, "e.g. 0.5")
    assert str(error) == "mine.toml: fixed.model.width: must be above 0, not 0; e.g. 0.5"


def test_a_study_file_error_without_a_value_has_no_value() -> None:
    assert str(StudyFileError("mine.toml: question", "is missing")) == "mine.toml: question: is missing"


def test_a_long_place_is_cut() -> None:
    assert len(str(StudyFileError("k" * 100_000, "unknown key"))) < 400


def test_a_line_has_no_line_ends_and_no_escapes() -> None:
    assert one_line("one\ntwo\tthree\x1b[31m\u202e four\x00") == "one two three [31m four"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (0.1, "0.1"),
        ("relu", "'relu'"),
        (["relu", True], "['relu', true]"),
        ({"low": 1, "log": True}, "{ low = 1, log = true }"),
        (dt.date(2024, 1, 31), "2024-01-31"),
        (dt.time(12, 30), "12:30:00"),
        (10**400, "a number of about 401 digits"),
        (16**5000, "a number of about 6,021 digits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_shown_as_a_study_file_has_it(value: object, text: str) -> None:
    assert shorten(value) == text


def test_a_long_value_is_cut() -> None:
    assert shorten("x" * 1000).endswith("...")
    assert len(shorten(list(range(1000)), limit=50)) == 50


def test_a_value_of_endless_depth_is_cut() -> None:
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    assert shorten(deep) == "[[[...]]]"


def test_every_error_is_drawn_in_the_docstring() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(kinds) > 5
    for kind in kinds:
        assert f"{kind.__name__} " in (errors.__doc__ or "")


def test_ends_that_are_no_mistakes_are_no_study_errors() -> None:
    assert not issubclass(errors.StudyUnfinished, StudyError)
    assert not issubclass(errors.StudyInterrupted, StudyError)
