"""Whether MLflow holds what the record says, no more and no less."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from study.record import StudyRecord, is_running
from study.tracking import outbox
from study.tracking.projection import projected
from study.tracking.runs import STUDY, Run, is_trial
from study.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


def differences(record: StudyRecord, uri: str) -> list[str]:
    """What in the store at ``uri`` differs from the record, one line each: runs, statuses, times, tags,
    parameters and points. Empty where it is the same. Changes nothing there; one request for each
    curve. Raises TrackingError where the store cannot be reached.
    """
    if not outbox.identity(record):
        return []
    expected = projected(record)
    if not is_running(record):
        expected.settle()
    store = Store(record, uri, look_only=True)
    found = store.found()
    lines = [f"{title(key)}: has no run in MLflow" for key in expected.runs if key not in found]
    for key, runs in found.items():
        if key not in expected.runs:
            lines.append(f"{title(key)}: is in MLflow, but not in the record")
        elif len(runs) > 1:
            lines.append(f"{title(key)}: has {len(runs)} runs in MLflow")
        else:
            run = expected.runs[key]
            if not is_trial(key):
                # A newer version of ours may have settings that were not there when it was written.
                run.params = {name: run.params[name] for name in runs[0].data.params if name in run.params}
            lines += [f"{title(key)}: {line}" for line in unlike(run, runs[0], store)]
    return lines


def title(key: str) -> str:
    """A run's name for people."""
    if key == STUDY:
        return "the study"
    return key if is_trial(key) else f"the arm {key.removesuffix('/')}"


def unlike(run: Run, there: MlflowRun, store: Store) -> list[str]:
    """How one run in MLflow differs from what the record says."""
    facts = {
        "name": (run.name, there.info.run_name),
        "status": (run.status, there.info.status),
        "start": (run.start_ms, there.info.start_time),
        **({} if run.end_ms is None else {"end": (run.end_ms, there.info.end_time)}),
        **{f"tag {name}": (text, there.data.tags.get(name)) for name, text in run.tags.items() if told(name)},
        **{f"parameter {name}": (text, there.data.params.get(name)) for name, text in run.params.items()},
    }
    lines = [f"{what} is {there!r}, not {here!r}" for what, (here, there) in facts.items() if here != there]
    lines += [f"parameter {name} is not the record's" for name in there.data.params if name not in run.params]
    here, stored = Counter(run.points), Counter(store.points(there))
    lines += [f"lacks the point {point}" for point in here - stored]
    return lines + [f"has the point {point}, which is not the record's" for point in stored - here]


def told(tag: str) -> bool:
    """Whether a tag says a fact; MLflow's own are descriptions, for people."""
    return not tag.startswith("mlflow.")


def left_running(record: StudyRecord, uri: str) -> list[str]:
    """The trials (and ``the study``) that MLflow shows as running, whether anybody runs them or not.
    Raises TrackingError where the store cannot be reached.
    """
    found = Store(record, uri, look_only=True).found()
    return [title(key) for key, runs in found.items() if any(run.info.status == "RUNNING" for run in runs)]
