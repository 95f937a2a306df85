"""`study submit`: a study sent to a cluster, or joined where it runs there already."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from study.cli.options import json_option, load_checked, out_option, print_json, study_options, to_option


@click.command()
@study_options
@to_option(required=True)
@out_option
@click.option("--data-dir", metavar="DIR", help="Folder of the data sets there.  [default: the target's]")
@click.option("--tracking-uri", metavar="URI", help="MLflow's store, as seen there.  [default: the target's]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Short for --set search.seed=N.")
@click.option("--max-concurrent", type=click.IntRange(1), help="At most so many trials at once.")
@click.option("--dry-run", is_flag=True, help="Print exactly what would be sent, and send nothing.")
@json_option
def submit(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    to: str,
    root: Path,
    data_dir: str | None,
    tracking_uri: str | None,
    seed: int | None,
    max_concurrent: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send a study to a cluster. There it runs as `study run` does here, and it goes on without us.

    TARGET is `ray` (the cluster of `study cluster up`), or the path of a target file; `ray`, `slurm` and
    `kuberay` in the package's cluster/ folder are there to be copied. A study that runs there already is
    joined, not sent again; one that was cut short goes on. Its file travels with the profile and overrides
    applied, and so does this package's source; data, libraries and secrets are the cluster's own.

    \b
    Examples:
      study submit cifar10-acts --profile demo --to ray
      study submit ./mine.toml --to ./slurm.toml --set search.trials_per_arm=32
      study submit cifar10-acts --to ./kuberay.toml --dry-run
    """
    from study.submission import sending, target
    from study.submission.remembered import remember

    if seed is not None:
        overrides = (*overrides, f"search.seed={seed}")
    spec, there = load_checked(name, profile, overrides), target.load(to)
    order = sending.order_of(
        spec, there, root, to, data_dir=data_dir, tracking_uri=tracking_uri, max_concurrent=max_concurrent
    )
    if dry_run:
        texts = sending.rendered(order, there)
        print_json(texts) if as_json else _print_texts(texts)
        return
    sent = sending.submit(order, there)
    submission = remember(root, order, there, to, sent.id)
    if as_json:
        facts = {"study": spec.name, "digest": spec.digest, "id": sent.id, "to": to, "joined": sent.joined}
        print_json({**facts, "out": submission.out, "tracking_uri": submission.tracking_uri})
        return
    click.echo(f"{sent.id} {'runs already' if sent.joined else 'was sent'}")
    click.echo(
        f"next     study logs {spec.name} -f, study stop {spec.name}, study fetch {spec.name}", err=True
    )


def _print_texts(texts: dict[str, str]) -> None:
    for title, text in texts.items():
        click.echo(f"# {title}", err=True)
        click.echo(text)
