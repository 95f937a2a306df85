"""The speed table: as text for people, as JSON to be kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from study.environment import environment
from tests.benchmarks.speed.lines import Line, Spread

STANDS_FOR = {True: "reached", False: "LIMIT", None: ""}
WIDTH = 46


@dataclass(frozen=True)
class Row:
    """A row of the table, or why there is none, with the seconds that it took."""

    name: str
    title: str
    lines: Sequence[Line]
    seconds: float
    missing: str = ""


def rendered(row: Row) -> str:
    """A row as lines of text; what is below a number belongs to it."""
    head = f"{row.name:<4}{row.title}  [{row.seconds:.0f} s]"
    if row.missing:
        return f"{head}\n    not measured: {row.missing}"
    return "\n".join([head, *(text for line in row.lines for text in _texts(line))])


def _texts(line: Line) -> Iterator[str]:
    bound = f"{line.bound.sign} {number(line.bound.value)}{line.unit}" if line.bound else ""
    found = f"{number(line.found.median)}{line.unit}"
    columns = f"{line.what:<{WIDTH}}{found:>14} {spread(line.found):<24}{bound:<16}"
    yield f"    {columns}{STANDS_FOR[line.reached]}".rstrip()
    if line.note:
        yield f"      {line.note}"
    if line.limit and line.reached is False:
        yield f"      limit: {line.limit}"


def spread(found: Spread) -> str:
    """``(1.02 to 1.1, n = 3)``."""
    if found.n == 1:
        return "(n = 1)"
    return f"({number(found.low)} to {number(found.high)}, n = {found.n})"


def number(value: float) -> str:
    """Three digits that count, whole numbers whole."""
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"


def document(rows: Sequence[Row], size: str) -> dict[str, Any]:
    """All of it, with machine, versions and date."""
    return {
        "benchmark": "speed",
        "size": size,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "environment": environment(),
        "rows": [
            {
                "row": row.name,
                "title": row.title,
                "seconds": round(row.seconds, 1),
                "missing": row.missing or None,
                "lines": [line.to_json() for line in row.lines],
            }
            for row in rows
        ],
    }
