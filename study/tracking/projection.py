"""What MLflow should hold of a record: the journal's events, folded into a run for the study, one an arm
and one a trial.

Pure: the same journal always folds into the same runs, so it may be read again from any line. How a
trial ended stands in the tag ``verdict``; MLflow's own status says only whether the training ran:

    RUNNING    handed out, and not heard of its end
    FINISHED   it ended: ok, pruned, diverged or stalled (a divergence is a result, not a failure)
    FAILED     broken code or a broken machine: failed
    KILLED     its process died with it, or the study was stopped; a later session runs it again
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from study.record import Event, StudyRecord
from study.tracking.contents import (
    arm_run,
    counts,
    data_of,
    final_points,
    means,
    result_tags,
    session_tags,
    study_run,
    trial_run,
)
from study.tracking.runs import STUDY, Run, arm_key, is_trial
from study.tracking.words import MAX_TAG, cut, finite, key_name, milliseconds

# Written when nobody feeds MLflow any more, and nothing in it is for MLflow.
SILENT = ("ended",)


class Projection:
    """The runs of one record, by trial id, and which of them changed since they were handed over."""

    def __init__(self, record: StudyRecord) -> None:
        self.record, self.spec = record, record.spec
        self._arms = {arm.name: arm for arm in self.spec.arms()}
        self.runs: dict[str, Run] = {}
        self.changed: dict[str, None] = {}
        self.sessions: list[Event] = []
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._verdicts: dict[str, str] = {}
        self._scores: dict[str, Mapping[str, Any]] = {}  # of the replicates that ended well
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
                self._finish(study, at)
            case "fault":
                study.tags["fault"] = cut(str(event.get("what", "")), MAX_TAG)
                self._change(STUDY)

    def settle(self) -> None:
        """Nobody works on the study any more: what has not ended was killed, when it was last heard of."""
        for key, run in self.runs.items():
            if run.status == "RUNNING":
                run.end("FINISHED" if self._finished and not is_trial(key) else "KILLED", run.seen_ms)
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
            self._scores.pop(trial, None)
            run = self.runs[trial] = trial_run(self.record, self._configs[trial], attempt, at)
        self._arm(self._configs[trial]["arm"], at)
        run.seen_ms = max(run.seen_ms, at)
        self._change(trial)
        return run

    def _arm(self, arm: str, at: int) -> None:
        """The arm's run is there, before those of its trials, and lives as long as they do."""
        key = arm_key(arm)
        run = self.runs.get(key)
        if run is None:
            run = self.runs[key] = arm_run(self.record, self._arms[arm], at)
            self._change(key)
        elif run.status != "RUNNING":
            run.status, run.end_ms = "RUNNING", None
            self._change(key)
        run.seen_ms = max(run.seen_ms, at)

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
        if status == "ok" and self._configs[event["trial"]]["phase"] == "confirm":
            self._scores[event["trial"]] = result.get("metrics", {})
        study.tags["progress"] = f"{len(self._verdicts)} of {self.spec.trial_count} trials"
        self._change(STUDY)

    def _finish(self, study: Run, at: int) -> None:
        """It and its arms are through; told are how their trials ended, and the replicates' means."""
        self._finished = True
        study.points += counts(self._verdicts.values(), at)
        study.end("FINISHED", at)
        self._change(STUDY)
        of_arm: dict[str, list[str]] = {}
        for trial in self._verdicts:
            of_arm.setdefault(self._configs[trial]["arm"], []).append(trial)
        for arm, trials in of_arm.items():
            run = self.runs[arm_key(arm)]
            run.points += counts([self._verdicts[trial] for trial in trials], at)
            run.points += means([self._scores[trial] for trial in trials if trial in self._scores], at)
            run.end("FINISHED", at)
            self._change(arm_key(arm))

    def _change(self, key: str) -> None:
        self.changed[key] = None


def projected(record: StudyRecord, events: Iterable[Event] | None = None) -> Projection:
    """The whole record's runs, none of them handed over."""
    projection = Projection(record)
    for event in record.events() if events is None else events:
        projection.fold(event)
    return projection
