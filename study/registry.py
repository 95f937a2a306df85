"""A dict that answers a typo with the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Generic, TypeVar, cast

from study.errors import UnknownName, shorten
from study.installed import loaded, offered

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
    """A table of named entries. ``Registry("activation", relu=...)["rellu"]`` says what is near.

    Its own entries are what it is iterated over. What installed packages offer (study.installed) is in it
    too: asked for by name, and listed by ``names()``.
    """

    def __init__(self, noun: str, **entries: Entry) -> None:
        super().__init__(entries)
        self.noun = noun
        self._loaded: dict[str, Entry] = {}

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in offered(self.noun)

    def __missing__(self, name: str) -> Entry:
        if name not in self._loaded:
            if name not in offered(self.noun):
                raise UnknownName(f"unknown {self.noun} {shorten(name)}; {nearest(name, self.names())}")
            kind = type(next(iter(self.values())))
            self._loaded[name] = cast(Entry, loaded(self.noun, name, kind))
        return self._loaded[name]

    def names(self) -> list[str]:
        """All that can be asked for: its own entries, then what installed packages offer."""
        return [*self, *(name for name in offered(self.noun) if name not in self.keys())]

    def origin(self, name: str) -> str | None:
        """The package and version that offers ``name``; None where it is an entry of its own or unknown."""
        several = () if name in self.keys() else offered(self.noun).get(name, ())
        return " and ".join(f"{each.package} {each.version}" for each in several) or None
