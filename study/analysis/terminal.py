"""The ranking and the claims for the terminal, as rich renderables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from study.analysis.edge_tables import HEADER, edge_rows
from study.analysis.findings import Findings
from study.analysis.tables import (
    TEST_NAMES,
    answer,
    cause_cells,
    link_cells,
    link_digits,
    order_text,
    ranking_table,
    tau_text,
)
from study.analysis.verdicts import ClaimVerdict
from study.analysis.wording import counted, metric_name
from study.errors import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

# A thousand arms are for the CSV file.
MOST_LINES = 25
VERDICT_STYLES = {"reproduced": "green", "contradicted": "red", "undecided": "yellow"}


def ranking_block(findings: Findings, width: int) -> Iterator[RenderableType]:
    """Title, notices, ranking and footnotes. From 100 columns on, the best settings stand in one line."""
    found = findings.ranking
    yield words(f"{findings.spec.name}  {findings.digest}", "bold")
    yield words(findings.spec.question)
    for notice in findings.notices():
        yield words(f"! {notice}", "yellow")
    if not findings.results or not findings.ranked:
        return
    table = new_table()
    lines = ranking_table(found)
    table.add_column("#", justify="right")
    table.add_column("arm", overflow="fold")
    table.add_column(f"{metric_name(found.metric)}\nmean ± 95 %", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("ahead of the\nnext ± 95 %", justify="right", no_wrap=True)
    table.add_column("di-\nverged", justify="right", no_wrap=True)
    table.add_column("best settings", overflow="fold")
    for row in lines.rows[:MOST_LINES]:
        notes = f" [{','.join(map(str, row.notes))}]" if row.notes else ""
        best = (" " if width >= 100 else "\n").join(row.best)
        cells = (row.rank, row.arm + notes, row.mean, row.n, row.lead, row.diverged)
        table.add_row(*(words(cell) for cell in cells), plain_lines(best))
    yield table
    if len(lines.rows) > MOST_LINES:
        yield words(f"  and {len(lines.rows) - MOST_LINES} more arms in ranking.csv")
    if lines.shared:
        yield words("arms with the same # cannot be told apart: paired t, Holm over all pairs, 5 %;", "dim")
        yield words("each ± is of its own pair alone", "dim")
    for place, note in enumerate(lines.footnotes, start=1):
        yield words(f"[{place}] {note}", "dim")
    if text := answer(found):
        yield words(text)
    if findings.early_stopping:
        yield words(str(findings.early_stopping))


def edge_block(findings: Findings) -> Iterator[RenderableType]:
    """The largest stable learning rate of each arm, of a study that bisects."""
    rows = edge_rows(findings.edges)
    if not any(edge.probes for edge in findings.edges):
        return
    table = new_table()
    for title in HEADER:
        numbers = title in ("probes", "diverged", "stalled")
        table.add_column(title, justify="right" if numbers else "left", overflow="fold")
    for row in rows[:MOST_LINES]:
        table.add_row(*(words(cell) for cell in row))
    yield table
    if len(rows) > MOST_LINES:
        yield words(f"  and {len(rows) - MOST_LINES} more arms in divergence_map.csv")
    yield words("lr50, lr05: where half and 5 % of the trainings blow up or stall", "dim")


def cause_block(findings: Findings) -> Iterator[RenderableType]:
    """How the trials ended: a line where that was the same for all, else a table."""
    found = findings.causes()
    if len(found) <= 1:
        yield from (words(f"All {counted(cause.trials, 'trial')} ended {cause}") for cause in found)
        return
    table = new_table()
    table.add_column("how trials ended", overflow="fold")
    table.add_column("n", justify="right")
    table.add_column("in the arms", overflow="fold")
    table.add_column("for example", overflow="fold")
    alone = len(findings.ranking.arms) == 1
    for cause in found:
        table.add_row(*(words(cell) for cell in cause_cells(cause, alone)))
    table.add_row(words("all"), words(str(sum(cause.trials for cause in found))))
    yield table


def claim_blocks(findings: Findings) -> Iterator[RenderableType]:
    """Each claim: its verdict, the claimed order beside the observed one, and its links."""
    for claim in findings.claims:
        yield words("")
        yield _verdict_line(claim)
        if claim.claim.text and not claim.claim.ranking:
            yield words(claim.claim.text)
        yield words(claim.reason)
        if claim.needs:
            yield words(claim.needs)
        if claim.observed:
            yield _orders(claim)
        if claim.tau is not None:
            yield words(tau_text(claim))
        if claim.chances is not None:
            yield words(order_text(claim))


def _verdict_line(claim: ClaimVerdict) -> Text:
    from rich.text import Text

    line = Text(f"{claim.verdict.upper()}  ", style=f"bold {VERDICT_STYLES[claim.verdict]}")
    source = one_line(f"claim {claim.claim.source}, by {metric_name(claim.claim.metric)}")
    if claim.claim.kind in ("ranking", "trend"):
        source += f", judged by {TEST_NAMES[claim.claim.test]}"
    return line.append(source, style="not bold default")


def _orders(claim: ClaimVerdict) -> Table:
    """Row by row the claimed and the observed order, and how far the claimed arm is ahead of the next
    claimed one that ran."""
    table = new_table()
    table.add_column("\nclaimed", overflow="fold")
    table.add_column("\nobserved", overflow="fold")
    table.add_column("ahead of the next\nclaimed ± 95 %", justify="right", no_wrap=True)
    for title in ("\npairs", "\np"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("\nas claimed?")
    links = {link.better: link_cells(link, link_digits(claim))[1:] for link in claim.links}
    for claimed, observed in itertools.zip_longest(claim.claim.ranking or (), claim.observed, fillvalue=""):
        cells = (claimed, observed, *links.get(claimed, ("",) * 4))
        table.add_row(*(words(cell, VERDICT_STYLES.get(cell, "")) for cell in cells))
    return table


def new_table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False
    )


def words(text: str, style: str = "") -> Text:
    """Text that is neither markup nor a terminal's command, whatever it holds."""
    from rich.text import Text

    return Text(one_line(text), style=style)


def plain_lines(text: str) -> Text:
    from rich.text import Text

    return Text("\n".join(one_line(line) for line in text.split("\n")))
