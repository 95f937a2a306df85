"""study sync: bring into MLflow what it has missed."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import rich_click as click

from study import tracking
from study.analysis.wording import counted, counted_are
from study.cli import completing
from study.cli.options import json_option, out_option, print_json, tracking_uri_option
from study.errors import StudyUnfinished, TrackingError
from study.record import StudyRecord


@click.command()
@click.argument("name", metavar="NAME", shell_complete=completing.records)
@out_option
@tracking_uri_option()
@json_option
def sync(name: str, root: Path, tracking_uri: str | None, as_json: bool) -> None:
    """Bring a study's record into MLflow: all that its store has missed, and the report's files.

    What is there already is neither made again nor doubled. A study that is running feeds MLflow itself.

    \b
    Examples:
      study sync cifar10-acts                                      the newest record
      study sync cifar10-acts@3f2a9c1b7d10 --out /scratch/runs     another one
      study sync cifar10-acts --tracking-uri http://127.0.0.1:5000   into a server
    """
    record = StudyRecord.latest(root, name)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or tracking.default_tracking_uri(root)
    tracking.check(uri)
    try:
        done = tracking.sync(record, uri)
    except TrackingError as error:
        left = tracking.pending(record, uri)
        raise StudyUnfinished(f"{error}; {counted_are(left, 'record')} pending; try again later") from error
    full_name = f"{record.name}@{record.folder.name}"
    if as_json:
        facts = {"study": record.name, "digest": record.digest, "folder": str(record.folder)}
        print_json({**facts, **asdict(done), "pending": tracking.pending(record, uri)})
    else:
        what = f"{counted(done.events, 'event')} and {counted(done.files, 'file')}"
        click.echo(f"{full_name}: {what} were brought into MLflow")
