"""How many trials a cluster holds, and how many are asked of a study for it."""

from __future__ import annotations

import pytest

from study.tuning.session import Slots, on_loopback, room


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
