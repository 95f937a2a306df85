"""Seconds are compared where they were spent on devices of one kind, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.analysis.costs import Cost, costs, device_of, mixture
from study.analysis.findings import read_findings
from study.packing import Load, Packing
from study.record import JournalWriter, StudyRecord
from study.report import summary, write_report
from study.trial import TrialResult
from tests.analysis.planted import by_id, planted_record, planted_spec, scores, trial

FAST = {"device": "cuda", "device_name": "A100"}
SLOW = {"device": "cuda", "device_name": "T4"}


def ran(results: Iterable[TrialResult], *places: dict[str, Any], seconds: float = 10.0) -> list[TrialResult]:
    """The results, each as if it ran at its place."""
    return [
        replace(each, seconds=seconds, environment={**each.environment, **place})
        for each, place in zip(results, places, strict=True)
    ]


def recorded(root: Path, *groups: list[TrialResult]) -> StudyRecord:
    return planted_record(root, planted_spec("relu", "elu", replicates=2), by_id(*groups))


def costs_of(record: StudyRecord) -> dict[str, Cost]:
    return {cost.arm: cost for cost in costs(read_findings(record))}


def on_one_kind(root: Path) -> StudyRecord:
    return recorded(
        root,
        ran(scores("relu", 0.5, 0.5), FAST, FAST, seconds=10),
        ran(scores("elu", 0.6, 0.6), FAST, FAST, seconds=20),
    )


def on_two_kinds(root: Path) -> StudyRecord:
    """elu is as fast as relu on either, and had the slow one twice."""
    fast, slow = 10.0, 40.0
    relu, elu = scores("relu", 0.5, 0.5), scores("elu", 0.6, 0.6)
    return recorded(
        root,
        ran(relu[:1], FAST, seconds=fast),
        ran(relu[1:], SLOW, seconds=slow),
        ran(elu, SLOW, SLOW, seconds=slow),
    )


def test_on_one_kind_of_device_a_replicate_has_its_mean_seconds(tmp_path: Path) -> None:
    record = on_one_kind(tmp_path)
    found = costs_of(record)
    assert {arm: cost.replicate_s for arm, cost in found.items()} == {"relu": 10.0, "elu": 20.0}
    assert mixture(read_findings(record).results) == ""


def test_on_several_kinds_it_has_none_but_by_kind(tmp_path: Path) -> None:
    found = costs_of(on_two_kinds(tmp_path))
    assert {arm: cost.replicate_s for arm, cost in found.items()} == {"relu": None, "elu": None}
    assert [str(each) for each in found["relu"].by_device] == ["10.0 s (1 on A100)", "40.0 s (1 on T4)"]
    assert [str(each) for each in found["elu"].by_device] == ["40.0 s (2 on T4)"]


def test_what_was_spent_is_summed_all_the_same(tmp_path: Path) -> None:
    found = costs_of(on_two_kinds(tmp_path))
    assert {arm: cost.confirmation_s for arm, cost in found.items()} == {"relu": 50.0, "elu": 80.0}


def test_it_is_one_comparison_over_all_arms(tmp_path: Path) -> None:
    """Each arm had one kind of device, and not the other's."""
    record = recorded(
        tmp_path,
        ran(scores("relu", 0.5, 0.5), FAST, FAST),
        ran(scores("elu", 0.6, 0.6), SLOW, SLOW),
    )
    assert all(cost.replicate_s is None for cost in costs_of(record).values())


def test_the_report_says_so_and_shows_no_mean_over_both(tmp_path: Path) -> None:
    record = on_two_kinds(tmp_path)
    page = write_report(record).html.read_text(encoding="utf-8")
    assert "The replicates ran on 2 kinds of device (1 on A100, 3 on T4)" in page
    assert "10.0 s (1 on A100)<br>40.0 s (1 on T4)" in page
    assert "25.0 s" not in page
    (elu, relu) = summary(record)["costs"]
    assert (elu["arm"], elu["replicate_s"], relu["replicate_s"]) == ("elu", None, None)
    assert relu["replicate_s_by_device"] == [
        {"device": "A100", "n": 1, "mean_s": 10.0},
        {"device": "T4", "n": 1, "mean_s": 40.0},
    ]


def test_the_report_says_nothing_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    page = write_report(on_one_kind(tmp_path)).html.read_text(encoding="utf-8")
    assert "kinds of device" not in page
    assert "Shares of GPUs" not in page


@pytest.mark.parametrize(
    ("environment", "device"),
    [
        ({**FAST, "gpus": 1.0}, "A100"),
        ({**FAST, "gpus": 0.25}, "0.25 of one A100"),
        ({**SLOW, "gpus": 1.0, "ran_on": ["A100", "T4"]}, "A100, then T4"),
        ({"device": "cpu"}, "cpu"),
        ({"gpus": 0.25}, ""),
        ({}, ""),
    ],
)
def test_neighbours_on_a_gpu_and_a_move_make_another_kind_of_device(
    environment: dict[str, Any], device: str
) -> None:
    assert device_of(replace(trial("relu", "confirm", 0), environment=environment)) == device


def test_the_report_says_how_many_trials_shared_a_gpu(tmp_path: Path) -> None:
    record = on_one_kind(tmp_path)
    loads = (Load(1, 2**30, 2**34, 0.01), Load(2, 2**30, 2**34, 0.01))
    with JournalWriter(record) as journal:
        for together in (1, 2):
            packing = Packing("relu", "A100", together, "no more than 2 can run at once here", loads)
            journal.append("packed", on="A100", **packing.to_json())
    page = write_report(record).html.read_text(encoding="utf-8")
    assert "relu: 2 at once on each A100 (1.0 of 16.0 GiB each, together 2.0 times as fast as one" in page
    assert "one at a time" not in page, "the last one counts"
