"""`study facts`: what the notes state and a formula settles, put to the test in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import rich_click as click

from study.cli import completing
from study.cli.options import json_option, print_json

if TYPE_CHECKING:
    from study.facts.answers import Answered
    from study.facts.checking import Answer
    from study.facts.statements import Statement

STYLES = {
    "true": "green",
    "true with a correction": "yellow",
    "false": "red",
    "not testable": "dim",
}


@click.command()
@click.argument("names", metavar="[ID]...", nargs=-1, shell_complete=completing.statements)
@click.option(
    "--ledger",
    is_flag=True,
    help="Every statement, and what answers it: a fact, a study, or nothing and why.",
)
@json_option
def facts(names: tuple[str, ...], ledger: bool, as_json: bool) -> None:
    """Check the notes' formulas, values and defaults in numbers: true, false, or true with a correction.

    Every verdict is computed, with the libraries that are installed. An ID, such as C57, shows that
    statement with its working. What only trainings can settle is in the bundled studies.

    \b
    Examples:
      study facts                              all of them, in seconds
      study facts C57 C81                      two, with their working
      study facts --json | jq '.facts[] | select(.verdict == "false")'
      study facts --ledger                     every statement and what answers it
    """
    from study.facts.answers import answered, examinable, examine
    from study.facts.statements import statements

    asked = [statements()[name] for name in names]
    if ledger:
        chosen = [each for each in answered() if not asked or each.statement in asked]
        print_json([each.to_json() for each in chosen]) if as_json else _print_ledger(chosen)
        return
    answers = [(statement, examine(statement)) for statement in asked or examinable()]
    if as_json:
        print_json(_document(answers))
    elif names:
        for statement, answer in answers:
            _print_working(statement, answer)
    else:
        _print_table(answers)


def _document(answers: list[tuple[Statement, Answer]]) -> dict[str, Any]:
    from study.environment import environment
    from study.facts.answers import examined

    return {
        "packages": environment()["packages"],
        "counts": _counts(answers),
        "facts": [examined(statement, answer) for statement, answer in answers],
    }


def _counts(answers: list[tuple[Statement, Answer]]) -> dict[str, int]:
    from study.facts.checking import TRUTHS

    counts = Counter(answer.truth for _, answer in answers)
    return {truth: counts[truth] for truth in TRUTHS}


def _print_table(answers: list[tuple[Statement, Answer]]) -> None:
    rows = [
        (f"{each.id}\n{each.source}", each.statement, answer.truth, answer.note) for each, answer in answers
    ]
    _print_rows(("", "statement", "verdict", "correction, or what is to be added"), rows)
    by_truth = ", ".join(f"{count} {truth}" for truth, count in _counts(answers).items())
    click.echo(f"{len(answers)} statements: {by_truth}")


def _print_ledger(ledger: list[Answered]) -> None:
    rows = [
        (
            f"{each.statement.id}\n{each.statement.source}",
            each.statement.statement,
            ", ".join([*(["study facts"] if each.fact else []), *each.studies]) or f"nothing: {each.open}",
        )
        for each in ledger
    ]
    _print_rows(("", "statement", "answered by"), rows)
    from study.analysis.wording import counted

    unanswered = sum(each.open is not None for each in ledger)
    click.echo(
        f"{counted(len(ledger), 'statement')}: {len(ledger) - unanswered} answered, {unanswered} by nothing"
    )


def _print_rows(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.console import Console

    from study.analysis.terminal import new_table, words

    table = new_table()
    for heading in headings:
        table.add_column(heading, overflow="fold", max_width=12 if heading in ("", "verdict") else None)
    for id_and_source, *cells in rows:
        table.add_row(id_and_source, *(words(cell, STYLES.get(cell, "")) for cell in cells))
        table.add_section()
    Console().print(table)


def _print_working(statement: Statement, answer: Answer) -> None:
    from study.facts.checking import text

    click.echo(f"{statement.id}  {statement.source}  {statement.statement}")
    click.echo(f"  {statement.quote}")
    for part in answer.parts:
        role = "said   " if part.said else "instead"
        holds = "holds" if part.holds else "fails"
        click.echo(f"  {role} {holds}  {part.what}: {text(part.found)}  ({part.wanted})")
    click.echo(f"  {answer.truth.upper()}" + (f": {answer.note}" if answer.note else ""))
