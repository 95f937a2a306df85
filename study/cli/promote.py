"""`study promote`: an arm's network into MLflow's registry."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from study import tracking
from study.cli import completing
from study.cli.options import data_dir_option, json_option, out_option, print_json, tracking_uri_option
from study.places import default_data_dir


@click.command()
@click.argument("name", metavar="NAME", shell_complete=completing.records)
@click.argument("arm", required=False)
@click.option("--alias", default="best", show_default=True, help="By which the version is found.")
@click.option(
    "--accept-difference", is_flag=True, help="Register it even where its numbers are not the record's."
)
@out_option
@data_dir_option
@tracking_uri_option()
@json_option
def promote(
    name: str,
    arm: str | None,
    alias: str,
    accept_difference: bool,
    root: Path,
    data_dir: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Register an arm's network in MLflow: by default that of the arm which the ranking has first.

    It is that of the arm's best replicate (by validation). Unless the study keeps weights
    (resources.models=true), the replicate is trained again, here and now; its numbers must come out as the
    record has them. It is logged with the trial's run, with signature and example, by torch.export: nothing
    is pickled, and loading it asks for torch alone. It takes the data as it is and normalises it. The
    registered model is NAME.ARM, its new version has the alias.

    \b
    Examples:
      study promote cifar10-acts
      study promote cifar10-acts relu+bn --alias production --data-dir ~/data
      study promote cifar10-acts@3f2a9c1b7d10 --tracking-uri http://127.0.0.1:5000
    """
    from study.promoting import promote as promoted
    from study.record import StudyRecord

    record = StudyRecord.latest(root, name)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or tracking.default_tracking_uri(root)
    tracking.check(uri)
    done = promoted(
        record, arm, uri, default_data_dir(data_dir), alias=alias, accept_difference=accept_difference
    )
    if as_json:
        print_json(done.to_json())
        return
    told = {key: value for key, value in sorted(done.metrics.items()) if "_decile_" not in key}
    metrics = "  ".join(f"{key} {value:.4f}" for key, value in told.items())
    click.echo(f"{done.trial}: {done.weights}: {metrics}")
    click.echo(f"{done.registered.model}, version {done.registered.version}, alias {done.registered.alias}")
    click.echo(f'mlflow.pytorch.load_model("{done.registered.address}")')
