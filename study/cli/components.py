"""`study components`: what a study file can name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import rich_click as click

from study.cli.options import json_option, print_json
from study.errors import StudyError


@click.command()
@click.argument("component", required=False)
@json_option
def components(component: str | None, as_json: bool) -> None:
    """What a study file can name: activations, losses, models and so on, with their arguments.

    With those that installed packages add through entry points; one that cannot be used says why.

    \b
    Examples:
      study components
      study components optimizer
      study components activation --json
    """
    rows = list(_rows(component))
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("component", "name", "arguments", "from"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        said = row["error"] or ", ".join(row["arguments"])
        table.add_row(row["component"], row["name"], said, row["package"] or "")
    Console().print(table)


def _rows(wanted: str | None) -> Iterator[dict[str, Any]]:
    from study.arguments import COMPONENTS, argument_types
    from study.components.metrics import METRICS
    from study.registry import nearest

    tables = {part: entry.table for part, entry in COMPONENTS.items() if entry.table is not None}
    if wanted is not None and wanted not in (*tables, "metric"):
        raise StudyError(f"no component is called {wanted}; {nearest(wanted, (*tables, 'metric'))}")
    for part, table in (*tables.items(), ("metric", METRICS)):
        for name in table.names() if wanted in (None, part) else ():
            row: dict[str, Any] = {"component": part, "name": name, "package": table.origin(name)}
            row |= {"arguments": [], "error": None}
            try:
                table[name]
                if part in tables:
                    builders = COMPONENTS[part].builders(name)
                    row["arguments"] = sorted(set[str]().union(*map(argument_types, builders)))
            except StudyError as error:
                row["error"] = str(error)
            yield row
