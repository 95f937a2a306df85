"""Processes that have one GPU of the cluster to themselves, all of it together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from study.errors import StudyError, one_line, shorten
from study.tuning.session import MODEL, Slots

# How long others' trials may keep a cluster's GPUs until one is free.
FREE_WITHIN_S = 300.0

AtOnce = Callable[..., list[Any]]
"""(number, work, *arguments): what ``work(*arguments)`` returns in so many of the processes at once, the same
ones each time. ``arguments`` may be what ``share`` returned. Raises StudyError where one of them dies."""


@contextmanager
def on_one_gpu(slots: Slots, model: str, most: int) -> Iterator[AtOnce]:
    """Up to ``most`` processes on one GPU of a ``model`` (any, where it is empty), which together have the
    CPUs of one trial. Raises StudyError where none is free."""
    wanted = {"CPU": float(slots.cpus), "GPU": 1.0, **({f"{MODEL}{model}": 0.001} if model else {})}
    group = placement_group([wanted], **on_nodes_with(slots.nodes))
    started: list[Any] = []

    def at_once(number: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        while len(started) < number:
            started.append(_start(group, most))
        try:
            ray.get([each.run.remote(_nothing) for each in started])  # they begin together
            return list(ray.get([each.run.remote(work, *arguments) for each in started[:number]]))
        except RayError as error:
            raise StudyError(f"a process on the GPU failed: {shorten(one_line(str(error)), 200)}") from error

    try:
        ray.get(group.ready(), timeout=FREE_WITHIN_S)
        yield at_once
    except GetTimeoutError as error:
        raise StudyError(f"no GPU was free within {FREE_WITHIN_S:.0f} s") from error
    finally:
        remove_placement_group(group)


def on_nodes_with(labels: Mapping[str, str]) -> dict[str, Any]:
    """Of a placement group's one bundle: where it is to be."""
    return {"bundle_label_selector": [dict(labels)]} if labels else {}


def share(value: object) -> Any:
    """Put ``value`` where every process of the cluster finds it."""
    return ray.put(value)


class _Process:
    def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return work(*arguments)


def _start(group: PlacementGroup, most: int) -> Any:
    inside = PlacementGroupSchedulingStrategy(group)
    return ray.remote(_Process).options(num_cpus=0, num_gpus=1 / most, scheduling_strategy=inside).remote()


def _nothing() -> None:
    return None
