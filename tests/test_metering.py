"""What share of a GPU each arm gets: a study that asks for "auto", on GPUs that answer from a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from study.components.datasets import LoadedData, load_dataset
from study.errors import StudyError
from study.metering import (
    GpuMeter,
    OnGpu,
    give_shares,
    look,
    seconds_a_step,
    shortened,
    train_a_while,
)
from study.packing import Load, Meter
from study.record import StudyRecord
from study.trial import TrialConfig
from study.tuning.session import Slots
from study.typical import example
from tests.faults.toy import TABLE, TRAINED, a_study, conducting, events

AUTO: dict[str, Any] = {**TABLE, "resources": {"gpus_per_trial": "auto"}}
GIB = 2**30
ONE_GPU = {"CPU": 16.0, "GPU": 1.0}
TWO_MODELS = {"CPU": 32.0, "GPU": 2.0, "accelerator_type:A100": 1.0, "accelerator_type:T4": 1.0}


def slots(available: Mapping[str, float] = ONE_GPU) -> Slots:
    return Slots(1, 1, 1.0 if "GPU" in available else 0.0, available=available)


@pytest.fixture(scope="module")
def digits() -> LoadedData:
    return load_dataset("digits", None)


class Card:
    """Trials of an arm take ``gib`` of its memory, and any number of them is as fast as one."""

    def __init__(self, device: str, total_gib: float, gib: Mapping[str, float]) -> None:
        self.device, self.total_gib, self.gib = device, total_gib, gib

    def __call__(self, trial: TrialConfig, together: int) -> Load | None:
        if trial.arm not in self.gib:
            raise StudyError("it burnt")
        return Load(together, int(self.gib[trial.arm] * GIB), int(self.total_gib * GIB), 0.01)


def cards(*found: Card) -> tuple[OnGpu, list[str]]:
    """The cluster's GPUs, and the models that were asked for."""
    asked: list[str] = []

    @contextmanager
    def on_gpu(model: str, most: int) -> Iterator[Meter]:
        asked.append(model)
        yield next(card for card in found if model in ("", card.device))

    return on_gpu, asked


def given(
    root: Path, on_gpu: OnGpu, there: Slots, table: dict[str, Any] = AUTO
) -> tuple[Slots, dict[str, float], list[str]]:
    """The slots, each arm's share, and what was said."""
    said: list[str] = []
    with conducting(root, a_study(table)) as conductor:
        record = StudyRecord.latest(root, "toy")
        made = give_shares(conductor, record, there, on_gpu, said.append)
        return made, dict(conductor.shares.of_arm), said


def test_arms_get_what_they_need_and_the_record_what_was_measured(tmp_path: Path) -> None:
    on_gpu, _ = cards(Card("card", 16, {"relu": 1.0, "elu": 6.0}))
    made, shares, said = given(tmp_path, on_gpu, slots())
    assert shares == {"relu": 0.125, "elu": 0.5}
    assert (made.gpus, made.concurrent) == (0.125, 8)
    assert said[1] == (
        "packing  elu: 2 at once on each card (6.0 of 16.0 GiB each, together 2.0 times as fast as one; "
        "4 would not leave 10% of its memory free)"
    )
    packed = events(StudyRecord.latest(tmp_path, "toy"), "packed")
    assert [(event["arm"], event["gpus"], event["device"]) for event in packed] == [
        ("relu", 0.125, "card"),
        ("elu", 0.5, "card"),
    ]
    assert [load["together"] for load in packed[0]["loads"]] == [1, 2, 4, 8]


def test_a_study_that_goes_on_does_not_measure_again(tmp_path: Path) -> None:
    on_gpu, asked = cards(Card("card", 16, {"relu": 1.0, "elu": 6.0}))
    first = given(tmp_path, on_gpu, slots())
    second = given(tmp_path, on_gpu, slots())
    assert second[:2] == first[:2]
    assert asked == [""]


def test_on_other_gpus_it_does(tmp_path: Path) -> None:
    on_gpu, asked = cards(
        Card("T4", 16, {"relu": 1.0, "elu": 6.0}), Card("A100", 80, {"relu": 1.0, "elu": 6.0})
    )
    given(tmp_path, on_gpu, slots({**ONE_GPU, "accelerator_type:T4": 1.0}))
    _, shares, _ = given(tmp_path, on_gpu, slots({**ONE_GPU, "accelerator_type:A100": 1.0}))
    assert asked == ["T4", "A100"]
    assert shares == {"relu": 1 / 16, "elu": 0.125}


def test_where_models_differ_the_largest_share_counts(tmp_path: Path) -> None:
    """A trial may come to any of them."""
    on_gpu, asked = cards(
        Card("T4", 16, {"relu": 1.0, "elu": 6.0}), Card("A100", 80, {"relu": 1.0, "elu": 6.0})
    )
    _, shares, _ = given(tmp_path, on_gpu, slots(TWO_MODELS))
    assert asked == ["A100", "T4"]
    assert shares == {"relu": 0.125, "elu": 0.5}


def test_an_arm_that_cannot_be_measured_has_whole_gpus_and_is_measured_another_time(tmp_path: Path) -> None:
    _, shares, said = given(tmp_path, cards(Card("card", 16, {"elu": 6.0}))[0], slots())
    assert shares == {"relu": 1.0, "elu": 0.5}
    assert said[0] == "packing  relu: one at a time on each card (not measured: it burnt)"
    on_gpu, asked = cards(Card("card", 16, {"relu": 1.0}))
    assert given(tmp_path, on_gpu, slots())[1] == {"relu": 0.125, "elu": 0.5}
    assert asked == [""]


def test_where_no_gpu_is_free_every_trial_has_a_whole_one(tmp_path: Path) -> None:
    def none_free(model: str, most: int) -> AbstractContextManager[Meter]:
        raise StudyError("no GPU was free within 300 s")

    made, shares, said = given(tmp_path, none_free, slots())
    assert shares == {"relu": 1.0, "elu": 1.0}
    assert made.concurrent == 1
    assert said[1] == "packing  elu: one at a time on each GPU (not measured: no GPU was free within 300 s)"


def test_a_study_that_is_to_stop_does_not_wait_for_the_rest(tmp_path: Path) -> None:
    on_gpu, _ = cards(Card("card", 16, {"relu": 1.0, "elu": 6.0}))
    with conducting(tmp_path, a_study(AUTO)) as conductor:
        conductor.stop_requested = True
        give_shares(conductor, StudyRecord.latest(tmp_path, "toy"), slots(), on_gpu, print)
        assert conductor.shares.of_arm == {"relu": 1.0, "elu": 1.0}
    packed = events(StudyRecord.latest(tmp_path, "toy"), "packed")
    assert [event["arm"] for event in packed] == ["relu"]


@pytest.mark.parametrize(
    ("table", "there", "share"),
    [
        pytest.param(AUTO, slots({"CPU": 8.0}), 0.0, id="auto is none where there is none"),
        pytest.param(TABLE, Slots(1, 1, 0.25, available=ONE_GPU), 0.25, id="as the study file says"),
    ],
)
def test_where_there_is_nothing_to_be_measured_nothing_is(
    tmp_path: Path, table: dict[str, Any], there: Slots, share: float
) -> None:
    on_gpu, asked = cards()
    made, shares, said = given(tmp_path, on_gpu, there, table)
    assert (made, asked, said) == (there, [], [])
    assert shares == {"relu": share, "elu": share}


# -- the real meter, as far as it goes without a GPU ----------------------------------------------------


def test_a_warm_up_trains_few_examples_in_batches_as_large_as_the_trials(digits: LoadedData) -> None:
    spec = a_study(TRAINED)
    trial = example(spec, spec.arms()[0], 0)
    short, steps = shortened(trial, digits)
    # Of the 60 examples that the study trains on, in batches of 20.
    assert steps == 3
    assert short.hyperparameters["training.batch_size"] == 20
    assert short.hyperparameters["dataset.train_size"] == 60


def test_a_warm_up_ends_when_it_has_been_seen_for_long_enough(digits: LoadedData) -> None:
    spec = a_study(TRAINED)
    short, _ = shortened(example(spec, spec.arms()[0], 0), digits)
    began = time.time()
    found = train_a_while(short, digits, 1, 0.2)
    assert found is not None
    ends, peak = found
    assert 0.2 < ends[-1] - ends[0] < time.time() - began
    assert peak == 0, "of a GPU that is not there"


def test_steps_are_timed_while_all_processes_are_at_it() -> None:
    """One begins late and slows the other down: an epoch of 5 steps takes 1 s alone and 2 s beside it."""
    first = [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]
    second = [3.0, 5.0, 7.0, 9.0, 10.0]
    assert seconds_a_step([first, second], 5) == pytest.approx(2 / 5)
    assert seconds_a_step([first[:3]], 5) == pytest.approx(1 / 5)


@pytest.mark.parametrize("ends", [[[]], [[1.0]], [[1.0, 2.0], []], [[1.0, 2.0], [3.0, 4.0]]])
def test_processes_that_were_not_at_it_together_tell_nothing(ends: list[list[float]]) -> None:
    with pytest.raises(StudyError, match="the warm-up"):
        seconds_a_step(ends, 5)


def answering(seen: list[Any]) -> Callable[..., list[Any]]:
    """Processes that say they are on a card of 1,000,000 bytes, 100 of them taken."""
    return lambda number, work, *arguments: [("card", 100, 1_000_000)] if work is look else seen[:number]


def test_memory_is_the_largest_of_the_processes_with_what_cuda_and_the_test_examples_take(
    digits: LoadedData,
) -> None:
    spec = a_study(TRAINED)
    trial = example(spec, spec.arms()[0], 0)
    meter = GpuMeter(answering([((1.0, 2.0), 5_000), ((1.0, 2.0), 6_000)]), digits, None, 1)
    found = meter(trial, 2)
    assert found == Load(2, 100 + 6_000 + digits.test_inputs.nbytes, 1_000_000, pytest.approx(1 / 3))  # type: ignore[arg-type]


def test_memory_that_did_not_suffice_for_one_did_not_suffice(digits: LoadedData) -> None:
    spec = a_study(TRAINED)
    meter = GpuMeter(answering([((1.0, 2.0), 5_000), None]), digits, None, 1)
    assert meter(example(spec, spec.arms()[0], 0), 2) is None


def test_gpus_that_torch_does_not_find_are_told(digits: LoadedData) -> None:
    with pytest.raises(StudyError, match="torch finds none there"):
        GpuMeter(lambda number, work, *arguments: [work(*arguments)], digits, None, 1)
