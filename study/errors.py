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
        super().__init__(one_line(f"{place}: {rule}{found}{hint}"))


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
    """``repr(value)``, cut to ``limit`` characters."""
    text = one_line(repr(value))
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
