"""The reference pages say what the code says."""

from __future__ import annotations

import json

import pytest

from study.cli import COMMANDS
from study.cli.studies import schema_text
from tests.docs.reference import FOLDER, MEANINGS, PLACES, pages


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages()


@pytest.mark.parametrize("name", ["study-file", "components", "thresholds", "command-line", "python"])
def test_a_page_is_what_the_code_says_now(written: dict[str, str], name: str) -> None:
    there = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert there == written[f"{name}.md"], "make docs writes it anew"


def test_every_command_has_a_section(written: dict[str, str]) -> None:
    assert all(f"\n## study {name}\n" in written["command-line.md"] for name in COMMANDS)


def test_every_key_of_a_study_file_has_its_meaning_and_no_other() -> None:
    schema = json.loads(schema_text())
    parts = {"": schema, **{name: schema["$defs"][name] for name in PLACES}}
    keys = {(name, key) for name, part in parts.items() for key in part["properties"]}
    assert keys == set(MEANINGS)
    assert set(schema["$defs"]) == set(PLACES)
