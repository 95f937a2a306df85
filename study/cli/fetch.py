"""`study fetch`: bring a study's record home from MLflow."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from study import tracking
from study.cli.options import json_option, out_option, print_json, tracking_uri_option

SAID = {
    "new": "was brought to",
    "updated": "was brought up to date in",
    "unchanged": "is as far along in",
}


@click.command()
@click.argument("name", metavar="NAME")
@out_option
@tracking_uri_option()
@json_option
def fetch(name: str, root: Path, tracking_uri: str | None, as_json: bool) -> None:
    """Bring a study's record home from MLflow: its study file and its journal, byte for byte.

    The record can then be reported, compared and audited here, and `study run` goes on with it. NAME
    means the newest record of that study there, NAME@DIGEST another. A record that is here already is
    brought up to date; nothing that is only here is lost. A study that is running is brought as far as
    its journal has reached MLflow, which is a minute behind at most. Of a study that was submitted from
    here, the store is known.

    \b
    Examples:
      study fetch cifar10-acts --tracking-uri http://mlflow.example:5000
      study fetch cifar10-acts@3f2a9c1b7d10 --tracking-uri sqlite:////data/mlflow.db --out ./runs
      study fetch cifar10-acts --tracking-uri http://127.0.0.1:5000 --json
      study fetch cifar10-acts                            after study submit cifar10-acts --to TARGET
    """
    from study.submission.remembered import store_of

    uri = (
        tracking_uri
        or store_of(root, name)
        or os.environ.get("MLFLOW_TRACKING_URI")
        or tracking.default_tracking_uri(root)
    )
    tracking.check(uri)
    fetched = tracking.fetch(name, uri, root)
    record = fetched.record
    if as_json:
        facts = {"study": record.name, "digest": record.digest, "folder": str(record.folder)}
        print_json(facts | {"change": fetched.change, "events": sum(1 for _ in record.events())})
    else:
        click.echo(f"{record.name}@{record.folder.name} {SAID[fetched.change]} {record.folder}")
