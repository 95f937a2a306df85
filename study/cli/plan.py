"""`study plan`: what a study will ask for, before any of it is spent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from study.analysis.foresight import Foresight, foresight, foresight_lines
from study.analysis.outcomes import Results
from study.analysis.wording import counted
from study.cli.options import (
    data_dir_option,
    json_option,
    load_checked,
    out_option,
    print_json,
    study_options,
)
from study.errors import RecordError, StudyError, StudyFileError, one_line
from study.places import default_data_dir
from study.space import Scalar
from study.spec import Arm, StudySpec
from study.typical import example

if TYPE_CHECKING:
    from study.components.datasets import DatasetInfo


@click.command()
@study_options
@data_dir_option
@out_option
@click.option(
    "--max-concurrent", type=click.IntRange(1), help="Trials at once.  [default: what this machine holds]"
)
@click.option("--no-measure", is_flag=True, help="Leave the timed warm-up out.")
@json_option
def plan(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    data_dir: Path | None,
    root: Path,
    max_concurrent: int | None,
    no_measure: bool,
    as_json: bool,
) -> None:
    """Arms, trials, what is tuned, what the replicates can tell, and the time it takes here.

    The time is from a measured warm-up of each arm, and from one with all processors busy, which also says
    whether a trial should have one thread or more. What can be told is from how far replicates differed
    in an earlier record of the same study under --out, on the same data set with the same networks, or
    else in pilots.

    Gradients are those of one batch each, and the most that a trial takes: optimizers with a line search
    take many a step. They are left out where a file of your own cannot be read.

    \b
    Examples:
      study plan cifar10-acts --profile demo
      study plan cifar10-acts --profile laptop --data-dir ~/data
      study plan ./mine.toml --no-measure --json
    """
    spec = load_checked(name, profile, overrides)
    folder = default_data_dir(data_dir)
    concurrent = max_concurrent or spec.resources.max_concurrent or slots_here(spec)
    foreseen = foresight(spec, _earlier(spec, root))
    counts = _counts(spec, _known(spec, folder))
    document = {**counts, "concurrent": concurrent, "power": foreseen.to_json(), "time": None}
    if not no_measure:
        document["time"] = _measured(spec, folder, concurrent)
    print_json(document) if as_json else _print(spec, document, foreseen)


def slots_here(spec: StudySpec) -> int:
    """How many trials this machine's processors hold."""
    return max(1, (os.cpu_count() or 1) // spec.resources.cpus_per_trial)


def _counts(spec: StudySpec, info: DatasetInfo | None) -> dict[str, Any]:
    search = spec.search
    return {
        "study": spec.name,
        "digest": spec.digest,
        "question": spec.question,
        "arms": [
            {
                "arm": arm.name,
                "tuned": [f"{e.key} in {e.distribution}" for e in arm.space.entries],
                "gradient_evaluations": None if info is None else _gradients(spec, arm, info),
            }
            for arm in spec.arms()
        ],
        "sampler": search.sampler,
        "trials_per_arm": search.trials_per_arm,
        "replicates": search.replicates,
        "trials": spec.trial_count,
    }


def _known(spec: StudySpec, data_dir: Path | None) -> DatasetInfo | None:
    """The data set; how large a user's own file is shows when it is read: None where it cannot be, or does
    not fit the study."""
    from study.check import check_against, info_of
    from study.components.datasets import DATASETS, load_dataset

    held = spec.arms()[0].held
    info = DATASETS[str(held["dataset.name"])]
    if info.load_file is None:
        return info
    try:
        data = load_dataset(info.name, data_dir, str(held["dataset.path"]))
        check_against(spec, data)
        return info_of(data)
    except StudyError:
        return None  # why stands in the place of the time


def _gradients(spec: StudySpec, arm: Arm, info: DatasetInfo) -> int:
    """The most that a trial takes, with everything tuned in the middle of its range."""
    from study.needs import gradient_evaluations

    return gradient_evaluations(example(spec, arm, 0).hyperparameters, info)


def _measured(spec: StudySpec, data_dir: Path | None, concurrent: int) -> dict[str, Any]:
    from study.cores import divide
    from study.planning import measure, selecting_seconds, split_sizes, study_seconds
    from study.running import load_data

    try:
        data = load_data(spec, data_dir)
        examples = [example(spec, arm, 0) for arm in spec.arms()]
        speeds = [measure(spec, arm, each, data) for arm, each in zip(spec.arms(), examples, strict=True)]
        selecting_s = selecting_seconds(spec, examples, data)
    except StudyError as error:
        # The rest of the plan stands without data, and without a trial that always diverges.
        return {"measured": False, "why": one_line(str(error))}
    try:
        division = divide(spec, examples[0], data_dir, os.cpu_count() or 1)
    except StudyError:
        division = None  # what the arms take alone is known all the same
    seconds = study_seconds(spec, speeds, len(data.test_inputs), concurrent, selecting_s)
    crowding = 1.0
    if division and spec.resources.cpus_per_trial == 1 and concurrent > 1:
        crowding = division.crowding(speeds[0].training)
    return {
        "measured": True,
        "arms": {
            s.arm: {
                "training_images_per_second": round(s.training),
                "trial_s": round(s.trial_s, 1 if s.trial_s >= 1 else 3),
                "compiling_s": round(s.compiling_s, 1) or None,
                "diverged": s.diverged or None,
            }
            for s in speeds
        },
        "data": data.name,
        "examples": split_sizes(spec, data),
        "selecting_images_s": round(selecting_s, 1),
        "crowding": round(crowding, 2),
        "threads": division and division.to_json(),
        "study_s": round(seconds * crowding, 1),
    }


def _earlier(spec: StudySpec, root: Path) -> tuple[str, Results] | None:
    """The newest record of the study by name, of whichever profile, that trained the same networks on the
    same data set, with its results: elsewhere replicates differ by more, or by less."""
    from study.record import StudyRecord, folders, last_written, read_results

    for folder in sorted(folders(root, spec.name), key=last_written, reverse=True):
        try:
            record = StudyRecord(folder)
            if _trained(record.spec) == _trained(spec):
                data = spec.arms()[0].held["dataset.name"]
                return f"{record.name}@{record.digest} on {data}", read_results(record.events())
        except (RecordError, StudyFileError):
            continue  # one that cannot be read: the plan stands without it
    return None


def _trained(spec: StudySpec) -> set[tuple[Scalar | None, ...]]:
    """Which networks on which data set, without sizes: a tuple for each kind of arm."""
    keys = ("dataset.name", "dataset.path", "model.name")
    return {tuple(arm.held.get(key) for key in keys) for arm in spec.arms()}


def _print(spec: StudySpec, document: dict[str, Any], foreseen: Foresight) -> None:
    from study.cli.remaining import duration

    search, time = spec.search, document["time"]
    click.echo(f"{spec.name}@{spec.digest}  {spec.question}")
    click.echo(
        f"{len(spec.arms())} arms x ({search.trials_per_arm} {search.sampler} trials + {search.replicates} "
        f"replicates) = {spec.trial_count} trials, {document['concurrent']} at once"
    )
    tuning = spec.tuning_at_once(document["concurrent"])
    if tuning < document["concurrent"]:
        click.echo(f"search.lag = {search.lag}: at most {counted(tuning, 'tuning trial')} at once")
    for arm in document["arms"]:
        measured = (time or {}).get("arms", {}).get(arm["arm"])
        gradients = arm["gradient_evaluations"]
        costs = [duration(measured["trial_s"])] if measured else []
        costs += [] if gradients is None else [f"{gradients:,} gradients"]
        cost = f"{' and '.join(costs)} a trial, " if costs else ""
        click.echo(f"  {arm['arm']}: {cost}tunes {'; '.join(arm['tuned']) or 'nothing'}")
        if measured and measured["compiling_s"]:
            compiling = f"{duration(measured['compiling_s'])} of that compiles (training.compile)"
            click.echo(f"    {compiling}: worth it where it trains several times as long")
        if measured and measured["diverged"]:
            why = f"a warm-up with all in the middle of its range ended {measured['diverged']}"
            click.echo(f"    {why}: optimizer.lr may lie too high")
    if time and time["measured"]:
        from study.planning import told_sizes

        click.echo(f"{time['data']}: {told_sizes(time['examples'])}")
    for line in foresight_lines(foreseen):
        click.echo(one_line(line))
    if time and time["measured"]:
        if time["selecting_images_s"]:
            click.echo(f"selecting images takes {duration(time['selecting_images_s'])} of one slot in all")
        if time["threads"]:
            click.echo(told_threads(time["threads"], spec.resources.cpus_per_trial))
        crowding = f", {time['crowding']:g} times what they take alone" if time["crowding"] > 1 else ""
        click.echo(
            f"about {duration(time['study_s'])} of trials in all, measured on this machine just now"
            f"{crowding}; starting Ray and writing the report come on top, often 20 s"
        )
    elif time:
        click.echo(f"no estimate of time: {time['why']}")


def told_threads(found: dict[str, Any], cpus: int) -> str:
    """What was measured of threads, and what to do where the study has another number."""
    cores, best = found["cores"], found["best_cpus_per_trial"]
    text = (
        f"{cores} trials of one thread at once train {found['ratio']:.2f} times as fast as one of {cores} "
        "threads"
    )
    # Of numbers in between nothing was measured.
    other = (cpus == 1) != (best == 1)
    return f"{text}; resources.cpus_per_trial = {best} would be faster here" if other else text
