"""`study logs` and `study stop`: asking after a submitted study where it runs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from study.cli.options import json_option, out_option, print_json, to_option


@click.command()
@click.argument("name", metavar="NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on until the study ends; Ctrl-C ends only this.")
@to_option()
@out_option
def logs(name: str, follow: bool, to: str | None, root: Path) -> None:
    """Print what a submitted study has said there. NAME means its newest submission, NAME@DIGEST another.

    \b
    Examples:
      study logs cifar10-acts
      study logs cifar10-acts -f
      study logs cifar10-acts --to ./slurm.toml      from a machine that did not submit it
    """
    from study.submission import sending
    from study.submission.remembered import whereabouts

    study, digest, target = whereabouts(root, name, to)
    job = sending.the_job(target, study, digest)
    for piece in sending.kind_of(target).logs(target, job.id, follow):
        click.echo(piece, nl=False)
    if follow:
        ended = sending.the_job(target, study, digest)
        click.echo(f"{ended.id} {ended.state}", err=True)


@click.command()
@click.argument("name", metavar="NAME")
@to_option()
@out_option
@json_option
def stop(name: str, to: str | None, root: Path, as_json: bool) -> None:
    """Ask a submitted study to stop at the next report of its trials. Submitting it again goes on.

    \b
    Examples:
      study stop cifar10-acts
      study stop cifar10-acts@3f2a9c1b7d10 --to ./kuberay.toml
    """
    from study.errors import StudyError
    from study.submission import sending
    from study.submission.order import LIVE
    from study.submission.remembered import whereabouts

    study, digest, target = whereabouts(root, name, to)
    job = sending.the_job(target, study, digest)
    if job.state not in LIVE:
        raise StudyError(f"{job.id}: has {job.state} already")
    sending.kind_of(target).stop(target, job.id)
    if as_json:
        print_json({"study": study, "id": job.id, "asked": "stop"})
    else:
        click.echo(f"{job.id} was asked to stop")
