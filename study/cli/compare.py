"""`study compare`: two studies side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from study.cli import completing
from study.cli.options import json_option, out_option, print_json
from study.errors import RecordError, shorten
from study.record import StudyRecord

if TYPE_CHECKING:
    from study.analysis.comparison import Comparison


# Where there is nothing to say.
DASH = "\N{EN DASH}"


@click.command()
@click.argument("first", metavar="A", shell_complete=completing.records)
@click.argument("second", metavar="B", shell_complete=completing.records)
@out_option
@json_option
def compare(first: str, second: str, root: Path, as_json: bool) -> None:
    """Set two studies side by side: what was set otherwise, each arm in both, their claims.

    A and B are NAME, a study's newest record, or NAME@DIGEST. Differences are B less A, paired where
    both drew the same seeds, with 95 % intervals.

    \b
    Examples:
      study compare cifar10-acts@b15579290e56 cifar10-acts
      study compare cifar10-acts cifar10-joint
      study compare cifar10-acts@b15579290e56 cifar10-acts --json | jq .settings
    """
    from study.analysis.comparison import compare_studies
    from study.analysis.findings import read_findings

    records = [StudyRecord.latest(root, name) for name in (first, second)]
    if records[0].folder == records[1].folder:
        same = f"{records[0].name}@{records[0].folder.name}"
        raise RecordError(f"{first} and {second} are both {same}; name another one as NAME@DIGEST")
    found = compare_studies(*(read_findings(record) for record in records))
    if as_json:
        sides = [{"study": r.name, "digest": r.folder.name, "folder": str(r.folder)} for r in records]
        print_json({"first": sides[0], "second": sides[1], **found.to_json()})
    else:
        _print(records, found)


def _print(records: list[StudyRecord], found: Comparison) -> None:
    from rich.console import Console

    from study.analysis.wording import MINUS, metric_name

    console = Console(highlight=False)
    for letter, record in zip("AB", records, strict=True):
        click.echo(f"{letter}  {record.name}@{record.folder.name}  {record.spec.question}")
    if found.settings:
        _table(console, ("set otherwise", "A", "B"), _settings(found))
    _table(
        console,
        (metric_name(found.metric), "A ± 95 %", "n", "B ± 95 %", "n", f"B {MINUS} A ± 95 %", "p"),
        _arms(found),
    )
    if any(arm.difference and arm.paired for arm in found.arms):
        click.echo("paired by replicate: both studies drew the same seeds")
    if found.claims:
        _table(console, ("claim", "A", "B"), _claims(found))


def _settings(found: Comparison) -> Iterable[tuple[str, ...]]:
    for key, both in found.settings.items():
        yield key, *map(_plainly, both)


def _plainly(value: Any) -> str:
    """A setting as a study file has it, without what is not set, and shortened."""
    if value is None:
        return DASH
    if isinstance(value, Mapping):
        value = {key: each for key, each in value.items() if each is not None}
    return shorten(value)


def _arms(found: Comparison) -> Iterable[tuple[str, ...]]:
    from study.analysis.intervals import Interval
    from study.analysis.wording import decimals, p_value, with_interval

    sides = [side for arm in found.arms for side in (arm.first, arm.second) if side]
    digits = decimals(side.interval for side in sides)
    for arm in found.arms:
        cells = [
            text
            for side in (arm.first, arm.second)
            for text in ((with_interval(side.interval, digits), str(side.n)) if side else (DASH, DASH))
        ]
        difference = with_interval(arm.difference or Interval(0), digits, signed=True)
        yield arm.arm, *cells, difference, p_value(arm.p)


def _claims(found: Comparison) -> Iterable[tuple[str, ...]]:
    for claim, both in found.claims.items():
        yield claim, *(verdict or DASH for verdict in both)


def _table(console: Any, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from study.analysis.terminal import VERDICT_STYLES, new_table, words

    table = new_table()
    for number, heading in enumerate(headings):
        # Names stay whole; a claim is a sentence.
        table.add_column(heading, overflow="fold", no_wrap=number == 0 and heading != "claim")
    for row in rows:
        table.add_row(*(words(cell, VERDICT_STYLES.get(cell, "")) for cell in row))
    click.echo()
    console.print(table)
