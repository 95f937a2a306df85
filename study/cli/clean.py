"""`study clean`: what can go, shown first; nothing that is not ours is touched."""

from __future__ import annotations

import shlex
from pathlib import Path

import rich_click as click

from study.cli import completing
from study.cli.options import json_option, out_option, print_json


@click.command()
@click.argument("names", metavar="[NAME|NAME@DIGEST]...", nargs=-1, shell_complete=completing.records)
@out_option
@click.option("--yes", is_flag=True, help="Remove what is shown.")
@json_option
def clean(names: tuple[str, ...], root: Path, yes: bool, as_json: bool) -> None:
    """Show what can be removed, and with --yes remove it.

    Without a name: what crashed or finished studies left behind, which no report needs. NAME: that
    study's records too, but for the newest. NAME@DIGEST: that record, whole. Files that the project did
    not write, and studies that are running, stay; MLflow keeps its runs.

    \b
    Examples:
      study clean                                  shows what was left behind
      study clean cifar10-acts                     and the older records of one study
      study clean cifar10-acts@b15579290e56 --yes  removes one record
      study clean --json
    """
    from study.cleaning import foreign, removable, remove

    found = removable(root, names)
    strangers = foreign(found)
    if yes:
        remove(found)
    size = sum(each.size_bytes for each in found)
    if as_json:
        entries = [each.to_json() for each in found]
        print_json(
            {
                "root": str(root),
                "removed": yes,
                "bytes": size,
                "entries": entries,
                "stays": [str(path) for path in strangers],
            }
        )
        return
    for each in found:
        click.echo(f"{_megabytes(each.size_bytes):>10}  {each.record}  {each.why}")
    for path in strangers:
        click.echo(f"{'stays':>10}  {path}  not written by study")
    if not found:
        click.echo(f"{root}: nothing to remove", err=True)
    elif yes:
        click.echo(f"removed {_megabytes(size)}")
    else:
        again = shlex.join(["study", "clean", *names, "--out", str(root), "--yes"])
        click.echo(f"{_megabytes(size)} in all; nothing was removed. To remove it: {again}")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
