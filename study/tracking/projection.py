"""What MLflow should hold of a record: the journal's events, folded into a run for the study and one a trial.

Pure: the same journal always folds into the same runs, so it may be read again from any line. How a
trial ended stands in the tag ``verdict``; MLflow's own status says only whether the training ran:

    RUNNING    handed out, and not heard of its end
    FINISHED   it ended: ok, pruned, diverged or stalled (a divergence is a result, not a failure)
    FAILED     broken code or a broken machine: failed
    KILLED     its process died with it, or the study was stopped; a later session runs it again
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study.record import Event, StudyRecord
from study.space import Distribution
from study.spec import StudySpec
from study.tracking.words import (
    MAX_NOTE,
    MAX_TAG,
    cut,
    finite,
    flat,
    key_name,
    long_tag,
    milliseconds,
    parameters,
    plain,
)
from study.trial import STATUSES

# The study's own run stands among the trials' under this name.
STUDY = ""

# Written when nobody feeds MLflow any more, and nothing in it is for MLflow.
SILENT = ("ended",)

# (metric, value, milliseconds since 1970, step)
Point = tuple[str, float, int, int]


@dataclass(frozen=True)
class DataSet:
    """What a study trains on: MLflow's data set, known by its fingerprint. ``part``: of the published one."""

    name: str
    fingerprint: str
    part: bool


@dataclass
class Run:
    """One MLflow run. ``tags``, ``params``, ``points`` and ``data`` are those not handed over yet."""

    name: str
    attempt: int
    start_ms: int
    seen_ms: int
    status: str = "RUNNING"
    end_ms: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    data: DataSet | None = None

    def end(self, status: str, end_ms: int) -> None:
        self.status, self.end_ms = status, end_ms

    def told(self, points: int, params: Container[str], tags: Container[str]) -> None:
        """So many of the first points, and these parameters and tags, were handed over."""
        del self.points[:points]
        self.params = {key: value for key, value in self.params.items() if key not in params}
        self.tags = {key: value for key, value in self.tags.items() if key not in tags}


class Projection:
    """The runs of one record, by trial id, and which of them changed since they were handed over."""

    def __init__(self, record: StudyRecord) -> None:
        self.record, self.spec = record, record.spec
        self.runs: dict[str, Run] = {}
        self.changed: dict[str, None] = {}
        self.sessions: list[Event] = []
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._verdicts: dict[str, str] = {}
        self._finished = False

    def fold(self, event: Event) -> None:
        """Take in the journal's next event; one of a kind that is not known changes nothing."""
        if event["event"] in SILENT:
            return
        at = milliseconds(event["time"])
        if STUDY not in self.runs:
            self.runs[STUDY] = study_run(self.record, at)
            self._change(STUDY)
        study = self.runs[STUDY]
        study.seen_ms = max(study.seen_ms, at)
        match event["event"]:
            case "session":
                self._session(event, study)
            case "asked":
                self._configs[event["trial"]] = event["config"]
            case "started":
                self._run(event, at)
            case "epoch":
                self._epoch(event, at)
            case "result":
                self._result(event, at, study)
            case "finished":
                self._finished = True
                study.end("FINISHED", at)
                study.points += self._counts(at)
                self._change(STUDY)
            case "fault":
                study.tags["fault"] = cut(str(event.get("what", "")), MAX_TAG)
                self._change(STUDY)

    def settle(self) -> None:
        """Nobody works on the study any more: what has not ended was killed, when it was last heard of."""
        for key, run in self.runs.items():
            if run.status == "RUNNING":
                run.end("FINISHED" if key == STUDY and self._finished else "KILLED", run.seen_ms)
                self._change(key)

    def handed_over(self, key: str | None = None) -> None:
        """A run's news (or everybody's) have reached MLflow."""
        for each in list(self.changed) if key is None else [key]:
            run = self.runs[each]
            run.tags, run.params, run.points, run.data = {}, {}, [], None
            del self.changed[each]

    # -- events ------------------------------------------------------------------------------------

    def _session(self, event: Event, study: Run) -> None:
        """The study was started: trials of earlier sessions that have not ended will be run again."""
        self.settle()
        study.status, study.end_ms = "RUNNING", None
        study.tags |= session_tags(event)
        study.data = data_of(event)
        self.sessions.append(event)
        self._change(STUDY)

    def _run(self, event: Event, at: int) -> Run | None:
        """The run of the event's attempt; a new attempt takes the place of the one before, and of an
        attempt that was given up nothing is kept."""
        trial, attempt = event["trial"], event["attempt"]
        run = self.runs.get(trial)
        if run is not None and run.attempt > attempt:
            return None
        if run is None or run.attempt < attempt:
            self._verdicts.pop(trial, None)
            run = self.runs[trial] = trial_run(self.record, self._configs[trial], attempt, at)
        run.seen_ms = max(run.seen_ms, at)
        self._change(trial)
        return run

    def _epoch(self, event: Event, at: int) -> None:
        run, row = self._run(event, at), event["row"]
        if run is None:
            return
        when = milliseconds(row["time"]) if finite(row.get("time")) else at
        run.epoch = int(row["epoch"])
        for metric, value in row.items():
            if metric not in ("epoch", "time") and finite(value):
                run.points.append((key_name(metric), float(value), when, run.epoch))
                run.last[metric] = float(value)

    def _result(self, event: Event, at: int, study: Run) -> None:
        result = event["result"]
        run = self._run(event, at - milliseconds(result.get("seconds", 0.0)))
        if run is None:
            return
        status = result["verdict"]["status"]
        run.end("FAILED" if status == "failed" else "FINISHED", at)
        run.tags |= result_tags(result)
        run.points += final_points(run, result, at)
        run.last = {}
        self._verdicts[event["trial"]] = status
        study.tags["progress"] = f"{len(self._verdicts)} of {self.spec.trial_count} trials"
        self._change(STUDY)

    def _counts(self, at: int) -> list[Point]:
        ended = list(self._verdicts.values())
        return [(f"trials.{status}", float(ended.count(status)), at, 0) for status in STATUSES]

    def _change(self, key: str) -> None:
        self.changed[key] = None


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
        params=parameters(spec.held | compared | tuned(spec) | search),
    )


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
    return Run(trial, attempt, at, at, tags=tags, params=parameters(config["hyperparameters"]))


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


def tuned(spec: StudySpec) -> dict[str, str]:
    """What the arms tune, as text by key: ``tuned: 0.0001 to 0.1 (log)``."""
    entries = {entry.key: entry.distribution for arm in spec.arms() for entry in arm.space.entries}
    return {key: range_text(distribution) for key, distribution in entries.items()}


def range_text(distribution: Distribution) -> str:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return f"tuned: {', '.join(map(plain, choices))}"
    low, high = distribution.ends
    return f"tuned: {plain(low)} to {plain(high)}{' (log)' if getattr(distribution, 'log', False) else ''}"


def projected(record: StudyRecord, events: Iterable[Event] | None = None) -> Projection:
    """The whole record's runs, none of them handed over."""
    projection = Projection(record)
    for event in record.events() if events is None else events:
        projection.fold(event)
    return projection
