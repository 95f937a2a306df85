"""Early stopping: who is stopped, by which numbers, and that nobody is judged by another's rungs."""

from __future__ import annotations

import pytest

from study.early_stopping import RULES, Hyperband, Rule, Stop, spared
from study.spec import Search


def search(**settings: object) -> Search:
    return Search.model_validate({"early_stopping": "asha", **settings})


def rule(name: str, epochs: int = 30, sign: int = 1, **settings: object) -> Rule:
    return RULES[name](search(**settings), epochs, sign)


def told(rule: Rule, epoch: int, values: list[float | None]) -> list[Stop | None]:
    """Tell the rule ``values`` of trials 0, 1, ... after the same epoch."""
    return [rule.observe(trial, epoch, value) for trial, value in enumerate(values)]


@pytest.mark.parametrize("name", ["none", "asha", "hyperband", "median"])
def test_no_trial_is_stopped_at_its_last_epoch(name: str) -> None:
    assert told(rule(name, epochs=1), 1, [0.9, 0.1, 0.5, None, 0.3, 0.2]) == [None] * 6


def test_without_early_stopping_nobody_is_stopped() -> None:
    assert told(rule("none"), 1, [0.9, 0.1, None]) == [None] * 3


def test_asha_keeps_the_best_third_of_those_that_reached_the_rung() -> None:
    stops = told(rule("asha"), 1, [0.5, 0.4, 0.6, 0.7, 0.3, 0.65, 0.66])
    # Of 1 to 5 trials the best one goes on; of 6 and 7 the best two.
    assert [stop is None for stop in stops] == [True, False, True, True, False, True, True]


def test_a_stop_says_what_decided_it() -> None:
    stop = told(rule("asha"), 1, [0.5, 0.4])[1]
    assert stop == Stop("asha", epoch=1, value=0.4, cutoff=0.5, rank=2, of=2)
    verdict = stop.verdict(step=78)
    assert (verdict.status, verdict.kind, verdict.step, verdict.epoch) == ("pruned", "asha", 78, 1)
    assert verdict.reason == ("stopped by asha after epoch 1: 0.4 is rank 2 of 2, behind the cut-off 0.5")


def test_asha_judges_at_its_rungs_only() -> None:
    asha = rule("asha", grace_epochs=2)
    judged = [epoch for epoch in range(1, 31) if told(asha, epoch, [0.5, 0.4])[1] is not None]
    assert judged == [2, 6, 18]


def test_a_minimised_metric_is_judged_the_other_way_round() -> None:
    stop = told(rule("asha", sign=-1), 1, [0.4, 0.5])[1]
    assert stop is not None
    assert (stop.value, stop.cutoff) == (0.5, 0.4)


@pytest.mark.parametrize("name", ["asha", "median"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_that_is_not_finite_never_passes_a_rung(name: str, sign: int) -> None:
    stops = told(rule(name, sign=sign), 1, [0.5, 0.5, 0.5, None])
    assert stops[3] is not None
    assert stops[3].value is None


def test_a_value_that_is_not_finite_never_passes_a_rung_alone() -> None:
    assert told(rule("asha"), 1, [None])[0] is not None


def test_values_that_are_not_finite_do_not_save_the_others() -> None:
    stops = told(rule("asha"), 1, [None, None, 0.5, 0.4])
    assert stops[2] is None
    assert stops[3] is not None


def test_being_told_again_changes_nothing() -> None:
    once, twice = rule("asha"), rule("asha")
    values: list[float | None] = [0.5, 0.6, 0.4, 0.7]
    told(once, 1, values)
    told(twice, 1, values)
    told(twice, 1, values)
    assert once.values == twice.values
    assert once.observe(9, 1, 0.65) == twice.observe(9, 1, 0.65)


def test_the_median_rule_waits_for_three_others() -> None:
    assert [stop is None for stop in told(rule("median"), 1, [0.9, 0.8, 0.7, 0.1])] == [
        True,
        True,
        True,
        False,
    ]


def test_the_median_rule_compares_the_best_so_far_with_running_means() -> None:
    median = rule("median")
    told(median, 1, [0.2, 0.4, 0.6, 0.5])
    told(median, 2, [0.6, 0.6, 0.6])
    # The others' running means are 0.4, 0.5 and 0.6: the best so far, 0.5 from epoch 1, is not below 0.5.
    assert median.observe(3, 2, 0.1) is None


def test_hyperband_judges_each_bracket_apart() -> None:
    hyperband = rule("hyperband", epochs=27)
    assert isinstance(hyperband, Hyperband)
    brackets = [hyperband.bracket(trial) for trial in range(1000)]
    assert set(brackets) == {0, 1, 2, 3}
    assert hyperband.rungs(brackets.index(0)) == [1, 3, 9]
    assert hyperband.rungs(brackets.index(2)) == [9]
    assert hyperband.rungs(brackets.index(3)) == []
    assert brackets.count(0) > brackets.count(1) > brackets.count(3)
    first, other = brackets.index(0), brackets.index(1)
    hyperband.observe(first, 3, 0.9)
    assert hyperband.observe(other, 3, 0.1) is None


def test_a_seeded_share_of_stopped_trials_is_spared() -> None:
    share = sum(spared(search(finish_share=0.05), "relu", trial) for trial in range(10_000)) / 10_000
    assert abs(share - 0.05) < 4 * (0.05 * 0.95 / 10_000) ** 0.5  # four standard errors
    assert not any(spared(search(finish_share=0.0), "relu", trial) for trial in range(100))
    assert all(spared(search(finish_share=1.0), "relu", trial) for trial in range(100))


@pytest.mark.parametrize("name", ["asha", "median"])
def test_a_trial_that_tells_its_epochs_again_is_not_judged_by_what_came_in_between(name: str) -> None:
    """As after its worker's death: it had passed when it was there alone."""
    again = rule(name)
    assert told(again, 1, [0.5, 0.6, 0.7, 0.8, 0.9])[0] is None
    assert again.observe(0, 1, 0.5) is None


def test_what_a_trial_reached_with_other_code_is_forgotten() -> None:
    asha = rule("asha")
    asha.observe(0, 1, 0.9)
    asha.forget(0)
    assert asha.observe(1, 1, 0.5) is None
    assert asha.observe(0, 1, 0.4) is not None
