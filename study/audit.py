"""The audit: whether a study's record keeps its promises, judged from the record and from MLflow alone.

I1  every trial that was asked for ends exactly once, and their number is the plan's
I2  an attempt's epochs are there from the first to the last, each once
I3  the samplers, made anew from the record, hold exactly its trials and values
I4  MLflow holds what the record says
I5  arms share their seeds, and what is confirmed is what tuning found best
I6  nothing is left behind: files of trials that ended, runs that nobody carries on
I7  a trial that was cut short goes on from its last checkpoint
I8  what went wrong can be seen in the record
"""

from __future__ import annotations

from collections.abc import Iterator

from study import tracking
from study.analysis.outcomes import quantity
from study.analysis.wording import counted_are
from study.arm_progress import ArmProgress
from study.check import worst_value
from study.components.datasets import DATASETS
from study.components.datasets.classes import chosen_classes
from study.conductor import Conductor
from study.errors import RecordError, StudyError, TrackingError, one_line
from study.ledger import Ledger, Violation
from study.record import FROM_THE_START, JournalWriter, StudyRecord, checkpoint_folder, is_running
from study.trial import PHASES


def audit(record: StudyRecord, tracking_uri: str | None = None) -> list[Violation]:
    """What breaks the promises above; empty where all are kept. Changes nothing.

    A study that is running, or was cut short, is judged by what it has done so far. MLflow is asked
    only where its ``tracking_uri`` is given.
    """
    ledger = Ledger()
    try:
        for event in record.events():
            ledger.take(event)
    except RecordError as error:
        return [Violation("I2", str(error))]
    found = ledger.violations + [
        violation
        for rule in (_numbered, _whole, _seeds, _one_data_set, _work_lost, _silent)
        for violation in rule(ledger)
    ]
    found += _of_no_arm(record, ledger)
    if not any(violation.invariant in ("I1", "I2") for violation in found):
        found += _made_anew(record, ledger)
    found += _left_behind(record, ledger)
    if tracking_uri is not None:
        found += _mlflow(record, tracking_uri)
    return sorted(found, key=lambda violation: violation.invariant)


def remarks(record: StudyRecord, tracking_uri: str | None) -> list[str]:
    """What breaks no promise, and is worth a line all the same. A report that was written again has new
    files; they say nothing that the journal does not."""
    if tracking_uri is None or is_running(record) or tracking.pending_events(record, tracking_uri):
        return []
    newer = tracking.pending(record, tracking_uri)
    brought = f"newer than what MLflow has; to bring what is new: study sync {record.name}"
    return [f"of the report's files {newer} {'is' if newer == 1 else 'are'} {brought}"] if newer else []


# -- what the accounts must add up to ----------------------------------------------------------------


def _of_no_arm(record: StudyRecord, ledger: Ledger) -> Iterator[Violation]:
    known = {arm.name for arm in record.spec.arms()}
    for trial, account in ledger.accounts.items():
        if account.config.arm not in known:
            yield Violation("I1", "is of an arm that the study does not have", trial)


def _numbered(ledger: Ledger) -> Iterator[Violation]:
    """In every arm and phase the trials are numbered from 0 without a gap."""
    numbers: dict[tuple[str, str], set[int]] = {}
    for account in ledger.accounts.values():
        config = account.config
        numbers.setdefault((config.arm, config.phase), set()).add(config.index)
    for (arm, phase), found in numbers.items():
        if found != set(range(len(found))):
            yield Violation("I1", f"{arm}: the trials to {phase} are numbered with a gap: {sorted(found)}")


def _whole(ledger: Ledger) -> Iterator[Violation]:
    """A trial that ended well has every epoch, and its final metrics are its last epoch's."""
    for trial, account in ledger.accounts.items():
        attempt = account.attempts[-1] if account.attempts else None
        if attempt is None or attempt.result is None or attempt.result["verdict"]["status"] != "ok":
            continue
        epochs = account.config.hyperparameters.get("training.epochs", len(attempt.rows))
        if len(attempt.rows) != epochs:
            yield Violation("I2", f"ended ok with {len(attempt.rows)} epochs of {epochs}", trial)
        metrics, last = attempt.result.get("metrics", {}), attempt.rows[-1] if attempt.rows else {}
        for name in sorted(metrics.keys() & last.keys()):
            if metrics[name] != last[name]:
                yield Violation("I2", f"{name} is {metrics[name]}, and {last[name]} in its last epoch", trial)


def _seeds(ledger: Ledger) -> Iterator[Violation]:
    """Arms are compared in pairs: the same seeds for the same phase and index, others for another."""
    seeds: dict[tuple[str, int], tuple[int, int]] = {}
    owners: dict[tuple[str, int], int] = {}
    for trial, account in ledger.accounts.items():
        config = account.config
        mine = (config.seed, config.split_seed)
        if seeds.setdefault((config.phase, config.index), mine) != mine:
            yield Violation("I5", "has other seeds than the other arms' trials of its number", trial)
        elif owners.setdefault((config.phase, config.seed), config.index) != config.index:
            yield Violation("I5", "has the seed of a trial of another number", trial)


def _one_data_set(ledger: Ledger) -> Iterator[Violation]:
    """What is ranked together was trained on the same images."""
    first: dict[str, str] = {}
    for trial, account in ledger.accounts.items():
        for attempt in account.attempts:
            data = ((attempt.result or {}).get("environment") or {}).get("data")
            if data and data != first.setdefault("", data):
                yield Violation("I5", "was trained on other data than the first trial that ended", trial)


def _work_lost(ledger: Ledger) -> Iterator[Violation]:
    """An attempt goes on from the last checkpoint before it, unless a fault says why it cannot."""
    for trial, account in ledger.accounts.items():
        saved = 0
        for attempt in account.attempts:
            if attempt.resumed < saved and trial not in ledger.faults:
                yield Violation(
                    "I7",
                    f"attempt {attempt.number} went on from epoch {attempt.resumed}, and a checkpoint of "
                    f"epoch {saved} was written",
                    trial,
                )
            saved = max(saved, attempt.saved, attempt.resumed)
            if attempt.result is not None and attempt.result["verdict"].get("kind") in FROM_THE_START:
                saved = 0


def _silent(ledger: Ledger) -> Iterator[Violation]:
    for number in ledger.silent:
        yield Violation("I8", f"session {number} ended without a word, and nothing says so")


# -- what can be made anew from the record -----------------------------------------------------------


def _made_anew(record: StudyRecord, ledger: Ledger) -> Iterator[Violation]:
    """Replay the record as a driver would that takes the study up again."""
    try:
        conductor = Conductor(record, JournalWriter(record), worst=_worst(record, ledger))
    except (StudyError, LookupError, ValueError, TypeError) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        yield Violation("I3", f"the samplers cannot be made anew from what the record has ({reason})")
        return
    yield from _plan(conductor, ledger)
    for name, progress in conductor.arms.items():
        yield from _told(conductor, name, progress)
        yield from _confirmed(name, progress, ledger)


def _worst(record: StudyRecord, ledger: Ledger) -> float:
    """What diverged trials were told as: by the data set's classes, or as the last session noted it. Where
    an older one did not, by what a trial noted of its own data."""
    spec = record.spec
    published = DATASETS[str(spec.arms()[0].held["dataset.name"])].classes
    classes = chosen_classes(spec.held.get("dataset.classes"), published) if published else ()
    known = worst_value(spec.objective.metric, range(len(classes))) if classes else None
    noted = record.sessions()[-1]["environment"].get("worst_objective")
    if known is None and noted is None:
        noted = _noted_by_trials(ledger, quantity(spec.objective.metric))
    return float(noted if known is None else known)


def _noted_by_trials(ledger: Ledger, metric: str) -> float:
    """The first trial's that ended; where none has, none was told, and any number will do."""
    attempts = [attempt for account in ledger.accounts.values() for attempt in account.attempts]
    ended = [each.result for each in attempts if each.result is not None and not each.failed]
    return float(ended[0]["environment"]["worst"][metric]) if ended else 0.0


def _plan(conductor: Conductor, ledger: Ledger) -> Iterator[Violation]:
    """A finished study misses nothing, and none has more trials than planned."""
    failed = sum(
        not account.ended and bool(account.attempts) and account.attempts[-1].failed
        for account in ledger.accounts.values()
    )
    if ledger.finished and conductor.missing() > failed:
        yield Violation(
            "I1", f"the study is finished, and {counted_are(conductor.missing() - failed, 'trial')} missing"
        )
    for name, progress in conductor.arms.items():
        most = {"tune": conductor.spec.search.trials_per_arm, "confirm": conductor.spec.search.replicates}
        for phase in PHASES:
            numbers = progress.asked[phase]
            if len(numbers) > most[phase]:
                yield Violation("I1", f"{name}: {len(numbers)} trials to {phase}, {most[phase]} are planned")


def _told(conductor: Conductor, arm: str, progress: ArmProgress) -> Iterator[Violation]:
    """The sampler was told every trial that ended, once, with its value, and no other; of what it is to
    learn later, by the study's lag, nothing yet."""
    states = progress.search.states()
    metric = conductor.spec.objective.metric
    sign = 1 if conductor.spec.objective.direction == "maximize" else -1
    for index in sorted(states.keys() - progress.asked["tune"].keys()):
        yield Violation("I3", "the sampler has it, the record has not", f"{arm}/tune/{index}")
    for index in sorted(progress.asked["tune"]):
        trial, (state, value) = f"{arm}/tune/{index}", states.get(index, ("nothing", None))
        result = progress.ended["tune"].get(index)
        if result is None or index in progress.untold:
            expected = state.lower() == "running"
        elif result.verdict.status == "ok":
            expected = (state, value) == ("COMPLETE", result.metrics.get(metric)) or state == "ok"
        else:
            as_worst = state == "COMPLETE" and value is not None and sign * (value - conductor.worst) <= 0
            expected = as_worst or state in ("PRUNED", result.verdict.status)
        if not expected:
            verdict = "no end" if result is None else f"{result.verdict} {result.metrics.get(metric, '')}"
            yield Violation("I3", f"the sampler has {state} {value}, the record {verdict.strip()}", trial)


def _confirmed(arm: str, progress: ArmProgress, ledger: Ledger) -> Iterator[Violation]:
    """Every replicate has the hyperparameters of the arm's best tuning trial; of the best that had ended,
    where one failed and ended well only when it was tried again later."""
    replicates = sorted(progress.asked["confirm"].items())
    tuning = [ledger.accounts[config.id] for config in progress.asked["tune"].values()]
    if any(attempt.failed for account in tuning for attempt in account.attempts):
        admitted = [account.config.hyperparameters for account in tuning]
        of = "any of its tuning trials"
    else:
        admitted = [progress.chosen.config.hyperparameters] if progress.chosen else []
        of = (
            f"{progress.chosen.config.id}, which was chosen"
            if progress.chosen
            else "no tuning trial, for all of them failed"
        )
    for index, config in replicates:
        trial = f"{arm}/confirm/{index}"
        if config.hyperparameters not in admitted:
            yield Violation("I5", f"retrains other hyperparameters than those of {of}", trial)
        elif config.hyperparameters != replicates[0][1].hyperparameters:
            yield Violation("I5", f"retrains other hyperparameters than {arm}/confirm/0", trial)


# -- what lies beside the journal --------------------------------------------------------------------


def _left_behind(record: StudyRecord, ledger: Ledger) -> Iterator[Violation]:
    """Checkpoints of trials that ended, and files that were not finished. A session that was killed may
    leave such things, for the next one to clear away; one that came to its end may not."""
    if not ledger.closed:
        return
    for trial, account in ledger.accounts.items():
        if account.ended and (folder := checkpoint_folder(record.checkpoints, trial)).exists():
            yield Violation("I6", f"its checkpoints were left behind: {folder}", trial)
    for path in sorted(record.folder.glob(".*.partial")):
        if path.stat().st_mtime < ledger.closed:
            yield Violation("I6", f"a half-written file was left behind: {path}")


def _mlflow(record: StudyRecord, uri: str) -> Iterator[Violation]:
    """A running study feeds MLflow with a delay, so only what stands still is compared."""
    if is_running(record):
        return
    try:
        if pending := tracking.pending_events(record, uri):
            missing = f"{counted_are(pending, 'record')} missing in MLflow"
            yield Violation("I4", f"{missing}; to bring what is missing: study sync {record.name}")
            return
        for trial in tracking.left_running(record, uri):
            yield Violation(
                "I6", f"RUNNING in MLflow, and nobody runs the study: study sync {record.name}", trial
            )
        for line in tracking.differences(record, uri):
            yield Violation("I4", f"in MLflow, {line}")
    except TrackingError as error:
        yield Violation("I4", f"MLflow cannot be asked: {one_line(str(error))}")
