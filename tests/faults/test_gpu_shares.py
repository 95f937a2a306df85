"""Trials of one study that ask Ray for different shares of a GPU, on nodes with a label. Ray is told of a
GPU that is not there."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from study.components.datasets import load_dataset
from study.conductor import Conductor
from study.metering import seconds_a_step, shortened, train_a_while
from study.record import JournalWriter, StudyRecord
from study.spec import Resources
from study.trial import TrialConfig, TrialResult
from study.tuning.attempt import Keeping
from study.typical import example
from tests.benchmarks.speed.driven import in_its_own_process
from tests.faults.toy import TABLE, TRAINED, a_study, events, outcome, rows

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(600)]


def reserved(gpus: dict[str, float]) -> float:
    """What Ray has reserved of GPUs, by its names for it, which end in a placement group's."""
    return next((value for name, value in gpus.items() if re.match(r"GPU(_group_[0-9a-f]+)?$", name)), 0.0)


class Hungry:
    """Trains nothing. The second trial of relu asks for more memory than half of a GPU has; a result says
    what Ray gave it."""

    def __call__(self, config: TrialConfig, data: Any, *, report: Any, **rest: Any) -> TrialResult:
        import ray

        gpus = reserved(ray.get_runtime_context().get_assigned_resources())
        if config.id == "relu/tune/1" and gpus < 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        for row in rows(config):
            report(row)
        return replace(outcome(config), environment={"reserved": gpus})


def with_a_gpu(folder: Path) -> list[int]:
    """Run the study of ``Hungry``, relu on halves and elu on quarters; then the processes of a group."""
    os.environ["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": 4, "GPU": 1})
    os.environ["RAY_OVERRIDE_LABELS"] = json.dumps({"team": "vision"})
    from study.tuning.session import ray_session

    spec, data = a_study(TABLE, trials_per_arm=3, replicates=1), load_dataset("digits", None)
    record = StudyRecord.create(folder, spec)
    asked = Resources(gpus_per_trial="auto", nodes={"team": "vision"})
    with (
        JournalWriter(record) as journal,
        ray_session(None, asked, debug=False) as slots,
    ):
        from study.tuning.group import on_one_gpu, share
        from study.tuning.spread import spread

        assert slots.on_a_gpu == 4
        with on_one_gpu(slots, "", 4) as at_once:
            processes = [*at_once(1, os.getpid), *at_once(2, os.getpid)]
            warm_up, steps = shortened(example(a_study(TRAINED), a_study(TRAINED).arms()[0], 0), data)
            for measure_s in (0.0, 2.0):
                seen = at_once(2, train_a_while, warm_up, share(data), 1, measure_s)
            assert seconds_a_step([ends for ends, _ in seen], steps) > 0
        journal.session({}, ["study", "run"])
        conductor = Conductor(record, journal, worst=0.1, concurrent=slots.shared(0.25).concurrent)
        conductor.shares.of_arm = {"relu": 0.5, "elu": 0.25}
        record.checkpoints.mkdir()
        spread(conductor, data, slots, Keeping(record.checkpoints, 10.0), Hungry())
    return processes


def test_ray_gives_each_trial_its_share_and_more_where_memory_ran_out(tmp_path: Path) -> None:
    first, again, second = in_its_own_process(with_a_gpu, tmp_path)
    assert first == again != second, "a group's processes stay"
    record = StudyRecord.latest(tmp_path, "toy")
    ended = record.results()
    assert len(ended) == 8
    assert all(result.verdict.status != "failed" for result in ended.values())
    had = {trial: result.environment["reserved"] for trial, result in ended.items()}
    assert had.pop("relu/tune/1") == 1.0
    assert {trial.split("/")[0]: gpus for trial, gpus in had.items()} == {"relu": 0.5, "elu": 0.25}
    assert [event["what"] for event in events(record, "fault")] == [
        "relu/tune/1 ran out of memory on 0.5 of a GPU, and goes on with 1"
    ]
