"""The statements of the notes, read from notes.toml: what they say, where, and what puts them to the test."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from study.registry import Registry

NOTES = Path(__file__).with_name("notes.toml")


@dataclass(frozen=True)
class Statement:
    """One statement of the notes.

    ``lines`` are its lines, such as ``31`` or ``377-405``; ``quote`` is a piece of its own words.
    ``studies`` are the names of the bundled studies that test it, and ``reason`` says why none and no
    fact does.
    """

    id: str
    lines: str
    statement: str
    quote: str
    studies: tuple[str, ...] = ()
    reason: str = ""

    @property
    def source(self) -> str:
        """``L377-405``."""
        return f"L{self.lines}"


@cache
def statements() -> Registry[Statement]:
    """Every statement by its id, in the order of the file."""
    table = tomllib.loads(NOTES.read_text(encoding="utf-8"))
    return Registry("statement", **{key: _statement(key, entry) for key, entry in table.items()})


def _statement(key: str, entry: dict[str, object]) -> Statement:
    known = {"lines", "statement", "quote", "studies", "reason"}
    assert entry.keys() <= known, f"{key}: {entry.keys() - known}"
    words = {name: str(entry.get(name, "")) for name in known - {"studies"}}
    studies = entry.get("studies", [])
    assert isinstance(studies, list)
    return Statement(id=key, studies=tuple(map(str, studies)), **words)
