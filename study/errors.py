"""Every error that a user of the project can meet.

StudyError                    one line for the user, exit code 2
├── UnknownName               a name that no table has; carries the nearest ones
├── StudyFileError            a study file, an override or a profile breaks a rule
├── DataError                 a data set is missing, damaged or not what it says
├── RecordError               a study's folder cannot be found, read or locked
└── TrackingError             the MLflow store cannot be used
StudyUnfinished               the study stopped early; exit code 1, running it again goes on
StudyInterrupted              Ctrl-C, SIGTERM or a time budget; exit code 130, resumable
"""

from __future__ import annotations

import math
from datetime import date, time

# A place longer than this was not typed by hand.
MAX_PLACE = 300


class StudyError(Exception):
    """The user's mistake: names the place, the rule and the value, then the way out."""


class UnknownName(StudyError):
    """A name that no table has."""


class StudyFileError(StudyError):
    """A study file, an override or a profile breaks a rule.

    ``place`` is the file (and key), ``rule`` what must hold, ``value`` what was found, and
    ``way_out`` what to write instead. The message is a single line.
    """

    def __init__(self, place: str, rule: str, value: object = None, way_out: str = "") -> None:
        self.place, self.rule, self.value, self.way_out = place, rule, value, way_out
        found = "" if value is None else f", not {shorten(value)}"
        hint = f"; {way_out}" if way_out else ""
        where = place if len(place) <= MAX_PLACE else f"{place[:MAX_PLACE]}..."
        super().__init__(one_line(f"{where}: {rule}{found}{hint}"))


class DataError(StudyError):
    """A data set is missing, damaged or not what it says."""


class RecordError(StudyError):
    """A study's folder cannot be found, read or locked."""


class TrackingError(StudyError):
    """The MLflow store cannot be used."""


class StudyUnfinished(Exception):
    """The study could not be finished; what finished is kept, and running it again goes on."""


class StudyInterrupted(Exception):
    """Stopped on request; what finished is kept, and running it again goes on."""


def one_line(text: str) -> str:
    """``text`` on a single line and without control characters (terminal escapes included)."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())


def shorten(value: object, limit: int = 80) -> str:
    """``value`` on one line, as a study file has it, cut to ``limit`` characters."""
    text = one_line(_written(value, depth=3))
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _written(value: object, depth: int) -> str:
    """TOML's way to write ``value``, near enough to be found in the file. Hostile values are safe: no
    table is followed deeper than ``depth``, and Python refuses to print numbers of 4,300 digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 400:
        return f"a number of about {math.ceil(value.bit_length() * math.log10(2)):,} digits"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict | list) and not depth:
        return "..."
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_written(leaf, depth - 1)}' for key, leaf in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(_written(leaf, depth - 1) for leaf in value)}]"
    return repr(value)
