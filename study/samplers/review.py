"""A record's searches as Optuna has them, one study an arm, for its dashboard to show."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from study.record import StudyRecord
from study.samplers.distributions import distribution
from study.space import Distribution, Float, Scalar
from study.spec import Arm
from study.trial import TrialResult


def review(records: Iterable[StudyRecord]) -> InMemoryStorage:
    """The tuned trials that ended, under NAME@DIGEST ARM. A copy for looking at: nothing steers a search.

    What diverged or stalled is PRUNED, as most samplers are told; verdict and reason are user attributes."""
    storage = InMemoryStorage()
    for record in records:
        ended = ended_at(record)
        results = [each for each in record.results().values() if each.config.phase == "tune"]
        for arm in record.spec.arms():
            shown = optuna.create_study(
                storage=storage,
                study_name=f"{record.name}@{record.folder.name} {arm.name}",
                direction=record.spec.objective.direction,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # since Optuna 3.2
                shown.set_metric_names([record.spec.objective.metric])
            shown.set_user_attr("question", record.spec.question)
            of_arm = [result for result in results if result.config.arm == arm.name]
            spaces, metric = searched(arm, of_arm), record.spec.objective.metric
            for result in sorted(of_arm, key=lambda each: each.config.index):
                shown.add_trial(reviewed(result, spaces, metric, ended[result.config.id]))
    return storage


def ended_at(record: StudyRecord) -> dict[str, float]:
    """When each trial ended, in seconds since 1970."""
    return {event["trial"]: event["time"] for event in record.events() if event["event"] == "result"}


def searched(arm: Arm, results: Iterable[TrialResult]) -> dict[str, BaseDistribution]:
    """The arm's ranges; the search for an edge may have gone beyond a range's end."""
    given = [result.config.hyperparameters for result in results]
    return {
        entry.key: distribution(
            widened(entry.distribution, [each[entry.key] for each in given if entry.key in each])
        )
        for entry in arm.space.entries
    }


def widened(space: Distribution, values: Sequence[Scalar]) -> Distribution:
    if not isinstance(space, Float):
        return space
    reached = [float(value) for value in values]
    return replace(space, low=min([space.low, *reached]), high=max([space.high, *reached]))


def reviewed(
    result: TrialResult, spaces: Mapping[str, BaseDistribution], metric: str, ended: float
) -> FrozenTrial:
    """One trial as Optuna has it, with its curve and its times."""
    state = STATES[result.verdict.status]
    given = {key: each for key, each in spaces.items() if key in result.config.hyperparameters}
    told = {"trial": result.config.id, "verdict": result.verdict.status, "reason": result.verdict.reason}
    trial = optuna.trial.create_trial(
        state=state,
        value=result.metrics[metric] if state == TrialState.COMPLETE else None,
        params={key: result.config.hyperparameters[key] for key in given},
        distributions=given,
        user_attrs={name: text for name, text in told.items() if text},
        intermediate_values={
            int(row["epoch"] or 0): float(value)
            for row in result.curve
            if (value := row.get(metric)) is not None
        },
    )
    trial.datetime_start = datetime.fromtimestamp(ended - result.seconds, UTC).replace(tzinfo=None)
    trial.datetime_complete = datetime.fromtimestamp(ended, UTC).replace(tzinfo=None)
    return trial


STATES = {
    "ok": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "stalled": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
