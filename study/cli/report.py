"""`study report`: the ranking in the terminal, and the report as files."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from study.cli import completing
from study.cli.options import json_option, out_option, print_json


@click.command()
@click.argument("name", shell_complete=completing.records)
@out_option
@click.option("--from-mlflow", "uri", metavar="URI", help="Fetch the record from this store or server first.")
@json_option
def report(name: str, root: Path, uri: str | None, as_json: bool) -> None:
    """Make the report of a study anew and print its ranking.

    NAME means the newest record of that study, NAME@DIGEST another. Writes report.html (one file,
    opens without a network), ranking.csv, claims.csv, figures/*.png and *.svg into the record's folder. An
    unfinished study has a report too.

    \b
    Examples:
      study report cifar10-acts
      study report cifar10-acts@0123456789ab --out /data/runs
      study report cifar10-acts --from-mlflow http://mlflow.example:5000
      study report cifar10-acts --json | jq '.ranking[0].arm'
    """
    from study.record import StudyRecord
    from study.report import print_ranking, summary, write_report

    if uri is None:
        record = StudyRecord.latest(root, name)
    else:
        from study import tracking

        tracking.check(uri)
        record = tracking.fetch(name, uri, root).record
    write_report(record)
    if as_json:
        print_json(summary(record))
    else:
        print_ranking(record)
