"""Options that several commands share, and how they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from study import studyfile
from study.cli import completing
from study.errors import StudyError
from study.places import default_root
from study.spec import StudySpec

Command = TypeVar("Command", bound=Callable[..., Any])

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``30m``, ``2h`` or ``1d``, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if not match or float(match[1]) <= 0:
            self.fail(f"{value!r} is not a duration above 0 such as 90s, 30m or 2h", param, ctx)
        return float(match[1]) * SECONDS[match[2] or "s"]


def out_option(command: Command) -> Command:
    return click.option(
        "--out",
        "root",
        type=click.Path(path_type=Path, file_okay=False),
        default=default_root,
        show_default="STUDY_HOME or ./runs",
        help="Folder of the records, the reports and MLflow's store.",
    )(command)


def tracking_uri_option(
    help: str = "MLflow's store or server.  [default: OUT/mlflow.db]",  # noqa: A002 as click calls it
) -> Callable[[Command], Command]:
    def without_password(ctx: click.Context, param: click.Parameter, uri: str | None) -> str | None:
        from study.tracking.addresses import has_password

        if uri is not None and has_password(uri):
            raise StudyError(
                "--tracking-uri: must not hold a password, which `ps` and the record would show; set "
                "MLFLOW_TRACKING_PASSWORD and _USERNAME for a server, PGPASSFILE for a PostgreSQL"
            )
        return uri

    return click.option("--tracking-uri", metavar="URI", callback=without_password, help=help)


def data_dir_option(command: Command) -> Command:
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        show_default="STUDY_DATA_DIR, or the user's data folder",
        help="Folder of the data sets, the only place looked in; for a file of yours the current one too.",
    )(command)


def to_option(
    required: bool = False, default: str = "  [default: where it was submitted to]"
) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        return click.option(
            "--to",
            required=required,
            metavar="TARGET",
            shell_complete=completing.targets,
            help="A target's file, or the name of a bundled one." + ("" if required else default),
        )(command)

    return decorate


def study_options(command: Command) -> Command:
    """NAME|FILE, --profile and --set: which study, resolved how."""
    for decorate in (
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override, section first: fixed.model.width=0.5.",
        ),
        click.option(
            "--profile",
            metavar="P",
            shell_complete=completing.profiles,
            help="A named set of overrides from the study file.",
        ),
        click.argument("name", metavar="NAME|FILE", shell_complete=completing.studies),
    ):
        command = decorate(command)
    return command


def load_checked(name: str, profile: str | None, overrides: Sequence[str]) -> StudySpec:
    """The study meant, resolved and checked; an error names the profile and the overrides too."""
    spec = studyfile.load(name, profile, overrides)
    check_loaded(spec, name, profile, overrides)
    return spec


def check_loaded(spec: StudySpec, name: str, profile: str | None, overrides: Sequence[str]) -> None:
    """Check what studyfile.load has made of these. It takes a second, in which torch is imported."""
    from study.check import check

    check(spec, studyfile.place(studyfile.find(name), profile, overrides))


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")(
        command
    )


def print_json(document: object) -> None:
    """One strict JSON document (no NaN) on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))
