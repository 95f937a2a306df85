"""What answers each statement of the notes: a fact, bundled studies, or nothing, and then why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from study.errors import StudyError
from study.facts.checking import Answer
from study.facts.statements import Statement, statements
from study.facts.table import FACTS
from study.studyfile import bundled_names


@dataclass(frozen=True)
class Answered:
    """A statement, whether a fact answers it, and the bundled ones of the studies that test it."""

    statement: Statement
    fact: bool
    studies: tuple[str, ...]

    @property
    def open(self) -> str | None:
        """Why nothing answers it; None where something does."""
        if self.fact or self.studies:
            return None
        return self.statement.reason or f"no bundled study yet; meant for {', '.join(self.statement.studies)}"

    def to_json(self) -> dict[str, Any]:
        return {
            **described(self.statement),
            "fact": self.fact,
            "studies": list(self.studies),
            "open": self.open,
        }


def answered() -> tuple[Answered, ...]:
    """All statements of the notes, in their order."""
    bundled = set(bundled_names())
    return tuple(
        Answered(each, each.id in FACTS, tuple(name for name in each.studies if name in bundled))
        for each in statements().values()
    )


def examinable() -> tuple[Statement, ...]:
    """The statements of ``study facts``: what has a check, and what cannot have one of any kind."""
    return tuple(each for each in statements().values() if each.id in FACTS or each.reason)


def examine(statement: Statement) -> Answer:
    """Put it to the test. StudyError where that takes trainings."""
    if statement.id in FACTS:
        return FACTS[statement.id]()
    if statement.reason:
        return Answer((), statement.reason)
    studies = " or ".join(statement.studies)
    raise StudyError(f"{statement.id} takes trainings, not a formula; see: study show {studies}")


def described(statement: Statement) -> dict[str, Any]:
    return {
        "id": statement.id,
        "source": statement.source,
        "statement": statement.statement,
        "quote": statement.quote,
    }


def examined(statement: Statement, answer: Answer) -> dict[str, Any]:
    """A statement with its verdict, for programs; numbers that are not finite as text."""
    return {
        **described(statement),
        "verdict": answer.truth,
        "correction": answer.note,
        "parts": [part.to_json() for part in answer.parts],
    }
