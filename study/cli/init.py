"""`study init`: a new study file, from flags or from a few questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from study import studyfile
from study.cli.options import json_option, print_json
from study.drafting import SCHEMA, USUAL, Draft, parse_compared, parse_tuned, written
from study.errors import StudyFileError
from study.places import default_data_dir

if TYPE_CHECKING:
    from study.components.datasets import LoadedData
    from study.spec import StudySpec

Value = TypeVar("Value")

# What a first study tunes.
TUNE = "optimizer.lr=1e-4:1.0"
# Whatever else is tuned: arms that share one are compared by it.
LEARNING_RATE = "optimizer.lr"


@click.command()
@click.argument("name", metavar="NAME|FILE")
@click.option("--dataset", help="See: study data list.  [default: digits, or what --file has]")
@click.option(
    "--file",
    default="",
    metavar="NPZ",
    help="Your own data: train_x, train_y, test_x and test_y, in the data folder or the current one.",
)
@click.option(
    "--compare", multiple=True, metavar="KEY=A,B", help="What is compared; each combination is an arm."
)
@click.option(
    "--tune", multiple=True, metavar="KEY=LOW:HIGH", help="What is tuned in each arm; or choices, KEY=A,B."
)
@click.option("--question", help="What the study is to answer.")
@click.option("--model", default="", help="The network.  [default: all_cnn_c, or mlp for vectors]")
@click.option("--optimizer", default="sgd", show_default=True, help="The optimizer.")
@click.option("--epochs", type=click.IntRange(1), help="Of each training.  [default: 10]")
@click.option(
    "--trials", type=click.IntRange(1), default=8, show_default=True, help="Tuning trials of an arm."
)
@click.option(
    "--replicates", type=click.IntRange(0), default=8, show_default=True, help="Retrainings of an arm's best."
)
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults for what is not given.")
@json_option
def init(
    name: str,
    dataset: str | None,
    file: str,
    compare: tuple[str, ...],
    tune: tuple[str, ...],
    question: str | None,
    model: str,
    optimizer: str,
    epochs: int | None,
    trials: int,
    replicates: int,
    yes: bool,
    as_json: bool,
) -> None:
    """Write a commented study file, NAME.toml, that `study check` passes; beside it its JSON Schema.

    At a terminal it asks for what is not given; elsewhere, and with --yes, it takes the defaults.
    Nothing is ever overwritten. A file of your own is read: what it has says which data set, and which
    network.

    \b
    Examples:
      study init mine                                    asks four questions
      study init mine --yes                              relu and elu, with and without batch norm
      study init mine --compare optimizer.name=sgd,adamw --tune optimizer.lr=1e-5:1.0
      study init ./studies/mine.toml --dataset cifar10 --epochs 20 --trials 16
      study init waves --file waves.npz --compare loss.name=mse,mae
    """
    path = path_of(name)
    ask = not yes and not as_json and sys.stdin.isatty()
    data = own_data(file, dataset) if file and names_own(dataset) else None
    dataset = data.name if data else dataset or asked(ask, "Data set", "digits")
    task, shape = task_and_shape(dataset, data)
    if file and not dataset.startswith("npz_"):
        raise StudyFileError(
            f"--file {file}", f"{dataset} is not read from a file of yours", None, "--dataset npz_regression"
        )
    if dataset.startswith("npz_") and not file:
        raise StudyFileError(f"--dataset {dataset}", "is read from a file of yours", None, "--file mine.npz")
    if len(shape) == 1:
        model = model or "mlp"
    compare = compare or tuple(asked(ask, "Compared, KEY=A,B", " ".join(USUAL[task].compare)).split())
    tune = tune or tuple(asked(ask, "Tuned in each arm, KEY=LOW:HIGH", TUNE).split())
    epochs = epochs or int(asked(ask, "Epochs", "10", click.IntRange(1)))
    compared = by_key("--compare", map(parse_compared, compare))
    tuned = by_key("--tune", map(parse_tuned, tune))
    own_rate = LEARNING_RATE in tuned and TUNE not in tune
    if LEARNING_RATE not in {*compared, *tuned}:
        tuned = dict([parse_tuned(TUNE), *tuned.items()])
    draft = Draft(
        path.stem,
        compared,
        tuned,
        dataset=dataset,
        file=file,
        own_rate=own_rate,
        examples=len(data.train_inputs) if data else None,
        task=task,
        model=model,
        optimizer=optimizer,
        epochs=epochs,
        trials=trials,
        replicates=replicates,
        question=question or "",
    )
    text, spec = checked(draft, path, data)
    write_new(path, text)
    schema = write_schema(path.parent / SCHEMA)
    arms = [arm.name for arm in spec.arms()]
    if as_json:
        document = {"file": str(path), "schema": str(schema), "digest": spec.digest, "arms": arms}
        print_json({**document, "trials": spec.trial_count})
        return
    click.echo(f"{path}: {len(arms)} arms ({', '.join(arms)}), {spec.trial_count} trials")
    if said := remark_on(data):
        click.echo(said)
    click.echo(f"next: study plan {path_text(path)}")


def names_own(dataset: str | None) -> bool:
    """Whether it is a data set that is read from a user's own file, or left to that to say."""
    return dataset is None or dataset.startswith("npz_")


def own_data(file: str, dataset: str | None) -> LoadedData:
    """The user's own file, read as ``dataset`` or as what it has. StudyError where that cannot be."""
    from study.components.datasets import load_dataset
    from study.components.datasets.own import load_own, located

    folder = default_data_dir(None)
    if not located(file, folder).exists():
        way_out = "its path is from the data folder, or from here"
        raise StudyFileError(f"--file {file}", "there is no such file", None, way_out)
    return load_dataset(dataset, folder, file) if dataset else load_own(file, folder)


def task_and_shape(dataset: str, data: LoadedData | None) -> tuple[str, tuple[int, ...]]:
    """Of a data set that the project knows; raises UnknownName for another."""
    from study.components.datasets import DATASETS

    info = DATASETS[dataset]
    return info.task, data.train_inputs.shape[1:] if data else info.shape


def remark_on(data: LoadedData | None) -> str:
    from study.components.datasets.own import remark

    return f"{data.origin}: {remark(data)}" if data and remark(data) else ""


def by_key(option: str, parsed: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """Each key once."""
    table: dict[str, Value] = {}
    for key, value in parsed:
        if key in table:
            raise StudyFileError(f"{option} {key}", "is given twice; keep one of them")
        table[key] = value
    return table


def asked(ask: bool, question: str, default: str, kind: Any = None) -> str:
    """The answer at the terminal, or the default where nobody is asked."""
    return str(click.prompt(question, default, type=kind, err=True)) if ask else default


def path_of(name: str) -> Path:
    """``mine`` and ``mine.toml`` are files in the current folder."""
    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    if not studyfile.NAME.match(path.stem):
        raise StudyFileError(path.name, studyfile.NAME_RULE, path.stem)
    refuse_existing(path)
    if not path.parent.is_dir():
        raise StudyFileError(str(path), "its folder is not there", None, "make it first")
    return path


def refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise StudyFileError(
            str(path), "is there already, and is not overwritten", None, "choose another name"
        )


def checked(draft: Draft, path: Path, data: LoadedData | None) -> tuple[str, StudySpec]:
    """The file's text, once all that `study check` looks at holds, in every profile; ``data`` is the user's
    own."""
    from study.check import check, check_against

    table = studyfile.parse(written(draft), path.name)
    spec, *others = (studyfile.resolve(table, path, each, ()) for each in (None, *studyfile.profiles(table)))
    for each in (spec, *others):
        check(each)
        if data:
            check_against(each, data)
    return written(replace(draft, arms=[arm.name for arm in spec.arms()])), spec


def write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise StudyFileError(
            str(path), f"cannot be written: {error.strerror}", None, "choose another"
        ) from error


def write_schema(path: Path) -> Path:
    """The JSON Schema that the file's first line names, unless there is one."""
    from study.cli.studies import schema_text

    if not os.path.lexists(path):
        write_new(path, schema_text())
    return path


def path_text(path: Path) -> str:
    """The path as `study run` takes it: ./mine.toml."""
    return str(path) if path.is_absolute() or path.parent != Path() else f"./{path}"
