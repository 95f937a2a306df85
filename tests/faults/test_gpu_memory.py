"""A trial that runs out of a GPU's memory beside others: it goes on with more of the GPU, and only on a
whole one it has failed. Case 16 of the faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from study.analysis.findings import read_findings
from study.audit import audit
from study.components.datasets import load_dataset
from study.conductor import Conductor
from study.record import StudyRecord
from study.trial import TrialConfig, TrialResult
from study.tuning.attempt import attempt, deliver
from tests.faults.toy import TABLE, a_study, compute, conducting, events, failed, keeping_of, run_computed

pytestmark = pytest.mark.faults

ONE_ARM: dict[str, Any] = {**TABLE, "scientific": {"activation": {"name": ["elu"]}}}
QUARTER = {"elu": 0.25}


@pytest.fixture
def conductor(tmp_path: Path) -> Iterator[Conductor]:
    with conducting(tmp_path, a_study(ONE_ARM)) as conductor:
        conductor.shares.of_arm = QUARTER
        yield conductor


def run_out(conductor: Conductor, config: TrialConfig) -> None:
    token = f"{config.id} on {conductor.gpus(config)}"
    conductor.started(config, token)
    conductor.ended(failed(config, "oom"), token)


def next_trial(conductor: Conductor) -> TrialConfig:
    config = conductor.next_trial()
    assert config is not None
    return config


def test_it_is_handed_out_again_with_twice_as_much(conductor: Conductor, tmp_path: Path) -> None:
    first = next_trial(conductor)
    assert conductor.gpus(first) == 0.25
    run_out(conductor, first)
    again = next_trial(conductor)
    assert (again, conductor.gpus(again)) == (first, 0.5)
    record = StudyRecord.latest(tmp_path, "toy")
    assert record.results() == {}, "that it shared a GPU says nothing of it"
    assert read_findings(record).faults == (
        "elu/tune/0 ran out of memory on 0.25 of a GPU, and goes on with 0.5",
    )


def test_it_has_failed_where_a_whole_gpu_does_not_do(conductor: Conductor) -> None:
    for gpus in (0.25, 0.5, 1.0):
        config = next_trial(conductor)
        assert (config.id, conductor.gpus(config)) == ("elu/tune/0", gpus)
        run_out(conductor, config)
    assert str(conductor.done["elu/tune/0"].verdict) == "failed(oom)"
    assert next_trial(conductor).id == "elu/tune/1"


def test_without_gpus_it_has_failed_at_once(conductor: Conductor) -> None:
    conductor.shares.of_arm = {"elu": 0.0}
    run_out(conductor, next_trial(conductor))
    assert str(conductor.done["elu/tune/0"].verdict) == "failed(oom)"


def test_other_failures_are_failures_on_a_share_too(conductor: Conductor) -> None:
    config = next_trial(conductor)
    conductor.started(config, "a")
    conductor.ended(failed(config, "crash"), "a")
    assert str(conductor.done[config.id].verdict) == "failed(crash)"


def test_a_study_in_which_every_trial_does_so_once_ends_like_one_in_which_none_does(tmp_path: Path) -> None:
    """It counts as no failure, however many there are in a row, and the samplers hear nothing of it."""
    with conducting(tmp_path / "undisturbed", a_study(ONE_ARM)) as conductor:
        run_computed(conductor)
        expected = dict(conductor.done)
    with conducting(tmp_path, a_study(ONE_ARM)) as conductor:
        conductor.shares.of_arm = QUARTER
        while (config := conductor.next_trial()) is not None:
            if conductor.gpus(config) < 0.5:
                run_out(conductor, config)
            else:
                compute(conductor, config, config.id)
        assert conductor.complete
        assert conductor.done == expected
    record = StudyRecord.latest(tmp_path, "toy")
    assert len(events(record, "fault")) == 8
    assert audit(record) == []


def test_a_study_that_is_started_again_knows_what_did_not_do(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(ONE_ARM)) as conductor:
        conductor.shares.of_arm = QUARTER
        run_out(conductor, next_trial(conductor))
    with conducting(tmp_path, a_study(ONE_ARM)) as conductor:
        conductor.shares.of_arm = QUARTER
        config = next_trial(conductor)
        assert (config.id, conductor.gpus(config)) == ("elu/tune/0", 0.5)


def test_torchs_error_is_such_an_end_and_a_result_says_what_it_had(
    conductor: Conductor, tmp_path: Path
) -> None:
    """A worker on the way: the attempt on a quarter raises what torch does, that on half ends well."""

    def train(config: TrialConfig, *rest: Any, **more: Any) -> TrialResult:
        if conductor.gpus(config) < 0.5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return TrialResult(config, failed(config).verdict, environment={"device": "cuda"})

    data, record = load_dataset("digits", None), StudyRecord.latest(tmp_path, "toy")
    for _ in range(2):
        config = next_trial(conductor)

        def send(message: Any, config: TrialConfig = config) -> None:
            deliver(conductor, config, message)

        attempt(config, data, 1, keeping_of(record), send=send, gpus=conductor.gpus(config), train=train)
    (result,) = record.results().values()
    assert result.environment == {"device": "cuda", "gpus": 0.5}
    assert [event["attempt"] for event in events(record, "started")] == [1, 2]
