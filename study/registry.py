"""A dict that answers a typo with the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Generic, TypeVar

from study.errors import UnknownName, shorten

# As many names as a hint lists.
MAX_NAMES = 20


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known ones, or the first of them where none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"known: {', '.join(names[:MAX_NAMES])}{more}"


Entry = TypeVar("Entry")


class Registry(dict[str, Entry], Generic[Entry]):
    """A table of named entries. ``Registry("activation", relu=...)["rellu"]`` says what is near."""

    def __init__(self, noun: str, **entries: Entry) -> None:
        super().__init__(entries)
        self.noun = noun

    def __missing__(self, name: str) -> Entry:
        raise UnknownName(f"unknown {self.noun} {shorten(name)}; {nearest(name, self)}")
