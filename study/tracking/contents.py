"""What the runs in MLflow are called and carry: parameters, tags, metrics and notes, out of the record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from study.record import Event, StudyRecord
from study.space import Distribution
from study.spec import Arm
from study.tracking.runs import STUDY, DataSet, Point, Run, arm_key
from study.tracking.words import (
    MAX_NOTE,
    MAX_TAG,
    cut,
    finite,
    flat,
    key_name,
    long_tag,
    parameters,
    plain,
)
from study.trial import STATUSES

# -- what a run is called and carries ----------------------------------------------------------------


def full_name(record: StudyRecord) -> str:
    """NAME@DIGEST; ``-2`` and so on behind it where the study was started afresh."""
    return f"{record.name}@{record.folder.name}"


def study_run(record: StudyRecord, at: int) -> Run:
    """The study's own run: what is compared, tuned and held."""
    spec = record.spec
    tags = common_tags(record) | {
        "phase": "study",
        "question": cut(spec.question, MAX_TAG),
        "criterion": spec.criterion,
        "objective": f"{spec.objective.direction} {spec.objective.metric}",
        "arms": cut(", ".join(arm.name for arm in spec.arms()), MAX_TAG),
        "progress": f"0 of {spec.trial_count} trials",
    }
    search = {f"search.{name}": value for name, value in spec.search.model_dump(mode="json").items()}
    compared = {key: ", ".join(map(plain, values)) for key, values in spec.compared.items()}
    return Run(
        full_name(record),
        1,
        at,
        at,
        tags=tags,
        params=parameters(spec.held | compared | tuned(spec.arms()) | search),
    )


def arm_run(record: StudyRecord, arm: Arm, at: int) -> Run:
    """An arm's run: what it holds, and what it tunes."""
    tags = common_tags(record) | {"phase": "arm", "arm": arm.name, "mlflow.note.content": ARM_NOTE}
    return Run(arm.name, 1, at, at, tags=tags, params=parameters({**arm.held, **tuned([arm])}), parent=STUDY)


def trial_run(record: StudyRecord, config: Mapping[str, Any], attempt: int, at: int) -> Run:
    """A trial's run, as it begins."""
    trial = f"{config['arm']}/{config['phase']}/{config['index']}"
    tags = common_tags(record) | {
        "arm": config["arm"],
        "phase": config["phase"],
        "trial": trial,
        "attempt": str(attempt),
        "seed": str(config["seed"]),
        "split_seed": str(config["split_seed"]),
    }
    tags |= long_tag("study.config", json.dumps(config, sort_keys=True))
    params = parameters(config["hyperparameters"])
    return Run(trial, attempt, at, at, tags=tags, params=params, parent=arm_key(config["arm"]))


def common_tags(record: StudyRecord) -> dict[str, str]:
    return {"study": record.name, "digest": record.digest, "mlflow.source.name": f"study run {record.name}"}


def session_tags(event: Event) -> dict[str, str]:
    """Who started the study, and where: the command, the code's commit, the machine."""
    facts, tags = event.get("environment") or {}, {}
    if event.get("command"):
        program, *arguments = event["command"]
        tags["command"] = cut(shlex.join([Path(program).name, *arguments]), MAX_TAG)
    if (facts.get("git") or {}).get("commit"):
        tags["mlflow.source.git.commit"] = str(facts["git"]["commit"])
    told = {name: value for name, value in facts.items() if not isinstance(value, Mapping)}
    shown = flat(told | {"data": facts.get("data") or {}})
    return tags | {
        f"environment.{key_name(name)}": cut(plain(value), MAX_TAG) for name, value in shown.items()
    }


def data_of(event: Event) -> DataSet | None:
    """The data that the study was started on; None where an older version of ours did not say."""
    found = (event.get("environment") or {}).get("data") or {}
    if not found.get("fingerprint"):
        return None
    return DataSet(str(found.get("name", "")), str(found["fingerprint"]), bool(found.get("part")))


def result_tags(result: Mapping[str, Any]) -> dict[str, str]:
    """How it ended, for people (one tag a fact) and for machines (the whole result)."""
    verdict = result["verdict"]
    tags = {"verdict": verdict["status"]}
    for name in ("kind", "reason", "epoch", "step"):
        if verdict.get(name) not in (None, ""):
            tags[f"verdict.{name}"] = cut(str(verdict[name]), MAX_TAG)
    if verdict["status"] != "ok" and (verdict.get("reason") or result.get("error")):
        tags["mlflow.note.content"] = trial_note(result)
    return tags | long_tag("study.result", json.dumps(result, sort_keys=True))


def final_points(run: Run, result: Mapping[str, Any], at: int) -> list[Point]:
    """The metrics known at the end. Those with a curve stand at its last epoch, and only where they
    differ from what stands there; the others, such as the test split's, belong to no epoch: step 0."""
    final = {**result.get("metrics", {}), "gradient_evaluations": result.get("gradient_evaluations")}
    return [
        (key_name(metric), float(value), at, run.epoch if metric in run.last else 0)
        for metric, value in final.items()
        if finite(value) and run.last.get(metric) != float(value)
    ]


def counts(verdicts: Iterable[str], at: int) -> list[Point]:
    """How many trials ended how."""
    ended = list(verdicts)
    return [(f"trials.{status}", float(ended.count(status)), at, 0) for status in STATUSES]


def means(scores: Sequence[Mapping[str, Any]], at: int) -> list[Point]:
    """Each metric's mean over the replicates that ended well and have it."""
    names = dict.fromkeys(name for each in scores for name in each)
    values = {name: [float(each[name]) for each in scores if finite(each.get(name))] for name in names}
    return [(key_name(f"mean.{name}"), fmean(found), at, 0) for name, found in values.items() if found]


# -- texts -------------------------------------------------------------------------------------------


def trial_note(result: Mapping[str, Any]) -> str:
    """The description of a trial that did not end well: why, and the traceback where there is one."""
    verdict = result["verdict"]
    kind = f" ({verdict['kind']})" if verdict.get("kind") else ""
    text = f"**{verdict['status']}{kind}** {verdict.get('reason', '')}"
    if result.get("error"):
        tail = str(result["error"])[-MAX_NOTE // 2 :].replace("```", "'''")
        text += f"\n\n```\n{tail}\n```"
    return cut(text, MAX_NOTE)


def tuned(arms: Iterable[Arm]) -> dict[str, str]:
    """What the arms tune, as text by key: ``tuned: 0.0001 to 0.1 (log)``."""
    entries = {entry.key: entry.distribution for arm in arms for entry in arm.space.entries}
    return {key: range_text(distribution) for key, distribution in entries.items()}


def range_text(distribution: Distribution) -> str:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return f"tuned: {', '.join(map(plain, choices))}"
    low, high = distribution.ends
    return f"tuned: {plain(low)} to {plain(high)}{' (log)' if getattr(distribution, 'log', False) else ''}"


ARM_NOTE = """\
What is compared: its trials stand under it. The metrics `mean.*` are the means of its replicates that ended \
well; the report says how sure they are, and counts the others."""
