"""`study trial`: one trial in this process, where a debugger works."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import rich_click as click

from study import studyfile
from study.cli import completing
from study.cli.options import data_dir_option, json_option, print_json
from study.components.tasks import Task
from study.errors import StudyFileError, shorten
from study.keys import COMPONENTS, flatten
from study.places import default_data_dir
from study.space import Scalar
from study.spec import Arm, StudySpec
from study.trial import Row, TrialResult
from study.typical import example

COLUMNS: dict[Task, tuple[str, ...]] = {
    "classification": (
        *("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"),
        *("lr", "images_per_second"),
    ),
    "regression": (
        "epoch",
        "train_loss",
        "train_eval_rmse",
        "val_loss",
        "val_rmse",
        "lr",
        "images_per_second",
    ),
}


@click.command()
@click.argument("name", metavar="NAME|FILE", shell_complete=completing.studies)
@click.option(
    "--profile",
    metavar="P",
    shell_complete=completing.profiles,
    help="A named set of overrides from the study file.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="A study-file key, or a bare one: activation.name=elu.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="The trial's seed."
)
@click.option("--test", is_flag=True, help="Score it on the test split too, as in the confirm phase.")
@click.option("--device", metavar="D", help="cpu, cuda, cuda:1.  [default: cuda where there is one]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: resources.cpus_per_trial]")
@data_dir_option
@json_option
def trial(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    seed: int,
    test: bool,
    device: str | None,
    threads: int | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Train one trial of a study, in this process, without Ray and without a record.

    Compared and tuned hyperparameters that are not set take their first value, or the middle of their
    range. A trial that diverges is a result, not an error.

    \b
    Examples:
      study trial cifar10-acts --profile demo --set activation.name=elu
      study trial cifar10-acts --profile demo --set optimizer.lr=30 --json
      python -m pdb -m study trial ./mine.toml
    """
    from study.check import check
    from study.devices import pick_device
    from study.running import load_data
    from study.training import train

    spec, arm = _chosen(name, profile, overrides)
    # One trial of this arm alone: others may lack an argument that is set for this one, and nothing need be
    # left to tune.
    alone = {"arms_only": [arm.name], "search": spec.search.model_copy(update={"trials_per_arm": 1})}
    check(spec.model_copy(update=alone), studyfile.place(studyfile.find(name), profile, overrides))
    config = example(spec, arm, seed, test)
    pick_device(device)  # refused before anything is printed
    data = load_data(spec, default_data_dir(data_dir))
    columns = COLUMNS[data.task]
    report = None if as_json else partial(_print_row, columns)
    if not as_json:
        values = (f"{key}={str(value).lower()}" for key, value in config.hyperparameters.items())
        click.echo(f"{config.id}  {'  '.join(values)}")
        click.echo("  ".join(f"{column:>17}" for column in columns))
    result = train(
        config, data, report=report, device=device, threads=threads or spec.resources.cpus_per_trial
    )
    print_json(result.to_json()) if as_json else _print_end(result)


def _chosen(name: str, profile: str | None, overrides: tuple[str, ...]) -> tuple[StudySpec, Arm]:
    """The study with the bare keys held, and the arm that they pick: those that are compared only pick."""
    spec = studyfile.load(name, profile, [text for text in overrides if not _is_bare(text)])
    kept, wanted = [], {}
    for text in overrides:
        key, value = _key_and_value(text) if _is_bare(text) else ("", text)
        if key in spec.compared:
            wanted[key] = value
        else:
            kept.append(f"fixed.{text}" if key else text)
    spec = studyfile.load(name, profile, kept)
    return spec, _arm(spec, wanted)


def _is_bare(text: str) -> bool:
    return text.split(".")[0] in COMPONENTS


def _key_and_value(text: str) -> tuple[str, Scalar]:
    table = flatten(studyfile.parse_override(f"fixed.{text}")["fixed"])
    return next(iter(table.items()))


def _arm(spec: StudySpec, wanted: dict[str, Scalar]) -> Arm:
    for key, value in wanted.items():
        if value not in spec.compared[key]:
            known = ", ".join(shorten(each) for each in spec.compared[key])
            raise StudyFileError(
                f"--set {key}", "is compared, so it must be one of its values", value, f"known: {known}"
            )
    for arm in spec.arms():
        if all(arm.values[key] == value for key, value in wanted.items()):
            return arm
    raise StudyFileError(
        "--set", "no arm of the study has these values", wanted, "see: study show " + spec.name
    )


def _print_row(columns: tuple[str, ...], row: Row) -> None:
    cells = [row.get(column) for column in columns]
    texts = ["" if cell is None else f"{cell:.4g}" for cell in cells]
    click.echo("  ".join(f"{text:>17}" for text in texts))


def _print_end(result: TrialResult) -> None:
    told = {key: value for key, value in sorted(result.metrics.items()) if "coverage_decile" not in key}
    metrics = "  ".join(f"{key} {value:.4f}" for key, value in told.items())
    click.echo(f"{result.verdict}  {result.verdict.reason}".rstrip() + (f"\n{metrics}" if metrics else ""))
    click.echo(f"{result.seconds:.1f} s  {result.gradient_evaluations} gradient evaluations")
