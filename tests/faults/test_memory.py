"""Trials that run out of the machine's memory: only they fail, after one more try beside fewer others.

Case 15 of the faults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.audit import audit
from study.components.datasets import load_dataset
from study.conductor import Conductor
from study.record import StudyRecord
from study.trial import TrialConfig, TrialResult
from study.tuning.attempt import attempt, deliver
from tests.faults.toy import a_study, compute, conducting, events, failed, keeping_of, run_computed

pytestmark = pytest.mark.faults

TOO_MUCH_BYTES = 2**50


def handed_out(conductor: Conductor) -> TrialConfig:
    config = conductor.next_trial()
    assert config is not None
    return config


def run_out(conductor: Conductor, config: TrialConfig) -> None:
    token = f"{config.id} {conductor.attempts.get(config.id, 0)}"
    conductor.started(config, token)
    conductor.ended(failed(config, "oom"), token)


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(TOO_MUCH_BYTES, dtype=torch.uint8),
        lambda: np.empty(TOO_MUCH_BYTES, np.uint8),
        lambda: bytearray(TOO_MUCH_BYTES),
    ],
    ids=["torch", "numpy", "python"],
)
def test_what_is_refused_memory_is_out_of_memory_and_no_bug(allocate: Any, tmp_path: Path) -> None:
    def train(config: TrialConfig, *rest: Any, **more: Any) -> TrialResult:
        allocate()
        raise AssertionError("there is so much")

    data = load_dataset("digits", None)
    with conducting(tmp_path, a_study()) as conductor:
        config = handed_out(conductor)
        keeping = keeping_of(StudyRecord.latest(tmp_path, "toy"))

        def send(message: Any) -> None:
            deliver(conductor, config, message)

        attempt(config, data, 1, keeping, send=send, train=train)
        assert str(conductor.done[config.id].verdict) == "failed(oom)"


def test_it_is_tried_once_more_beside_fewer_others_and_only_it_fails(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(), concurrent=3) as conductor:
        first, second, third = (handed_out(conductor) for _ in range(3))
        run_out(conductor, first)
        assert conductor.next_trial() is None, "two run, and no more than two from now on"
        compute(conductor, second, "second")
        assert conductor.next_trial() == first
        run_out(conductor, first)
        assert str(conductor.done[first.id].verdict) == "failed(oom)"
        compute(conductor, third, "third")
        run_computed(conductor)
        assert conductor.concurrent == 2
        assert not conductor.missing()
        assert [each.config.id for each in conductor.done.values() if each.verdict.status == "failed"] == [
            first.id
        ]
    record = StudyRecord.latest(tmp_path, "toy")
    (told,) = events(record, "fault")
    assert told["what"] == f"{first.id} ran out of memory, and is tried once more; 2 at once from now on"
    assert audit(record) == []


def test_what_fits_beside_fewer_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    with conducting(tmp_path / "undisturbed", a_study()) as conductor:
        run_computed(conductor)
        expected = dict(conductor.done)
    with conducting(tmp_path, a_study(), concurrent=2) as conductor:
        first = handed_out(conductor)
        run_out(conductor, first)
        run_computed(conductor)
        assert conductor.complete
        assert conductor.done == expected


def test_one_that_ran_alone_has_failed(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study()) as conductor:
        first = handed_out(conductor)
        run_out(conductor, first)
        assert str(conductor.done[first.id].verdict) == "failed(oom)"


def test_nodes_that_come_do_not_undo_it(tmp_path: Path) -> None:
    with conducting(tmp_path, a_study(), concurrent=2) as conductor:
        first = handed_out(conductor)
        run_out(conductor, first)
        conductor.room(4)
        assert conductor.concurrent == 3
        conductor.room(0)
        assert conductor.concurrent == 1
