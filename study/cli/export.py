"""`study export`: a study's numbers as tables for other programs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from study.cli.options import json_option, out_option, print_json


@click.command()
@click.argument("name")
@out_option
@click.option(
    "--csv",
    "csv_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write each table as DIR/TABLE.csv.",
)
@click.option(
    "--parquet",
    "parquet_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write each table as DIR/TABLE.parquet.",
)
@json_option
def export(
    name: str, root: Path, csv_folder: Path | None, parquet_folder: Path | None, as_json: bool
) -> None:
    """Write a study's trials, curves, scores, ranking, pairs, claims, links and tuning curves as tables.

    In the CSV files, text that a spreadsheet would run as a formula is quoted with an apostrophe.

    \b
    Examples:
      study export cifar10-acts --csv tables
      study export cifar10-acts@0123456789ab --parquet tables
      study export cifar10-acts --csv a --parquet b --json | jq '.files[]'
    """
    if csv_folder is None and parquet_folder is None:
        raise click.UsageError("say where to: --csv DIR, --parquet DIR, or both")
    from study.export import write_tables
    from study.record import StudyRecord

    record = StudyRecord.latest(root, name)
    written = write_tables(record, csv_folder, parquet_folder)
    if as_json:
        print_json({"study": record.name, "digest": record.digest, "files": [str(path) for path in written]})
        return
    for path in written:
        click.echo(str(path))
