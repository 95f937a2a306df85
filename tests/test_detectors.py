"""The monitor on stored traces of real trainings: it stops those that are lost, and no other.

The traces are made by tests/benchmarks/detectors/make_traces.py; `make bench-detectors` compares the
monitor with the rules that others use.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from study.trial import Verdict
from tests.benchmarks.detectors.compare import TROUBLES, replay
from tests.benchmarks.detectors.traces import PATH, Trace, load

# What the monitor may call each trouble. A loss that is not finite is often seen to explode before.
NAMES = {
    "nonfinite": {"nonfinite_loss", "nonfinite_gradient", "explosion"},
    "no return": {"explosion", "no_return"},
    "dead": {"dead", "explosion", "no_return"},
}


@cache
def traces() -> tuple[Trace, ...]:
    return tuple(load())


def of(*kinds: str) -> list[Trace]:
    return [trace for trace in traces() if trace.kind in kinds]


def stopped(kinds: tuple[str, ...]) -> dict[str, str]:
    """The traces of these kinds that the monitor would have ended, and by what."""
    found = {trace.name: replay(trace)[0] for trace in of(*kinds)}
    return {name: verdict.reason for name, verdict in found.items() if verdict is not None}


def test_the_traces_are_many_and_of_every_kind() -> None:
    counts = Counter(trace.kind for trace in traces())
    assert counts["healthy"] + counts["recovered"] >= 100
    assert counts["healthy"] >= 100
    assert min(counts[kind] for kind in (*TROUBLES, "recovered", "plateau")) >= 5
    assert PATH.stat().st_size < 500_000


def test_healthy_trainings_are_of_every_activation_and_optimizer() -> None:
    names = {" ".join(trace.name.split(" ")[:2]) for trace in of("healthy", "recovered")}
    activations = ("crelu", "elu", "gelu", "leaky_relu", "prelu", "relu", "selu", "silu", "tanh")
    wanted = {
        f"{activation}{batch_norm} {optimizer}"
        for activation in activations
        for batch_norm in ("", "+bn")
        for optimizer in ("sgd", "adam", "adamw")
    }
    assert wanted <= names


def test_no_healthy_training_is_stopped() -> None:
    assert stopped(("healthy",)) == {}


def test_every_training_that_recovers_from_a_spike_is_left_running() -> None:
    assert stopped(("recovered",)) == {}


def test_no_training_on_a_plateau_is_given_up() -> None:
    assert stopped(("plateau",)) == {}


@pytest.mark.parametrize("kind", TROUBLES)
def test_every_training_that_is_lost_is_caught(kind: str) -> None:
    verdicts: dict[str, Verdict | None] = {trace.name: replay(trace)[0] for trace in of(kind)}
    missed = [name for name, verdict in verdicts.items() if verdict is None]
    assert missed == []
    assert {verdict.kind for verdict in verdicts.values() if verdict is not None} <= NAMES[kind]


def test_a_number_that_is_not_finite_is_seen_at_its_step_at_the_latest() -> None:
    for trace in of("nonfinite"):
        verdict, _ = replay(trace)
        assert verdict is not None
        assert verdict.step is not None
        assert verdict.step <= trace.onset


def test_spikes_are_told_where_hindsight_sees_them() -> None:
    told = [
        any(event["kind"] in ("recovered", "lingering") for event in replay(trace)[1].events)
        for trace in of("recovered")
    ]
    assert sum(told) / len(told) > 0.9
