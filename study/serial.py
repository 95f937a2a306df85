"""Trials one after the other in this process, by whatever code trains them: no Ray, and a debugger works."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from study.components.datasets import LoadedData
from study.training import seen, worst_values
from study.trial import Row, TrialConfig, TrialResult
from study.tuning.attempt import TrialSource, failure

Train = Callable[[TrialConfig, LoadedData, Callable[[Row], None]], TrialResult]
"""(config, data, report) -> what came of the trial; ``report`` is to be called with each epoch's row."""


class Stopped(Exception):
    """Raised by ``report`` out of a training that is to go no further: it was stopped early, or the study
    is. To be let through."""


def one_by_one(source: TrialSource, data: LoadedData, train: Train) -> None:
    """Run the source's trials until it has none left. An exception is the trial's result, a failed one."""
    while (config := source.next_trial()) is not None:
        token = uuid.uuid4().hex
        source.started(config, token)
        try:
            result = train(config, data, _reporter(source, config, token))
        except Stopped:
            continue
        except Exception as error:  # noqa: BLE001 -- whatever the training raised is its result
            result = failure(config, "crash", error)
        source.ended(_noted(result, config, data).with_curve(()), token)


def _reporter(source: TrialSource, config: TrialConfig, token: str) -> Callable[[Row], None]:
    def report(row: Row) -> None:
        if source.reported(config, token, row) or source.stopping():
            raise Stopped

    return report


def _noted(result: TrialResult, config: TrialConfig, data: LoadedData) -> TrialResult:
    """The result as its own trial's, with what the analysis asks of it: on what data, and what chance
    scores there."""
    facts = {**seen(data), "worst": worst_values(config, data)}
    return replace(result, config=config, environment={**facts, **result.environment})
