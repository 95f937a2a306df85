"""Bisection for the largest stable learning rate: on planted edges, on a quadratic, on a small network."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from study.analysis.edge import ArmEdge, Probe, edge, fit
from study.bisection import KEY, WIDEST, BisectSearch
from study.check import check
from study.errors import StudyFileError
from study.samplers import search_inside
from study.spec import StudySpec
from study.studyfile import validate
from study.trial import Status, TrialConfig, TrialResult, Verdict

Trains = Callable[[float, int], bool]
"""Whether a training at this learning rate, with this seed, stays stable."""


def a_study(trials: int = 24, low: float = 1e-4, high: float = 1e-1, **changes: Any) -> StudySpec:
    table = {
        "question": "How large a learning rate?",
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "nuisance": {"optimizer": {"lr": {"low": low, "high": high, "log": True}}},
        "fixed": {
            "dataset": {"name": "digits"},
            "model": {"name": "all_cnn_c"},
            "activation": {"name": "relu"},
            "optimizer": {"name": "sgd"},
            "training": {"epochs": 2},
        },
        "search": {"sampler": "bisect", "trials_per_arm": trials, "replicates": 0},
    }
    return validate({**table, **changes}, "toy", "toy.toml")


def a_search(spec: StudySpec | None = None) -> BisectSearch:
    spec = spec or a_study()
    return BisectSearch(spec, spec.arms()[0])


def result(index: int, lr: float, status: Status) -> TrialResult:
    return TrialResult(TrialConfig("toy", "all", "tune", index, {KEY: lr}, index, 0), Verdict(status))


def probe(
    search: BisectSearch, stable: Trains, trials: int = 24, concurrent: int = 1, first: int = 0
) -> list[TrialResult]:
    """Carry out probes, oldest first, as many at once as asked for."""
    waiting: list[tuple[int, float]] = []
    results: list[TrialResult] = []
    index = first
    while len(results) < trials:
        while index < first + trials and len(waiting) < concurrent:
            waiting.append((index, float(search.ask(index)[KEY])))
            index += 1
        number, lr = waiting.pop(0)
        results.append(result(number, lr, "ok" if stable(lr, number) else "diverged"))
        search.tell(results[-1], 0.0)
    return results


def rates(results: list[TrialResult]) -> list[float]:
    return [float(each.config.hyperparameters[KEY]) for each in results]


def below(place: float) -> Trains:
    """A cliff: stable below ``place``."""
    return lambda lr, index: lr < place


def blurred(place: float, width: float, seed: int) -> Trains:
    """An edge that is a logistic curve, ``width`` decades wide."""
    draw = random.Random(seed)

    def stable(lr: float, index: int) -> bool:
        logit = math.log10(place / lr) / width
        return draw.random() > 1 / (1 + math.exp(min(700.0, logit)))

    return stable


def lr50(found: ArmEdge) -> tuple[float, float, float]:
    assert found.lr50.low is not None
    assert found.lr50.value is not None
    assert found.lr50.high is not None
    return found.lr50.low, found.lr50.value, found.lr50.high


# -- where probes go


def test_the_first_probe_is_in_the_middle_of_the_range() -> None:
    assert math.log10(float(a_search().ask(0)[KEY])) == pytest.approx(-2.5, abs=0.05)


@pytest.mark.parametrize("place", [2e-4, 5e-3, 8e-2])
def test_probes_close_in_on_a_cliff(place: float) -> None:
    last = rates(probe(a_search(), below(place)))[-8:]
    assert all(abs(math.log10(lr / place)) < 0.15 for lr in last), last


@pytest.mark.parametrize("concurrent", [1, 4, 12])
def test_a_blurred_edge_is_found_by_however_many_at_once(concurrent: int) -> None:
    found = edge("all", probe(a_search(), blurred(2e-2, 0.06, seed=5), concurrent=concurrent))
    low, value, high = lr50(found)
    assert low < 2e-2 < high
    assert abs(math.log10(value / 2e-2)) < 0.2


def test_probes_fall_on_both_flanks_of_the_edge() -> None:
    late = rates(probe(a_search(), blurred(2e-2, 0.1, seed=1)))[8:]
    assert min(late) < 1.8e-2
    assert max(late) > 2.2e-2


def test_probes_that_run_at_once_divide_the_range() -> None:
    search = a_search()
    asked = sorted(math.log10(float(search.ask(index)[KEY])) for index in range(4))
    assert all(b - a > 0.3 for a, b in itertools.pairwise(asked)), asked


def test_one_odd_probe_does_not_drive_the_search_off() -> None:
    def stable(lr: float, index: int) -> bool:
        return lr < 2e-2 and index != 0  # the first probe, far below the edge, blows up

    last = rates(probe(a_search(), stable))[-6:]
    assert all(abs(math.log10(lr / 2e-2)) < 0.3 for lr in last), last


# -- a range without an edge in it


def test_a_range_that_is_stable_to_its_end_is_left_upwards() -> None:
    found = edge("all", probe(a_search(), below(2.0)))
    low, _, high = lr50(found)
    assert low < 2.0 < high


def test_a_range_that_is_unstable_to_its_end_is_left_downwards() -> None:
    found = edge("all", probe(a_search(), below(5e-6)))
    low, _, high = lr50(found)
    assert low < 5e-6 < high


@pytest.mark.parametrize(("place", "end"), [(math.inf, 1e-1 * 10**WIDEST), (0.0, 1e-4 / 10**WIDEST)])
def test_it_is_left_by_two_decades_at_most(place: float, end: float) -> None:
    asked = rates(probe(a_search(), below(place)))
    outermost = max(asked) if place else min(asked)
    assert outermost == pytest.approx(end, rel=0.06)
    assert 1e-4 / 10**WIDEST <= min(asked) <= max(asked) <= 1e-1 * 10**WIDEST


def test_a_range_is_not_left_before_two_probes_at_its_end_agree() -> None:
    search, asked = a_search(), []
    for index in range(6):
        asked += rates(probe(search, below(math.inf), trials=1, first=index))
        at_the_end = sum(lr > 10**-1.1 for lr in asked)
        if at_the_end < 2:
            assert max(asked) <= 1e-1


# -- what is told


def test_a_stalled_probe_is_not_stable() -> None:
    search = a_search()
    search.ask(0)
    search.tell(result(0, 3e-3, "stalled"), 0.0)
    assert float(search.ask(1)[KEY]) < 3e-3


@pytest.mark.parametrize("status", ["failed", "pruned"])
def test_a_probe_that_failed_or_was_stopped_says_nothing(status: Status) -> None:
    silent, told = a_search(), a_search()
    for search in (silent, told):
        search.ask(0)
    told.tell(result(0, 3e-3, status), 0.0)
    assert told.states()[0][0] == status
    edges = [search._edge.weights for search in (silent, told)]
    assert edges[0] == edges[1]


def test_the_same_results_in_the_same_order_give_the_same_probes() -> None:
    first, second = (rates(probe(a_search(), blurred(1e-2, 0.1, seed=2))) for _ in range(2))
    assert first == second


def test_another_seed_of_the_study_probes_elsewhere() -> None:
    other = {"sampler": "bisect", "trials_per_arm": 24, "replicates": 0, "seed": 1}
    first, second = a_search().ask(0), a_search(a_study(search=other)).ask(0)
    assert first != second


@pytest.mark.parametrize("done", [1, 5, 13])
def test_a_search_that_repeats_its_journal_goes_on_as_if_it_had_not_stopped(done: int) -> None:
    whole = probe(a_search(), below(7e-3))
    resumed = a_search()
    for each in whole[:done]:
        resumed.repeat(each.config.index, {KEY: each.config.hyperparameters[KEY]})
        resumed.tell(each, 0.0)
    later = probe(resumed, below(7e-3), trials=24 - done, first=done)
    assert rates(later) == rates(whole[done:])


def test_the_sampler_of_a_study_picks_it() -> None:
    spec = a_study()
    assert isinstance(search_inside(spec, spec.arms()[0]), BisectSearch)


# -- real trainings


def quadratic(largest: float, momentum: float) -> Trains:
    """Gradient descent on a quadratic whose largest second derivative is ``largest``."""
    curvature = torch.tensor([0.1 * largest, 0.5 * largest, largest], dtype=torch.float64)

    def stable(lr: float, index: int) -> bool:
        draw = torch.Generator().manual_seed(index)
        weights = torch.randn(3, generator=draw, dtype=torch.float64)
        start, velocity = float(weights.norm()), torch.zeros_like(weights)
        for _ in range(1000):
            velocity = momentum * velocity + curvature * weights
            weights = weights - lr * velocity
        end: float = weights.norm().item()
        return end < 10 * start

    return stable


@pytest.mark.parametrize(("largest", "momentum"), [(40.0, 0.0), (500.0, 0.9)])
def test_on_a_quadratic_it_finds_two_over_the_curvature(largest: float, momentum: float) -> None:
    known = 2 * (1 + momentum) / largest
    low, value, high = lr50(edge("all", probe(a_search(), quadratic(largest, momentum))))
    assert low < known < high
    assert value == pytest.approx(known, rel=0.05)


STEPS = 60


def small_network(lr: Tensor, seeds: Tensor) -> Tensor:
    """Train as many two-layer networks at once as there are rates, (n,), each with its own start, and
    say whether their loss stayed below ten times what it was, (n,)."""
    n = len(lr)
    inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.sin(2 * inputs[:, :1])
    starts = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    first = torch.stack([torch.randn(4, 16, generator=g) for g in starts]).requires_grad_()
    second = torch.stack([torch.randn(16, 1, generator=g) / 2 for g in starts]).requires_grad_()
    begun = worst = torch.zeros(n)
    for step in range(STEPS):
        losses = ((torch.relu(inputs @ first) @ second - targets) ** 2).mean((1, 2))
        begun = losses.detach() if step == 0 else begun
        worst = torch.maximum(worst, losses.detach().nan_to_num(math.inf))
        gradients = torch.autograd.grad(losses.sum(), (first, second))
        with torch.no_grad():
            first -= lr[:, None, None] * gradients[0]
            second -= lr[:, None, None] * gradients[1]
    return worst < 10 * begun.clamp(min=1.0)


def test_on_a_small_network_it_finds_the_edge_that_a_thousand_trainings_show() -> None:
    lr = torch.logspace(-3, 0, 40).repeat(25)
    stable = small_network(lr, torch.arange(len(lr)))
    scan = tuple(
        Probe(float(rate), "ok" if good else "diverged") for rate, good in zip(lr, stable, strict=True)
    )
    known = fit(scan)[0].estimate().value

    def one(rate: float, index: int) -> bool:
        return bool(small_network(torch.tensor([rate]), torch.tensor([5000 + index])))

    low, value, high = lr50(edge("all", probe(a_search(), one)))
    assert known is not None
    assert low < known < high
    assert abs(math.log10(value / known)) < 0.2


# -- what a study may ask of it


def refused(**changes: Any) -> str:
    with pytest.raises(StudyFileError) as error:
        check(a_study(**changes))
    return str(error.value)


def test_a_study_that_bisects_is_checked() -> None:
    check(a_study())


def test_it_tunes_nothing_but_the_learning_rate() -> None:
    decay = {"low": 1e-6, "high": 1e-2, "log": True}
    lr = {"low": 1e-4, "high": 1e-1, "log": True}
    assert "bisect needs optimizer.lr, and only that" in refused(
        nuisance={"optimizer": {"lr": lr, "weight_decay": decay}}
    )


def test_it_tunes_it_on_a_log_scale() -> None:
    assert "on a log scale" in refused(nuisance={"optimizer": {"lr": {"low": 1e-4, "high": 1e-1}}})


def test_it_goes_without_early_stopping() -> None:
    search = {"sampler": "bisect", "trials_per_arm": 4, "replicates": 0, "early_stopping": "asha"}
    assert "must be none with bisect" in refused(search=search)


def lr50_claim(**kind: Any) -> dict[str, Any]:
    return {"source": "L42", "metric": "lr50", **kind}


def test_claims_about_lr50_need_it() -> None:
    claim = lr50_claim(value={"arm": "all", "at_least": 1e-4})
    check(a_study(claims=[claim]))
    search = {"sampler": "random", "trials_per_arm": 4, "replicates": 0}
    assert "is what bisect measures" in refused(claims=[claim], search=search)


def test_claims_about_lr50_are_numbers() -> None:
    claim = lr50_claim(ranking=["relu", "elu"])
    assert "a value, a ratio or a difference" in refused(
        claims=[claim],
        scientific={"activation": {"name": ["relu", "elu"]}},
        fixed={**{k: v for k, v in a_study().fixed.items() if k != "activation"}},
    )
