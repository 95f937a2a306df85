"""`study audit`: whether a study's record keeps its promises."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click
from click.exceptions import Exit

from study.cli import completing
from study.cli.options import json_option, out_option, print_json, tracking_uri_option


@click.command()
@click.argument("name", metavar="NAME", shell_complete=completing.records)
@out_option
@tracking_uri_option("MLflow's store or server.  [default: mlflow.db in --out]")
@json_option
def audit(name: str, root: Path, tracking_uri: str | None, as_json: bool) -> None:
    """Check that nothing of a study was lost, doubled or left behind: its record against itself, against
    samplers made anew from it, and against MLflow.

    Changes nothing. Exit code 1 where a promise was broken, with a line for each: which promise (I1 to
    I8), which trial, what is wrong. A study that is running, or was cut short, is judged by what it has
    done so far; MLflow is compared once the study stands still. A report that was written again since
    breaks no promise, and is remarked on.

    \b
    Examples:
      study audit cifar10-acts
      study audit cifar10-acts@3f2a9c1b7d10 --out /scratch/runs
      study audit cifar10-acts --json | jq .violations
    """
    from study import tracking
    from study.analysis.wording import counted
    from study.audit import audit as find
    from study.audit import remarks
    from study.record import StudyRecord

    record = StudyRecord.latest(root, name)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None and (root / "mlflow.db").is_file():
        uri = tracking.default_tracking_uri(root)
    violations = find(record, uri)
    remarked = [] if violations else remarks(record, uri)
    full_name = f"{record.name}@{record.folder.name}"
    if as_json:
        facts = {"study": record.name, "digest": record.digest, "folder": str(record.folder)}
        found = {"violations": [vars(each) for each in violations], "remarks": remarked}
        print_json({**facts, "ok": not violations, **found})
    else:
        for line in (*map(str, violations), *remarked):
            click.echo(line)
        events = counted(sum(1 for _ in record.events()), "event")
        with_mlflow = "the record and MLflow agree" if uri else "no MLflow store was looked at"
        click.echo(
            f"{full_name}: {counted(len(violations), 'violation')} in {events}"
            if violations
            else f"{full_name}: nothing lost, doubled or left behind in {events}; {with_mlflow}"
        )
    if violations:
        raise Exit(1)
