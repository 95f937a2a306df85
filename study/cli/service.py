"""`study service`: MLflow's server on PostgreSQL, on this machine, for many studies and people at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from study.cli.options import json_option, print_json
from study.places import service_folder

if TYPE_CHECKING:
    from study.service.state import Service

Command = TypeVar("Command", bound=Callable[..., Any])


def folder_option(command: Command) -> Command:
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        default=service_folder,
        show_default="study/service in the user's data folder",
        help="Where its database, artifacts, passwords and logs are kept.",
    )(command)


@click.group()
def service() -> None:
    """Start, show and end a service that keeps the runs of many studies: MLflow on PostgreSQL.

    It is reachable from this machine alone unless --host says otherwise. Passwords are in files of mode 0600,
    never in a command line or a log. For a service that starts with the machine, see cluster/README.md.

    \b
    Examples:
      study service up
      study service up --basic-auth
      study service status
      study service down
    """


@service.command()
@click.option(
    "--host", metavar="ADDRESS", help="Where it listens; 0.0.0.0: everywhere.  [default: 127.0.0.1]"
)
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [default: 5000]")
@click.option(
    "--database",
    metavar="URI",
    help="A PostgreSQL that runs already; its password in ~/.pgpass or PGPASSFILE.  [default: its own]",
)
@click.option("--basic-auth", is_flag=True, default=None, help="Ask everybody for a password, from now on.")
@click.option(
    "--allowed-hosts",
    metavar="NAME,...",
    help="Names by which others may call it.  [default: this machine's and private addresses]",
)
@click.option("--artifacts", metavar="PLACE", help="Such as s3://BUCKET/PATH.  [default: its folder]")
@click.option("--workers", type=click.IntRange(1, 8), help="Processes, 0.2 GB each.  [default: 1]")
@folder_option
@json_option
def up(folder: Path, as_json: bool, allowed_hosts: str | None, **options: Any) -> None:
    """Start the service, or join the one that runs. It stays until `study service down`.

    Without --database a PostgreSQL is made in the folder, with the programs of Debian's package. What is kept
    there outlives the service.

    \b
    Examples:
      study service up
      study service up --basic-auth --host 0.0.0.0 --allowed-hosts mlflow.example
      study service up --database postgresql://mlflow@db.example/mlflow
      study service up --artifacts s3://studies/artifacts
    """
    from study.service import operations

    given = {key: value for key, value in options.items() if value is not None}
    if allowed_hosts is not None:
        given["allowed_hosts"] = tuple(allowed_hosts.split(","))
    started, joined = operations.up(folder, given, lambda line: click.echo(line, err=True))
    if as_json:
        print_json({**_facts(started), "joined": joined})
        return
    _print(started)
    if started.wanted.open() and not started.wanted.basic_auth:
        click.echo("whoever reaches it reads and writes all runs; --basic-auth asks for a password", err=True)
    click.echo(f"next     study run NAME --tracking-uri {started.tracking_uri}", err=True)


@service.command()
@folder_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show the service that runs on this machine, and whether it is well.

    \b
    Examples:
      study service status
      study service status --json
    """
    from study.service import operations

    there = operations.running(folder)
    well = operations.answers(there)
    if as_json:
        print_json({**_facts(there), "answers": well})
        return
    _print(there)
    click.echo("it answers" if well else f"it does not answer; see {there.folder / 'mlflow.log'}")


@service.command()
@folder_option
@json_option
def down(folder: Path, as_json: bool) -> None:
    """End the service. Its data stay in its folder, and `study service up` goes on with them.

    \b
    Examples:
      study service down
    """
    from study.service import operations

    ended = operations.down(folder)
    if as_json:
        print_json({"tracking_uri": ended.tracking_uri, "folder": str(ended.folder)})
    else:
        click.echo(f"the service at {ended.tracking_uri} has ended; its data are in {ended.folder}")


def _print(there: Service) -> None:
    click.echo(f"MLflow   {there.tracking_uri}")
    click.echo(f"database {there.database}")
    click.echo(f"folder   {there.folder}")
    if there.secrets:
        click.echo(f"login    set -a; . {there.secrets}; set +a")


def _facts(there: Service) -> dict[str, Any]:
    """What is shown of a service: never a password, only where it is."""
    return {
        "tracking_uri": there.tracking_uri,
        "database": there.database,
        "folder": str(there.folder),
        "secrets": str(there.secrets) if there.secrets else None,
        "parts": [{"name": part.name, "pid": part.pid} for part in there.parts],
    }
