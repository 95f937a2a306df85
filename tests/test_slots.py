"""How many trials a cluster holds, and how many are asked of a study for it."""

from __future__ import annotations

import pytest

from study.errors import StudyError
from study.spec import Resources
from study.tuning.session import Slots, on_loopback, room, slots_of


@pytest.mark.parametrize(
    ("available", "cpus", "gpus", "fitting"),
    [
        ({"CPU": 8.0}, 1, 0.0, 8),
        ({"CPU": 8.0}, 3, 0.0, 2),
        ({"CPU": 0.0}, 1, 0.0, 0),
        ({}, 1, 0.0, 0),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 1.0, 2),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.25, 8),
        ({"CPU": 4.0, "GPU": 2.0}, 1, 0.25, 4),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.4, 4),
        ({"CPU": 16.0, "GPU": 5.0}, 1, 2.0, 2),
        ({"CPU": 16.0}, 1, 0.5, 0),
    ],
)
def test_what_fits(available: dict[str, float], cpus: int, gpus: float, fitting: int) -> None:
    """A share of a GPU lies on one GPU: two shares of 0.4 fit on each, not five on two."""
    assert room(available, cpus, gpus) == fitting


@pytest.mark.parametrize(
    ("at_most", "cpus", "asked"),
    [(None, 4.0, 5), (None, 8.0, 9), (3, 8.0, 3), (9, 8.0, 9), (20, 8.0, 9), (None, 0.0, 1)],
)
def test_one_trial_waits_for_a_node_to_come(at_most: int | None, cpus: float, asked: int) -> None:
    assert Slots(4, 1, 0.0, at_most, elastic=True).asked_for({"CPU": cpus}) == asked


@pytest.mark.parametrize(
    ("cpus", "at_most", "ahead"), [(4.0, None, 1), (4.0, 5, 1), (4.0, 4, 0), (4.0, 2, 0), (1.0, None, 0)]
)
def test_a_trial_is_asked_for_ahead_where_the_room_alone_bounds_them(
    cpus: float, at_most: int | None, ahead: int
) -> None:
    assert slots_of({"CPU": cpus}, Resources(max_concurrent=at_most), None).ahead == ahead
    assert slots_of({"CPU": cpus}, Resources(max_concurrent=at_most), "10.0.0.1:6379").ahead == 0


A_CLUSTER = {"CPU": 16.0, "GPU": 2.0, "accelerator_type:T4": 1.0, "accelerator_type:A100": 1.0}


@pytest.mark.parametrize(
    ("cpus", "at_most", "on_each"), [(1, None, 8), (2, None, 4), (5, None, 2), (16, None, 1), (1, 5, 3)]
)
def test_how_many_trials_can_run_on_each_gpu(cpus: int, at_most: int | None, on_each: int) -> None:
    """As far as processors and the user's limit go: of 5 on two GPUs, one has 3."""
    resources = Resources(cpus_per_trial=cpus, gpus_per_trial="auto", max_concurrent=at_most)
    assert slots_of(A_CLUSTER, resources, None).on_a_gpu == on_each


def test_a_share_that_is_to_be_measured_is_a_whole_gpu_until_then() -> None:
    slots = slots_of(A_CLUSTER, Resources(gpus_per_trial="auto"), "10.0.0.1:6379")
    assert (slots.gpus, slots.concurrent, slots.models) == (1.0, 2, ("A100", "T4"))
    assert (slots.shared(0.25).gpus, slots.shared(0.25).concurrent) == (0.25, 8)
    assert slots.shared(0.25).asked_for({"CPU": 2.0, "GPU": 1.0}) == 3


def test_the_users_limit_holds_for_shares_too() -> None:
    resources = Resources(gpus_per_trial="auto", max_concurrent=3)
    assert slots_of(A_CLUSTER, resources, None).shared(0.25).concurrent == 3


@pytest.mark.parametrize(
    ("available", "resources", "words"),
    [
        (
            {"CPU": 2.0},
            Resources(cpus_per_trial=4),
            ("resources.cpus_per_trial: this machine has 2 CPUs, a trial asks 4",),
        ),
        (
            {"CPU": 8.0, "GPU": 1.0},
            Resources(gpus_per_trial=2.0),
            ("resources.gpus_per_trial: this machine has 1 GPUs, a trial asks 2",),
        ),
        (
            {},
            Resources(nodes={"team": "vision"}),
            ("resources.nodes: this machine, of nodes with team=vision, has none",),
        ),
        (
            {"CPU": 1.0},
            Resources(cpus_per_trial=2, nodes={"team": "vision", "disk": "ssd"}),
            ("of nodes with team=vision, disk=ssd, has 1 CPUs",),
        ),
    ],
)
def test_where_not_one_trial_fits_that_is_said(
    available: dict[str, float], resources: Resources, words: tuple[str, ...]
) -> None:
    with pytest.raises(StudyError) as caught:
        slots_of(available, resources, None)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("address", "environment", "loopback"),
    [
        (None, None, True),
        ("127.0.0.1:6379", None, True),
        ("localhost:6379", None, True),
        ("10.0.0.1:6379", None, False),
        ("auto", "127.0.0.1:6379", True),
        ("auto", "10.0.0.1:6379", False),
        ("auto", None, False),
        ("head.example:6379", "127.0.0.1:6379", False),
    ],
)
def test_ray_keeps_to_the_loopback_interface_where_it_is_ours_alone(
    address: str | None, environment: str | None, loopback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert on_loopback(address) is loopback
