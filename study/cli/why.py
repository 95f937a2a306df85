"""`study why`: what happened to one trial, from the record alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click

from study.cli import completing
from study.cli.options import json_option, out_option, print_json
from study.errors import RecordError, one_line, shorten
from study.record import StudyRecord
from study.registry import nearest
from study.spec import StudySpec
from study.trial import TrialResult


@click.command()
@click.argument("name", metavar="STUDY", shell_complete=completing.records)
@click.argument("trial")
@out_option
@json_option
def why(name: str, trial: str, root: Path, as_json: bool) -> None:
    """Tell what happened to one trial: how it ended, when, by which numbers, and what broke first.

    STUDY means the newest record of that study, STUDY@DIGEST another; TRIAL is ARM/PHASE/NUMBER. Draws
    the trial's loss, gradient norm and each layer's maxima into the record's folder figures.

    \b
    Examples:
      study why cifar10-acts relu/tune/3
      study why cifar10-acts@0123456789ab elu+bn/confirm/0 --out /data/runs
      study why cifar10-acts relu/tune/3 --json | jq .autopsy.firsts
    """
    from study.analysis.why import losses, sparkline

    record = StudyRecord.latest(root, name)
    result = find(record, trial)
    if result is None:
        line = f"{one_line(trial)}: has not ended; see: study status {record.name}"
        print_json({**place(record, trial), "verdict": None, "lines": [line]}) if as_json else click.echo(
            line
        )
        return
    lines = explain(record.spec, result)
    picture = draw(record, result)
    if as_json:
        print_json(document(record, result, lines, picture))
        return
    for line in lines:
        click.echo(line)
    label, values = losses(result)
    if values:
        click.echo(f"{label}: {sparkline(values)}")
    if picture is not None:
        click.echo(str(picture))


def find(record: StudyRecord, trial: str) -> TrialResult | None:
    """The trial's last result, None while it has not ended. RecordError names the nearest trial."""
    asked = record.asked()
    if trial not in asked:
        raise RecordError(f"{record.name} has no trial {shorten(trial)}; {nearest(trial, asked)}")
    return record.results().get(trial)


def explain(spec: StudySpec, result: TrialResult) -> list[str]:
    from study.analysis import why

    return [*why.explain(spec, result), *told(spec, result)]


def told(spec: StudySpec, result: TrialResult) -> list[str]:
    """How the sampler was told of it: found by telling it again, to a search of its own."""
    from study.analysis.outcomes import quantity
    from study.bisection import UNSTABLE
    from study.samplers import ArmSearch

    if result.config.phase == "confirm":
        return ["The sampler was not told: retrainings steer no search."]
    if spec.search.sampler == "bisect":
        known = result.verdict.status != "failed"
        reading = "unstable" if result.verdict.status in UNSTABLE else "stable" if known else "nothing"
        return [f"The search (bisect) reads it as {reading}."]
    worst = result.environment.get("worst", {}).get(quantity(spec.objective.metric))
    if worst is None and result.verdict.status in ("diverged", "stalled"):
        return []
    search = ArmSearch(spec, next(arm for arm in spec.arms() if arm.name == result.config.arm))
    search.ask(0)
    search.tell(replace(result, config=replace(result.config, index=0)), worst or 0.0)
    state, value = search.states()[0]
    number = "" if value is None else f" with {value:.4g}"
    return [f"The sampler ({spec.search.sampler}) was told {state}{number}."]


def draw(record: StudyRecord, result: TrialResult) -> Path | None:
    """The picture's file; None where there is nothing to draw. A folder that cannot be written to costs
    the picture alone, and says so."""
    from study.analysis.figures.drawing import LIGHT, png
    from study.analysis.figures.trial import draw_trial

    drawing = draw_trial(result, LIGHT)
    if drawing is None:
        return None
    name = re.sub(r"[^A-Za-z0-9._+-]", "-", result.config.id)[-200:]
    path = record.folder / "figures" / f"why-{name}.png"
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(drawing.figure))
    except OSError as error:
        click.echo(f"no picture: {one_line(str(path))}: {error.strerror}", err=True)
        return None
    return path


def place(record: StudyRecord, trial: str) -> dict[str, Any]:
    return {"study": record.name, "digest": record.folder.name, "trial": trial}


def document(
    record: StudyRecord, result: TrialResult, lines: list[str], picture: Path | None
) -> dict[str, Any]:
    """What is told, and the facts behind it."""
    data = result.to_json()
    facts = {key: data[key] for key in data if key not in ("config", "curve", "environment")}
    hyperparameters = dict(result.config.hyperparameters)
    return {
        **place(record, result.config.id),
        **facts,
        "hyperparameters": hyperparameters,
        "lines": lines,
        "picture": None if picture is None else str(picture),
    }
