"""`study vc-validity`: the VC bound of the notes, put to the test where it is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from study.cli.options import json_option, print_json
from study.errors import StudyError, shorten

if TYPE_CHECKING:
    from study.analysis.vc_validity import Validity

RELATIVE = (
    "relative: what the bound by relative deviations adds to the training error; less than the penalty where "
    "that is small and N large"
)


@click.command("vc-validity")
@click.option(
    "--redraws",
    type=click.IntRange(2, 100_000),
    default=200,
    show_default=True,
    metavar="N",
    help="Training sets of each size; networks get a tenth as many.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the generated data.")
@click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw penalty and gap into FILE, a .png or an .svg.",
)
@json_option
def vc_validity(redraws: int, seed: int, figure: Path | None, as_json: bool) -> None:
    """Test the VC bound on generated data: how often it is broken, and how loose it is.

    Two classes with a known Bayes error, models of known VC dimension (linear, quadratic, small ReLU
    networks), a few minutes of one core. Nothing of it is trained by torch or recorded.

    \b
    Examples:
      study vc-validity                              the table and the verdict
      study vc-validity --redraws 1000 --figure vc.svg
      study vc-validity --json | jq .verdict
    """
    from study.analysis.vc_validity import validity

    if figure is not None:
        _check(figure)
    found = validity(redraws, seed)
    if figure is not None:
        _draw(found, figure)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)


def _check(path: Path) -> None:
    """Before minutes are spent."""
    if path.suffix not in (".png", ".svg"):
        raise StudyError(f"--figure: must end in .png or .svg, not {shorten(path.name)}")


def _draw(found: Validity, path: Path) -> None:
    from study.analysis.figures.drawing import LIGHT, png, svg
    from study.analysis.figures.validity import draw_validity

    form = svg if path.suffix == ".svg" else png
    try:
        path.write_bytes(form(draw_validity(found, LIGHT).figure))
    except OSError as error:
        raise StudyError(f"--figure: {shorten(str(path))} cannot be written: {error.strerror}") from error


def _print(found: Validity) -> None:
    from rich.console import Console

    from study.analysis.terminal import new_table
    from study.analysis.wording import MINUS

    table = new_table()
    for heading in ("class", "h", "N", "gap ± 2 errors", "penalty", "broken", "relative"):
        table.add_column(heading, justify="left" if heading == "class" else "right", no_wrap=True)
    for row in found.cells.to_dict("records"):
        name, h = row["model"].split(", h ")
        gap = f"{row['gap']:.4f} ± {2 * row['gap_error']:.4f}".replace("-", MINUS)
        broken = f"{row['violations']} of {row['redraws']}"
        bounds = (_bound(row["penalty"]), broken, _bound(row["relative"]))
        table.add_row(name, h.removeprefix("= "), f"{row['n']:,}", gap, *bounds)
    Console().print(table)
    click.echo(RELATIVE)
    click.echo(f"{found.verdict.upper()}: {found.reason}")


def _bound(allowed: float) -> str:
    return "vacuous" if allowed == float("inf") else f"{allowed:.3f}"
