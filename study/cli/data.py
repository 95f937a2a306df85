"""``study data``: which data sets there are, getting them, and looking whether they are what they say."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from study.errors import StudyError

if TYPE_CHECKING:
    from rich.progress import Progress

    from study.components.datasets import DatasetInfo

_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="STUDY_DATA_DIR",
    show_envvar=True,
    metavar="DIR",
    help="The only folder looked in; without it your own data folder. For a file of yours: here, too.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


@click.group()
def data() -> None:
    """List, fetch and check data sets.

    \b
    Examples:
      study data list
      study data fetch cifar10
      study data check cifar10 --data-dir ~/data
    """


@data.command("list")
@_data_dir
@_json
def list_data_sets(data_dir: Path | None, as_json: bool) -> None:
    """List the data sets, and where each was found.

    \b
    Examples:
      study data list
      study data list --data-dir ~/data --json
    """
    from study.components.datasets import DATASETS

    infos = {name: DATASETS[name] for name in DATASETS.names()}
    found = {name: info.locate(data_dir) for name, info in infos.items()}
    if as_json:
        click.echo(json.dumps([_facts(info, found[name]) for name, info in infos.items()], indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("data set", "classes", "examples", "shape", box=box.SIMPLE_HEAD)
    table.add_column("where", overflow="fold")
    for name, info in infos.items():
        table.add_row(
            name,
            str(len(info.classes) or "\N{EN DASH}"),
            f"{info.train_examples:,} + {info.test_examples:,}" if info.train_examples else "\N{EN DASH}",
            "x".join(str(size) for size in info.shape) or "\N{EN DASH}",
            found[name] or f"not found: study data fetch {name}",
        )
    Console().print(table)


def _facts(info: DatasetInfo, found: str | None) -> dict[str, object]:
    fields = "name task classes shape train_examples test_examples licence source downloadable mean std"
    return {field: getattr(info, field) for field in fields.split()} | {"found": found}


@data.command("fetch")
@click.argument("name")
@_data_dir
@click.option("--mirror", metavar="URL", help="Another address of the files; they are verified all the same.")
def fetch_data_set(name: str, data_dir: Path | None, mirror: str | None) -> None:
    """Download the published archive or files of a data set.

    A download that was cut goes on where it stopped. A file appears under its name only when its checksum
    is right, and is read as it is: there is nothing to unpack.

    \b
    Examples:
      study data fetch cifar10
      study data fetch fashion_mnist --data-dir ~/data
      study data fetch cifar10 --mirror http://localhost:8000/archives
    """
    from study.components.datasets import DATASETS

    info = DATASETS[name]
    found = info.locate(data_dir)
    if not info.downloadable:
        click.echo(f"{name} is {found}: there is nothing to fetch")
    elif found is not None:
        click.echo(f"{name} is there already: {found} (look into it with `study data check {name}`)")
    else:
        click.echo(f"{name} is there: {_download(name, data_dir, mirror)}")


def _download(name: str, data_dir: Path | None, mirror: str | None) -> Path:
    from study.components.datasets.fetching import PUBLICATIONS, fetch

    published = PUBLICATIONS[name]
    address, files = mirror or published.url, ", ".join(archive.name for archive in published.archives)
    click.echo(f"fetching {files} from {address}", err=True)
    with _progress() as bar:
        task = bar.add_task(name, total=published.size_bytes)
        return fetch(name, data_dir, base_url=address, progress=lambda done: bar.update(task, completed=done))


def _progress() -> AbstractContextManager[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), SpeedColumn())
    console = Console(stderr=True)
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)


@data.command("check")
@click.argument("name", metavar="NAME|FILE.npz")
@_data_dir
@_json
def check_data_set(name: str, data_dir: Path | None, as_json: bool) -> None:
    """Read a data set whole and look whether it is what it says.

    Files, shapes, labels, images per class, repeated images, channel means and deviations. A folder is
    known by its content, whatever the order of its images; a class-balanced part passes, named as a part.
    A file of your own, named by its path, must have the arrays train_x, train_y, test_x and test_y.

    \b
    Examples:
      study data check cifar10
      study data check cifar10 --data-dir ~/data/cifar-10-batches-py
      study data check digits --json
      study data check ./mine.npz
    """
    from study.components.datasets import load_dataset
    from study.components.datasets.checking import describe
    from study.components.datasets.own import load_own, remark

    try:
        own = name.endswith(".npz")
        data = load_own(name, data_dir) if own else load_dataset(name, data_dir)
        facts = describe(data) | ({"remark": remark(data)} if own else {})
    except StudyError as error:
        if as_json:
            click.echo(json.dumps({"name": name, "ok": False, "error": str(error)}, indent=2))
        raise
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print_facts(facts)


def _print_facts(facts: dict[str, Any]) -> None:
    lines = {
        "data set": facts["name"],
        "verdict": "ok, a class-balanced part" if facts["part"] else "ok, whole",
        "read from": facts["origin"],
    }
    pictures = len(facts["shape"]) == 3
    lines["shape"] = "x".join(map(str, facts["shape"])) if pictures else f"{facts['shape'][0]:,} features"
    for split, count in facts["images"].items():
        what = "images" if pictures else "examples"
        lines[f"{split} {what}"] = f"{count:,} ({_spread(facts, split)})"
    for statistic in ("mean", "std"):
        lines[f"{'channel' if pictures else 'feature'} {statistic}"] = _numbers(facts[statistic])
        if not facts["name"].startswith("npz_"):
            lines[f"published {statistic}"] = _numbers(facts[f"published_{statistic}"])
    lines["fingerprint"] = facts["fingerprint"]
    if facts.get("remark"):
        lines["remark"] = facts["remark"]
    for label, value in lines.items():
        click.echo(f"{label:<16}{value}")


def _spread(facts: dict[str, Any], split: str) -> str:
    """``5,000 of each class``; or how numbers are spread."""
    if "targets" in facts:
        return "targets {mean:.4g} \N{PLUS-MINUS SIGN} {std:.4g}, from {lowest:.4g} to {highest:.4g}".format(
            **facts["targets"][split]
        )
    per_class = facts["images_per_class"][split].values()
    return f"{' to '.join(str(size) for size in sorted({min(per_class), max(per_class)}))} of each class"


def _numbers(values: list[float]) -> str:
    """One by one, as published for colours; the ends where there are many."""
    if len(values) > 3:
        return f"{min(values):.4g} to {max(values):.4g}"
    return " ".join(f"{value:.8f}" for value in values)
