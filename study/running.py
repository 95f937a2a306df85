"""A whole study: data, record, trials, tracking, report. What `study run` does."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from study.analysis.wording import counted, counted_are
from study.check import check_against, worst_value
from study.choosing import restricted
from study.components.datasets import DATASETS, LoadedData, load_dataset
from study.components.losses import chosen_loss
from study.components.metrics import metric
from study.conductor import Conductor
from study.environment import environment
from study.errors import DataError, StudyInterrupted, StudyUnfinished
from study.planning import split_sizes, told_sizes
from study.record import JournalWriter, StudyRecord
from study.serial import Train, one_by_one
from study.spec import StudySpec
from study.trial import TrialResult

if TYPE_CHECKING:
    from study.report import ReportFiles
    from study.tuning.head import Head


@dataclass(frozen=True)
class Options:
    """How and where a study runs; none of it changes its numbers, but for a ``train`` of one's own, by
    which trials run one after the other in this process."""

    root: Path
    data_dir: Path | None = None
    tracking_uri: str | None = None
    address: str | None = None
    max_concurrent: int | None = None
    time_budget_s: float | None = None
    fresh: bool = False
    debug: bool = False
    train: Train | None = None
    command: Sequence[str] = field(default_factory=lambda: tuple(sys.argv))


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    record: StudyRecord
    files: ReportFiles
    missing: int
    failed: tuple[TrialResult, ...]
    pending_tracking: int


Watch = Callable[[Conductor], None]
Say = Callable[[str], None]


def run_study(
    spec: StudySpec,
    options: Options,
    *,
    own: Head | None = None,
    say: Say = lambda line: None,
    watch: Watch = lambda conductor: None,
) -> Outcome:
    """Run what is missing of a (checked) study, then write its report.

    ``own`` is a private Ray that has been told to start already; ``say`` is given lines for people, ``watch``
    the conductor whenever something has happened. Raises StudyError before any trial where data, folder or
    store are not usable; StudyInterrupted and StudyUnfinished after what finished was kept and reported.
    """
    from study import tracking
    from study.report import write_report

    data = load_data(spec, options.data_dir)
    uri = options.tracking_uri or tracking.default_tracking_uri(options.root)
    if warning := tracking.check(uri):
        say(f"MLflow   {warning}")
    record = StudyRecord.create(options.root, spec, options.fresh)
    say(f"record   {record.folder}")
    sizes = told_sizes(split_sizes(spec, data))
    say(f"data     {data.name}{' (a part)' if data.part else ''}, {data.origin}: {sizes}")
    with JournalWriter(record) as journal:
        refuse_other_data(record, data)
        record.take_resources(spec)
        if record.spec.criterion != spec.criterion:
            say("claims   differ in the file; the record keeps those it began with, --fresh takes the new")
        facts = environment() | {
            "data": {"name": data.name, "fingerprint": data.fingerprint, "part": data.part},
        }
        if not DATASETS[data.name].classes:  # or else its name says it
            facts["worst_objective"] = worst_objective(spec, data)
        journal.session(facts, list(options.command))
        with tracking.Feeder(record, uri, wait=True) as feeder:
            if options.address is None:  # Ray's workers still start; later the trials have this machine
                feeder.load()

            def watching(conductor: Conductor) -> None:
                if not feeder.begun and conductor.under_way:  # only now has the driver time
                    feeder.begin()
                watch(conductor)

            conductor = run_trials(record, journal, data, options, own, say=say, watch=watching)
            if conductor.complete and not record.finished:
                journal.finished()
            files = write_report(record)
            journal.ended(_why_cut_short(conductor))
        pending = feeder.pending
    if pending:
        say(f"MLflow   {pending} records pending; send them later with: study sync {record.name}")
    elif record.finished and spec.resources.models:
        say_logged(record, uri, data, say)
    failed = tuple(each for each in conductor.done.values() if each.verdict.status == "failed")
    outcome = Outcome(record, files, conductor.missing(), failed, pending)
    raise_if_cut_short(conductor, outcome)
    return outcome


def run_trials(
    record: StudyRecord,
    journal: JournalWriter,
    data: LoadedData,
    options: Options,
    own: Head | None,
    *,
    say: Say,
    watch: Watch,
) -> Conductor:
    """Hand out the record's missing trials, to Ray or to ``options.train``, until none is missing or
    somebody says stop."""
    spec = record.spec
    worst = worst_objective(spec, data)
    budget = options.time_budget_s
    deadline = None if budget is None else time.monotonic() + budget
    conductor = Conductor(record, journal, worst=worst, deadline=deadline, watch=watch)
    if conductor.done:
        say(f"resuming {counted_are(len(conductor.done), 'trial')} done, {conductor.missing()} missing")
    if not conductor.missing():
        if own:
            own.cancel()
        return conductor
    if options.train is not None:
        with stop_signals(conductor, say):
            one_by_one(conductor, data, options.train)
        return conductor
    from study.tuning.session import ray_session

    say(f"Ray      {'starts' if options.address is None else f'is joined at {options.address}'}")
    resources = spec.resources.at_most(options.max_concurrent)
    session = ray_session(options.address, resources, options.debug, own)
    with session as there, stop_signals(conductor, say):
        from study.best import best_weights
        from study.metering import cluster_gpu, give_shares
        from study.tuning.attempt import Keeping
        from study.tuning.spread import spread

        slots = give_shares(conductor, record, there, cluster_gpu(data, there), say)
        say(
            f"running  {counted(slots.concurrent, 'trial')} at once, {counted(slots.cpus, 'CPU')} and "
            f"{_gpus(conductor)} each"
        )
        conductor.concurrent, conductor.ahead = slots.concurrent, slots.ahead
        record.checkpoints.mkdir(exist_ok=True)
        keeping = Keeping(
            record.checkpoints.resolve(),
            resources.checkpoint_s,
            resources.system_metrics,
            best_weights(record) if resources.models else None,
        )
        spread(conductor, data, slots, keeping)
    for trial, what in sorted(conductor.faults):
        say(f"fault    {what}" if trial in what else f"fault    {trial}: {what}")
    return conductor


def say_logged(record: StudyRecord, uri: str, data: LoadedData, say: Say) -> None:
    """Log the network of each arm's best replicate, and say so."""
    from study.best import log_networks

    again = "to try once more, run the same command again"
    for each in log_networks(record, uri, data):
        what = f"not logged: {each.trouble}; {again}" if each.trouble else f"{each.trial} is logged"
        say(f"model    {each.arm}: {what}")


def _gpus(conductor: Conductor) -> str:
    """``0.25 GPUs``, or ``0.25 to 1 GPUs`` where arms have different shares."""
    shares = sorted(set(conductor.shares.of_arm.values()))
    text = " to ".join(f"{share:g}" for share in dict.fromkeys((shares[0], shares[-1])))
    return f"{text} GPU{'' if text == '1' else 's'}"


def load_data(spec: StudySpec, data_dir: Path | None) -> LoadedData:
    """The study's data set, with the classes that it is about; it must be one, and a user's own file must
    fit the study."""
    held = [arm.held for arm in spec.arms()]
    names = {str(each["dataset.name"]) for each in held}
    if len(names) > 1:
        raise DataError(f"{spec.name}: dataset.name: a study compares on one data set, not {sorted(names)}")
    data = load_dataset(names.pop(), data_dir, str(held[0].get("dataset.path", "")))
    if DATASETS[data.name].load_file:
        check_against(spec, data)
    return restricted(data, spec.held)


def worst_objective(spec: StudySpec, data: LoadedData) -> float:
    """The objective's value for a trial that learned nothing: on balanced classes or, in regression, on the
    numbers that are trained on. DataError where the objective is not defined on them."""
    name, held = spec.objective.metric, spec.arms()[0].held
    entry = metric(name)[1]
    targets = data.of_trial(held, spec.search.seed).train_targets
    if data.task == "classification":
        worst = worst_value(name, range(len(data.classes)))
    else:
        loss, arguments = chosen_loss(held, data.task)
        if entry.name == "loss":
            return loss.best_constant(targets, **arguments)
        worst = worst_value(name, targets, loss.levels(**arguments) if entry.of_levels else ())
    if worst is None:
        raise DataError(
            f"{data.name} cannot be judged by {name} (objective.metric): {entry.undefined}; judge by another"
        )
    return worst


def refuse_other_data(record: StudyRecord, data: LoadedData) -> None:
    """Two data sets never mix in one ranking."""
    for session in record.sessions():
        before = session["environment"]["data"]["fingerprint"]
        if before != data.fingerprint:
            raise DataError(
                f"{data.origin}: differs from the data this study began with (fingerprint "
                f"{data.fingerprint[:12]}, not {before[:12]}); bring that back, or start over with --fresh"
            )


@contextmanager
def stop_signals(conductor: Conductor, say: Say) -> Iterator[None]:
    """Ctrl-C or SIGTERM once: stop cleanly, at the next report. Twice: at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if conductor.stop_requested:
            os._exit(130)
        conductor.stop_requested = True
        say("stopping at the next report of the running trials; once more stops at once")

    kept = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _why_cut_short(conductor: Conductor) -> str | None:
    """For the record: why the session ends before the study is complete."""
    if conductor.broken:
        return f"{len(conductor.failures)} trials in a row failed"
    if conductor.sampler_failure:
        return "the sampler failed"
    if conductor.stop_requested:
        return "interrupted"
    return "the time budget is used up" if conductor.out_of_time else None


def raise_if_cut_short(conductor: Conductor, outcome: Outcome) -> None:
    record = outcome.record
    missing = f"{counted_are(outcome.missing, 'trial')} missing"
    again = "run the same command again to go on"
    if conductor.broken:
        last = conductor.failures[-1]
        told = (
            last.error if last.verdict.kind == "crash" else f"see: study why {record.name} {last.config.id}"
        )
        raise StudyUnfinished(
            f"{len(conductor.failures)} trials in a row failed ({last.verdict.reason}); stopped\n{told}"
        )
    if conductor.sampler_failure:
        raise StudyUnfinished(
            f"the sampler {outcome.record.spec.search.sampler} failed ({conductor.sampler_failure}); what "
            f"was running has ended and is kept; {missing}; {again}"
        )
    if conductor.stop_requested:
        raise StudyInterrupted(f"interrupted; {missing}; {again}")
    if conductor.out_of_time:
        raise StudyInterrupted(f"the time budget is used up; {missing}; {again}")
    if outcome.failed or outcome.missing:
        raise StudyUnfinished(f"{counted(len(outcome.failed), 'trial')} failed; {again}")
