"""`study run`: a whole study, from its file to its report."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import rich_click as click

from study import studyfile
from study.cli.options import (
    Duration,
    check_loaded,
    data_dir_option,
    json_option,
    out_option,
    print_json,
    study_options,
    tracking_uri_option,
)
from study.notifying import hidden, notified
from study.places import default_data_dir


@click.command("run")
@study_options
@out_option
@data_dir_option
@tracking_uri_option()
@click.option(
    "--address", metavar="ADDR", help="A running Ray cluster; `auto` for the one this machine is in."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Short for --set search.seed=N.")
@click.option("--max-concurrent", type=click.IntRange(1), help="At most so many trials at once.")
@click.option("--time-budget", type=Duration(), metavar="30m", help="Start no trial after this long.")
@click.option("--fresh", is_flag=True, help="Start over in a new folder instead of going on.")
@click.option(
    "--notify",
    "target",
    envvar="STUDY_NOTIFY",
    metavar="COMMAND|URL",
    help="A command to run, or a URL to POST to, however the study ends. Also: STUDY_NOTIFY.",
)
@json_option
def run_command(
    name: str,
    profile: str | None,
    overrides: tuple[str, ...],
    root: Path,
    data_dir: Path | None,
    tracking_uri: str | None,
    address: str | None,
    seed: int | None,
    max_concurrent: int | None,
    time_budget: float | None,
    fresh: bool,
    target: str | None,
    as_json: bool,
) -> None:
    """Run a study: tune every arm, confirm its best on fresh seeds, rank, report.

    Whatever stops it, the same command goes on where it was: finished trials are never run again.
    Ctrl-C once stops cleanly, twice at once.

    \b
    Examples:
      study run cifar10-acts --profile demo
      study run cifar10-acts --profile laptop --data-dir ~/data
      study run ./mine.toml --set search.trials_per_arm=4 --time-budget 30m
      study run cifar10-acts --address auto --tracking-uri http://127.0.0.1:5000
      study run cifar10-acts --notify 'notify-send study'
    """
    from study.tuning.session import own_ray

    if seed is not None:
        overrides = (*overrides, f"search.seed={seed}")
    spec = studyfile.load(name, profile, overrides)
    debug = "STUDY_DEBUG" in os.environ
    with ExitStack() as held:
        own = None
        if address is None:
            # It takes seconds, mostly of waiting. The study is checked meanwhile, and its data are read.
            own = held.enter_context(own_ray(spec.resources.at_most(max_concurrent), debug))
        check_loaded(spec, name, profile, overrides)
        from study.cli.progress import progress

        held.enter_context(notified(target, spec, root, complain))
        shown = held.enter_context(progress(spec))
        from study.report import print_ranking, summary
        from study.running import Options, run_study

        options = Options(
            root=root,
            data_dir=default_data_dir(data_dir),
            tracking_uri=tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"),
            address=address,
            max_concurrent=max_concurrent,
            time_budget_s=time_budget,
            fresh=fresh,
            debug=debug,
            command=hidden(sys.argv),
        )
        outcome = run_study(spec, options, own=own, say=shown.say, watch=shown.watch)
    if as_json:
        print_json(summary(outcome.record))
    else:
        print_ranking(outcome.record)


def complain(line: str) -> None:
    click.echo(line, err=True)
