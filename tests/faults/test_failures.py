"""What goes wrong in a trial, a sampler or the data: told for what it is, and paid for by nobody else.

Cases 14, 18, 24 and 25 of the faults.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from study.analysis.selection import best_trial
from study.audit import audit
from study.cli import run as command
from study.components.datasets import LoadedData, load_dataset
from study.conductor import FAILURES_IN_A_ROW, Conductor
from study.errors import DataError, StudyUnfinished
from study.record import JournalWriter, StudyRecord
from study.running import Options, Outcome, raise_if_cut_short, run_study
from study.samplers import SAMPLERS, Sampler
from study.spec import StudySpec
from study.studyfile import validate
from study.trial import Row, TrialConfig, TrialResult, Verdict
from tests.faults.toy import (
    CHANCE,
    TABLE,
    TRAINED,
    a_study,
    compute,
    conducting,
    events,
    failed,
    keeping_of,
    rows,
    run_computed,
    run_trained,
    train_next,
)

pytestmark = pytest.mark.faults

DIGITS = load_dataset("digits", None)
ONE_ARM = {**TRAINED, "scientific": {"activation": {"name": ["elu"]}}}


def end_of(record: StudyRecord, conductor: Conductor) -> None:
    """What `study run` says and exits with."""
    bad = tuple(each for each in conductor.done.values() if each.verdict.status == "failed")
    raise_if_cut_short(conductor, Outcome(record, None, conductor.missing(), bad, 0))  # type: ignore[arg-type]


# -- divergence is a result ------------------------------------------------------------------------


def too_fast() -> StudySpec:
    """A study in which no trial can be trained: learning rates around a million."""
    nuisance = {"optimizer": {"lr": {"low": 1e5, "high": 1e6, "log": True}}}
    fixed = {**TRAINED["fixed"], "model": {"name": "all_cnn_c", "width": 0.0625}}
    return a_study({**ONE_ARM, "nuisance": nuisance, "fixed": fixed})


def poisoned(change: Callable[[np.ndarray[Any, Any]], Any]) -> LoadedData:
    """Digits whose normalisation makes every pixel what ``change`` says."""
    return replace(DIGITS, std=tuple(change(np.array(DIGITS.std)).tolist()))


@pytest.mark.parametrize(
    ("spec", "data"),
    [
        pytest.param(too_fast(), DIGITS, id="lr-1e6"),
        pytest.param(a_study(ONE_ARM), poisoned(lambda std: std * math.nan), id="nan-data"),
        pytest.param(a_study(ONE_ARM), poisoned(lambda std: std * 0), id="infinite-data"),
    ],
)
def test_what_blows_up_is_a_diverged_trial_and_never_a_failed_one(
    tmp_path: Path, spec: StudySpec, data: LoadedData
) -> None:
    record = run_trained(tmp_path, spec, data)
    results = record.results()
    assert {result.verdict.status for result in results.values()} == {"diverged"}
    assert record.finished, "nothing is left to be tried again"
    assert audit(record) == []
    with JournalWriter(record) as journal:
        conductor = Conductor(record, journal, worst=CHANCE)
        for progress in conductor.arms.values():
            assert best_trial(spec, conductor.done, progress.arm.name) is None
            assert len(progress.ended["confirm"]) == spec.search.replicates, "counted as chance each"
            told = progress.search.states().values()
            assert {state for state, _ in told} == {"PRUNED"}
            assert all(value is None or math.isfinite(value) for _, value in told)


def test_a_training_ends_at_the_step_that_is_not_finite(tmp_path: Path) -> None:
    record = run_trained(tmp_path, a_study(ONE_ARM), poisoned(lambda std: std * math.nan))
    for result in record.results().values():
        assert result.verdict.step == 0
        assert result.gradient_evaluations == 1


# -- every trial fails: a bug --------------------------------------------------------------------------


def test_a_bug_in_every_trial_stops_the_study_with_its_traceback_once(tmp_path: Path) -> None:
    """Labels beyond the last class: the first step of every trial raises."""
    broken = replace(DIGITS, train_targets=DIGITS.train_targets + np.uint8(50))
    spec = a_study(ONE_ARM, trials_per_arm=10)
    record = StudyRecord.create(tmp_path, spec)
    with JournalWriter(record) as journal:
        journal.session({}, [])
        conductor = Conductor(record, journal, worst=CHANCE)
        while train_next(conductor, broken, keeping_of(record)):
            pass
        with pytest.raises(StudyUnfinished) as end:
            end_of(record, conductor)
    assert len(conductor.done) == FAILURES_IN_A_ROW
    assert str(end.value).count("Traceback (most recent call last)") == 1
    assert "IndexError" in str(end.value)
    assert {str(result.verdict) for result in record.results().values()} == {"failed(crash)"}
    assert audit(record) == []


def test_once_the_bug_is_mended_the_same_trials_are_run(tmp_path: Path) -> None:
    spec = a_study()
    with conducting(tmp_path, spec) as conductor:
        while (config := conductor.next_trial()) is not None:
            conductor.started(config, config.id)
            conductor.ended(failed(config), config.id)
        asked = [config.id for config in conductor.interrupted] + list(conductor.done)
    with conducting(tmp_path, spec) as conductor:
        run_computed(conductor)
        assert set(asked) <= set(conductor.done)
        assert not conductor.missing()
    assert audit(StudyRecord.latest(tmp_path, "toy")) == []


# -- the sampler fails ---------------------------------------------------------------------------------


class Moody(optuna.samplers.RandomSampler):
    """Proposes twice, then breaks."""

    asked = 0

    def sample_independent(self, *about: Any) -> Any:
        Moody.asked += 1
        if Moody.asked > 4:
            raise FloatingPointError("no more ideas")
        return super().sample_independent(*about)


def ask(conductor: Conductor, trials: int) -> list[TrialConfig]:
    handed = [conductor.next_trial() for _ in range(trials)]
    return [config for config in handed if config is not None]


def test_a_sampler_that_breaks_costs_no_running_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = a_study()
    with monkeypatch.context() as patch:
        patch.setitem(SAMPLERS, "random", Sampler(lambda seed, spec, space: Moody(seed)))
        with conducting(tmp_path, spec, concurrent=2) as conductor:
            for config in ask(conductor, 2):
                compute(conductor, config, config.id)
            running = ask(conductor, 2)
            assert conductor.next_trial() is None
            compute(conductor, running[0], "a")
            assert conductor.next_trial() is None, "here it breaks"
            compute(conductor, running[1], "b")
            assert conductor.exhausted()
            assert len(conductor.done) == 4
            record = StudyRecord.latest(tmp_path, "toy")
            with pytest.raises(StudyUnfinished, match="the sampler random failed") as end:
                end_of(record, conductor)
            assert "no more ideas" in str(end.value)
            assert "12 trials are missing; run the same command again" in str(end.value)
    assert "no more ideas" in events(record, "fault")[0]["what"]
    assert audit(record) == []
    with conducting(tmp_path, spec) as conductor:
        run_computed(conductor)
    assert record.finished
    assert audit(record) == []


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


class Dawdling(optuna.samplers.RandomSampler):
    """Thinks for a minute about whatever it is asked."""

    def __init__(self, seed: int, clock: Clock) -> None:
        super().__init__(seed)
        self.clock = clock

    def sample_independent(self, *about: Any) -> Any:
        self.clock.seconds += 60
        return super().sample_independent(*about)


def test_trials_that_run_while_a_sampler_thinks_are_not_taken_for_hanging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listened to them meanwhile."""
    clock = Clock()
    monkeypatch.setitem(SAMPLERS, "random", Sampler(lambda seed, spec, space: Dawdling(seed, clock)))
    spec = a_study({**TABLE, "resources": {"silence_s": 10.0}})
    with conducting(tmp_path, spec, concurrent=2, now=clock) as conductor:
        (first,) = ask(conductor, 1)
        conductor.started(first, "a")
        conductor.reported(first, "a", {**rows(first)[0], "seconds": 0.5})
        conductor.overdue()
        ask(conductor, 1)
        assert conductor.overdue() == []
        silent: list[str] = []
        for _ in range(12):
            clock.seconds += 1
            silent += [trial.id for trial, _ in conductor.overdue()]
        assert set(silent) == {first.id}, "whoever looks hears silence"
        compute(conductor, first, "b")
        record = StudyRecord.latest(tmp_path, "toy")
    assert audit(record) == []
    told = [event["what"] for event in events(record, "fault")]
    assert told == [
        f"the sampler random is slow at {arm}: 60 s for trial 0, in which no trial could start"
        for arm in ("relu", "elu")
    ]


# -- the data change -----------------------------------------------------------------------------------


def test_a_study_goes_on_only_with_the_data_it_began_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its images were others in the first session: nothing runs, and the way out is named."""
    file = tmp_path / "toy.toml"
    spec = a_study(TRAINED)
    file.write_text(spec.to_toml(), encoding="utf-8")
    changed = replace(DIGITS, fingerprint="f" * 64)
    record = StudyRecord.create(tmp_path / "runs", spec)
    with JournalWriter(record) as journal:
        journal.session({"data": {"fingerprint": changed.fingerprint}}, [])
        conductor = Conductor(record, journal, worst=CHANCE)
        train_next(conductor, changed, keeping_of(record))
    before = record.journal.read_bytes()
    with pytest.raises(DataError, match="differs from the data this study began with"):
        run_study(spec, Options(tmp_path / "runs"))
    assert command(["run", str(file), "--out", str(tmp_path / "runs")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "bring that back, or start over with --fresh" in line
    assert record.journal.read_bytes() == before
    assert len(record.results()) == 1


def test_a_later_run_may_ask_for_other_resources_and_is_told_of_other_claims(tmp_path: Path) -> None:
    spec = a_study(ONE_ARM, trials_per_arm=1, replicates=1)

    def train(config: TrialConfig, data: LoadedData, report: Callable[[Row], None]) -> TrialResult:
        scores = {"val_accuracy": 0.5, "test_accuracy": 0.5}
        return TrialResult(config, Verdict("ok"), metrics=scores)

    options = Options(tmp_path, train=train)
    first = run_study(spec, options).record
    claim = {"source": "mine", "metric": "test_accuracy", "value": {"arm": "elu", "at_least": 0.1}}
    table = {
        **spec.model_dump(mode="json", by_alias=True, exclude={"name"}, exclude_none=True),
        "resources": {"silence_s": 300.0},
        "claims": [claim],
    }
    said: list[str] = []
    again = run_study(validate(table, spec.name, "toy.toml"), options, say=said.append).record
    assert again.folder == first.folder
    assert again.spec.resources.silence_s == 300.0
    assert again.spec.claims == spec.claims
    assert any(line.startswith("claims   differ in the file") for line in said)


def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path: Path) -> None:
    """The data changed while a trial was cut short: it starts over, and the record says why."""
    spec = a_study(ONE_ARM, trials_per_arm=1, replicates=1)
    record = StudyRecord.create(tmp_path, spec)

    class Cut(BaseException):
        pass

    def cut(when: str, message: Any) -> None:
        if when == "after" and message.get("row", {}).get("epoch") == 2:
            raise Cut

    with JournalWriter(record) as journal:
        journal.session({}, [])
        conductor = Conductor(record, journal, worst=CHANCE)
        with pytest.raises(Cut):
            train_next(conductor, DIGITS, keeping_of(record), cut)
    run_trained(tmp_path, spec, replace(DIGITS, fingerprint="f" * 64))
    starts = [event.get("epoch", 0) for event in events(record, "started")]
    assert starts == [0, 0, 0]
    assert any("other data" in event["what"] for event in events(record, "fault"))
    assert audit(record) == []


def test_two_sets_of_data_never_mix_in_one_ranking(tmp_path: Path) -> None:
    spec = a_study(ONE_ARM)
    record = StudyRecord.create(tmp_path, spec)
    with JournalWriter(record) as journal:
        journal.session({}, [])
        conductor = Conductor(record, journal, worst=CHANCE)
        train_next(conductor, DIGITS, keeping_of(record))
        train_next(conductor, replace(DIGITS, fingerprint="f" * 64), keeping_of(record))
    (found,) = audit(record)
    assert (found.invariant, found.says) == (
        "I5",
        "was trained on other data than the first trial that ended",
    )
