"""The ranking on planted results."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest

from study.analysis import outcomes
from study.analysis.outcomes import direction, quantity
from study.analysis.ranking import Ranking, ranking
from study.analysis.selection import best_trial, replicates_expected, to_confirm
from study.analysis.tables import answer, ranking_table
from study.analysis.untuned import untuned
from study.trial import Row, Status, TrialResult
from tests.analysis.planted import by_id, diverged, planted_spec, scores, simulated, trial

HELD = {"dataset": {"name": "digits"}, "model": {"name": "all_cnn_c"}}


def order(found: Ranking) -> list[str]:
    return [each.arm for each in found.arms]


def texts(found: Ranking, arm: str) -> list[str]:
    return [flag.text for flag in found[arm].flags]


# -- order and numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_order_is_recovered(seed: int) -> None:
    levels = {"relu": 0.35, "elu": 0.47, "prelu": 0.39, "tanh": 0.30}
    arms = random.Random(seed).sample(list(levels), len(levels))
    spec = planted_spec(*arms, replicates=8, trials=6)
    found = ranking(spec, simulated(spec, {arm: levels[arm] for arm in arms}, seed))
    assert order(found) == ["elu", "prelu", "relu", "tanh"]
    assert [each.rank for each in found.arms] == [1, 2, 3, 4]


def test_the_metric_is_the_test_metric_of_the_objective() -> None:
    spec = planted_spec("relu", "elu", objective="val_loss")
    assert outcomes.test_metric(spec) == ranking(spec, {}).metric == "test_loss"


def test_a_loss_ranks_the_lowest_first() -> None:
    spec = planted_spec("relu", "elu", replicates=2, objective="val_loss")
    results = by_id(scores("relu", 0.9, 0.8, metric="test_loss"), scores("elu", 0.5, 0.6, metric="test_loss"))
    found = ranking(spec, results)
    assert order(found) == ["elu", "relu"]


def test_a_lead_is_above_zero_where_the_loss_is_lower() -> None:
    spec = planted_spec("relu", "elu", replicates=2, objective="val_loss")
    results = by_id(scores("relu", 0.9, 0.8, metric="test_loss"), scores("elu", 0.5, 0.6, metric="test_loss"))
    lead = ranking(spec, results)["elu"].lead
    assert lead is not None
    assert lead.over == "relu"
    assert lead.test.interval.mean == pytest.approx(0.3)


def test_another_metric_ranks_by_its_own_direction() -> None:
    spec = planted_spec("relu", "elu", replicates=1)
    results = by_id(scores("relu", 0.9, metric="test_loss"), scores("elu", 0.5, metric="test_loss"))
    assert order(ranking(spec, results, metric="test_loss")) == ["elu", "relu"]


@pytest.mark.parametrize(
    ("metric", "better"),
    [("test_accuracy", "maximize"), ("test_loss", "minimize"), ("val_error", "minimize")],
)
def test_each_metric_has_a_direction(metric: str, better: str) -> None:
    assert direction(planted_spec("relu", "elu"), metric) == better


@pytest.mark.parametrize(
    ("metric", "what"), [("val_loss", "loss"), ("train_eval_accuracy", "accuracy"), ("test_error", "error")]
)
def test_a_metric_is_a_quantity_on_a_split(metric: str, what: str) -> None:
    assert quantity(metric) == what


def test_tuning_values_do_not_enter_the_ranking() -> None:
    spec = planted_spec("relu", "elu", replicates=1)
    lucky = [trial("relu", "tune", 0, {"val_accuracy": 0.99, "test_accuracy": 0.99})]
    results = by_id(lucky, scores("relu", 0.3), scores("elu", 0.5))
    assert order(ranking(spec, results)) == ["elu", "relu"]


def test_arms_that_cannot_be_told_apart_share_a_rank() -> None:
    """relu and elu lie 0.001 apart, tanh 0.2 below both; differences spread by about 0.003."""
    spec = planted_spec("relu", "elu", "tanh", replicates=6)
    wobble = (0.0, 0.003, -0.002, 0.004, -0.003, 0.001)
    results = by_id(
        scores("tanh", *(0.3 + each for each in reversed(wobble))),
        scores("elu", *(0.5 + each for each in wobble)),
        scores("relu", *(0.5015 - each for each in wobble)),
    )
    assert [(each.arm, each.rank) for each in ranking(spec, results).arms] == [
        ("relu", 1),
        ("elu", 1),
        ("tanh", 3),
    ]


def test_a_lead_within_chance_gives_no_rank_of_its_own() -> None:
    spec = planted_spec("relu", "elu", "tanh", replicates=3)
    results = by_id(
        scores("relu", 0.1, 0.2, 0.4), scores("elu", 0.4, 0.1, 0.2), scores("tanh", 0.1, 0.1, 0.1)
    )
    assert [each.rank for each in ranking(spec, results).arms] == [1, 1, 1]


def test_below_twenty_replicates_the_t_interval_leads_and_from_there_on_the_bootstrap() -> None:
    draw = random.Random(1)
    for n, leads, stands_beside in ((19, "t", "bca"), (20, "bca", "t")):
        spec = planted_spec("relu", "elu", replicates=n)
        results = by_id(*(scores(arm, *(draw.gauss(0.5, 0.1) for _ in range(n))) for arm in ("relu", "elu")))
        first = ranking(spec, results).to_json()[0]
        assert (first["interval"], first["beside"]["interval"]) == (leads, stands_beside)
        assert (first["lead"]["interval"], first["lead"]["beside"]["interval"]) == (leads, stands_beside)


def test_lost_replicates_have_a_wilson_interval() -> None:
    """Of 10 with 3 lost: 0.108 to 0.603 (Newcombe 1998, Stat. Med. 17:857-872, method 3, by its formula)."""
    spec = planted_spec("relu", replicates=10)
    stalled = trial("relu", "confirm", 9, {"test_accuracy": 0.1}, status="stalled", kind="dead")
    lost = ranking(spec, by_id(scores("relu", *[0.5] * 7, None, None), [stalled]))["relu"].lost
    assert lost.n == 10
    assert (lost.share, lost.low, lost.high) == pytest.approx((0.3, 0.1078, 0.6032), abs=1e-4)


def test_arms_are_compared_over_the_replicates_that_both_have() -> None:
    """Replicate 1 is missing in elu: it is an easy one, and must not enter the difference."""
    spec = planted_spec("relu", "elu", replicates=3)
    elu = [each for each in scores("elu", 0.30, 0.0, 0.31) if each.config.index != 1]
    results = by_id(scores("relu", 0.35, 0.90, 0.36), elu)
    lead = ranking(spec, results)["relu"].lead
    assert lead is not None
    assert lead.test.interval.n == 2
    assert lead.test.interval.mean == pytest.approx(0.05)


# -- how trials that did not end well count -----------------------------------------------------------


def test_a_diverged_replicate_counts_as_chance() -> None:
    spec = planted_spec("relu", replicates=4)
    found = ranking(spec, by_id(scores("relu", 0.5, 0.5, None, 0.5)))["relu"]
    assert (found.n, found.diverged) == (4, 1)
    assert found.interval.mean == pytest.approx((0.5 * 3 + 0.1) / 4)
    assert found.finished_mean == pytest.approx(0.5)


def test_a_diverged_replicate_has_the_loss_of_the_best_constant() -> None:
    spec = planted_spec("relu", replicates=1, objective="val_loss")
    found = ranking(spec, by_id(scores("relu", None, metric="test_loss")))["relu"]
    assert found.interval.mean == pytest.approx(math.log(10))


def test_an_arm_that_always_diverged_stands_at_chance() -> None:
    spec = planted_spec("relu", "elu", replicates=3)
    found = ranking(spec, by_id(scores("relu", None, None, None), scores("elu", 0.29, 0.3, 0.31)))["relu"]
    assert (found.rank, found.diverged, found.finished_mean) == (2, 3, None)
    assert found.interval.low == found.interval.mean == found.interval.high == 0.1


def test_chance_is_taken_from_another_trial_where_the_diverged_one_did_not_note_it() -> None:
    spec = planted_spec("relu", "elu", replicates=1)
    (bare,) = scores("relu", None)
    bare.environment.pop("worst")  # type: ignore[attr-defined]
    found = ranking(spec, by_id([bare], scores("elu", 0.5)))["relu"]
    assert found.interval.mean == 0.1


def test_without_any_note_of_chance_there_is_no_mean() -> None:
    spec = planted_spec("relu", replicates=2)
    results = scores("relu", 0.5, None)
    for each in results:
        each.environment.pop("worst")  # type: ignore[attr-defined]
    found = ranking(spec, by_id(results))
    assert (found["relu"].n, found["relu"].interval.mean, found["relu"].rank) == (2, None, None)
    assert "1 replicate without a number: no mean can be given" in texts(found, "relu")


def test_a_stalled_replicate_keeps_its_own_number() -> None:
    spec = planted_spec("relu", replicates=1)
    stalled = trial("relu", "confirm", 0, {"test_accuracy": 0.11}, status="stalled", kind="dead")
    found = ranking(spec, by_id([stalled]))["relu"]
    assert (found.interval.mean, found.diverged) == (0.11, 0)


def test_a_replicate_that_stalled_counts_as_chance_too_and_is_told_apart() -> None:
    spec = planted_spec("relu", replicates=4)
    stalled = trial("relu", "confirm", 3, status="stalled", kind="dead")
    found = ranking(spec, by_id(scores("relu", 0.5, 0.5, None), [stalled]))
    relu = found["relu"]
    assert (relu.n, relu.diverged, relu.stalled) == (4, 1, 1)
    assert relu.interval.mean == pytest.approx((0.5 * 2 + 0.1 * 2) / 4)
    assert relu.finished_mean == pytest.approx(0.5)
    assert ranking_table(found).rows[0].diverged == "1 of 4, 1 stalled"


def test_a_failed_replicate_is_not_counted() -> None:
    spec = planted_spec("relu", replicates=2)
    failed = trial("relu", "confirm", 1, status="failed", kind="oom")
    found = ranking(spec, by_id(scores("relu", 0.5), [failed]))
    assert (found["relu"].n, found["relu"].interval.mean) == (1, 0.5)
    assert "1 of 2 replicates failed (oom): not counted" in texts(found, "relu")


def test_a_single_replicate_has_a_mean_and_no_interval() -> None:
    spec = planted_spec("relu", "elu", replicates=1)
    found = ranking(spec, by_id(scores("relu", 0.5), scores("elu", 0.25)))["relu"]
    assert (found.interval.mean, found.interval.low, found.interval.high) == (0.5, None, None)
    assert found.lead is not None
    assert (found.lead.test.interval.mean, found.lead.test.p) == (0.25, None)


def test_arms_without_replicates_come_last_and_have_no_rank() -> None:
    spec = planted_spec("tanh", "relu", "elu", replicates=1)
    found = ranking(spec, by_id(scores("elu", 0.5)))
    assert [(each.arm, each.rank, each.n) for each in found.arms] == [
        ("elu", 1, 1),
        ("tanh", None, 0),
        ("relu", None, 0),
    ]


def test_a_study_without_results_has_a_ranking_without_numbers() -> None:
    found = ranking(planted_spec("relu", "elu", replicates=3), {})
    assert [(each.arm, each.rank, each.best, each.lead) for each in found.arms] == [
        ("relu", None, None, None),
        ("elu", None, None, None),
    ]


@pytest.mark.parametrize("values", [(), (0.5,), (None, None), (0.5, None), (0.5, 0.5)])
def test_the_ranking_is_strict_json(values: tuple[float | None, ...]) -> None:
    spec = planted_spec("relu", "elu", replicates=2)
    found = ranking(spec, by_id(scores("relu", *values), scores("elu", 0.5, 0.4)))
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


def test_the_json_has_the_promised_names() -> None:
    found = ranking(planted_spec("relu"), {}).to_json()[0]
    promised = {"arm", "n", "mean", "low", "high", "finished_mean", "best", "diverged", "rank"}
    assert promised <= found.keys()


# -- an arm's best configuration ----------------------------------------------------------------------


def tuned(*values: float | None, lr: float = 0.01) -> list[TrialResult]:
    return [
        diverged("relu", "tune", index, lr)
        if value is None
        else trial("relu", "tune", index, {"val_accuracy": value}, lr=lr)
        for index, value in enumerate(values)
    ]


@pytest.mark.parametrize(("values", "index"), [((0.1, 0.5, 0.3), 1), ((0.5, 0.5), 0), ((None, 0.2), 1)])
def test_the_best_trial_has_the_best_final_value_and_of_equal_ones_is_the_first(
    values: tuple[float | None, ...], index: int
) -> None:
    results = by_id(reversed(tuned(*values)))
    best = best_trial(planted_spec("relu", trials=3), results, "relu")
    assert best is not None
    assert best.config.index == index


def test_the_best_trial_has_the_lowest_loss() -> None:
    losses = [trial("relu", "tune", index, {"val_loss": loss}) for index, loss in enumerate([0.5, 0.2, 0.9])]
    best = best_trial(planted_spec("relu", objective="val_loss"), by_id(losses), "relu")
    assert best is not None
    assert best.config.index == 1


@pytest.mark.parametrize("status", ["pruned", "stalled", "failed"])
def test_only_a_trial_that_ended_ok_can_be_the_best(status: Status) -> None:
    results = by_id([trial("relu", "tune", 0, {"val_accuracy": 0.9}, status=status)])
    assert best_trial(planted_spec("relu"), results, "relu") is None


def test_replicates_and_other_arms_are_no_candidates() -> None:
    others = [
        trial("relu", "confirm", 0, {"val_accuracy": 0.9}),
        trial("elu", "tune", 0, {"val_accuracy": 0.9}),
    ]
    assert best_trial(planted_spec("relu", "elu"), by_id(others), "relu") is None


def test_an_arm_of_which_all_failed_will_have_no_replicates() -> None:
    spec = planted_spec("relu", trials=2, replicates=4)
    failed = [trial("relu", "tune", index, status="failed", kind="crash") for index in range(2)]
    assert replicates_expected(spec, by_id(failed[:1]), "relu") == 4
    assert replicates_expected(spec, by_id(failed), "relu") == 0
    assert replicates_expected(spec, by_id(tuned(None, None)), "relu") == 4


@pytest.mark.parametrize(
    ("ends", "index"),
    [
        ([("diverged", 30), ("diverged", 70), ("failed", 100)], 1),
        ([("diverged", 90), ("stalled", 50), ("stalled", 80)], 2),
        ([("stalled", 90), ("pruned", 20), ("diverged", 95)], 1),
        ([("stalled", 90), ("pruned", 20), ("ok", 90)], 2),
        ([("failed", 90)], None),
    ],
)
def test_where_no_trial_ended_ok_the_one_that_got_furthest_is_confirmed(
    ends: list[tuple[Status, int]], index: int | None
) -> None:
    results = [
        replace(
            trial("relu", "tune", number, {"val_accuracy": 0.5}, status=status), gradient_evaluations=steps
        )
        for number, (status, steps) in enumerate(ends)
    ]
    chosen = to_confirm(planted_spec("relu"), by_id(results), "relu")
    assert (chosen and chosen.config.index) == index


def test_best_names_the_tuned_hyperparameters_alone() -> None:
    results = by_id(tuned(0.5, lr=0.02))
    assert ranking(planted_spec("relu"), results)["relu"].best == {"optimizer.lr": 0.02}


# -- flags --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [1e-4, 0.1, 0.099])
def test_a_best_value_on_the_edge_of_its_range_is_flagged(lr: float) -> None:
    results = by_id(tuned(0.5, lr=lr))
    found = ranking(planted_spec("relu"), results)
    assert any("lies on the edge of [0.0001, 0.1]" in text for text in texts(found, "relu"))


def test_the_edge_is_that_of_the_arms_own_range() -> None:
    wider = {"activation.name=relu": {"optimizer": {"lr": {"low": 1e-4, "high": 1.0, "log": True}}}}
    spec = planted_spec("relu", "elu", trials=2, conditional=wider)
    results = by_id(
        [
            trial(arm, "tune", index, {"val_accuracy": 0.5}, lr=0.1)
            for arm in ("relu", "elu")
            for index in (0, 1)
        ]
    )
    found = ranking(spec, results)
    assert texts(found, "relu") == []
    assert [flag.kind for flag in found["elu"].flags] == ["edge"]


def test_fewer_replicates_than_asked_are_flagged() -> None:
    spec = planted_spec("relu", replicates=4, trials=2)
    found = ranking(spec, by_id(tuned(0.5, 0.5), scores("relu", 0.5, 0.4, 0.3)))
    assert texts(found, "relu") == ["3 of 4 replicates ended"]


def test_unfinished_tuning_is_flagged() -> None:
    found = ranking(planted_spec("relu", trials=4), by_id(tuned(0.5)))
    assert texts(found, "relu") == ["tuning is unfinished: 1 of 4 trials ended"]


def test_an_arm_of_which_no_tuning_trial_finished_is_flagged() -> None:
    found = ranking(planted_spec("relu", trials=2, replicates=3), by_id(tuned(None, None)))
    assert texts(found, "relu") == [
        "not tuned: none of 2 tuning trials ended ok; its replicates retrain relu/tune/0, which got furthest",
        "0 of 3 replicates ended",
    ]


def test_failed_tuning_trials_are_flagged() -> None:
    failed = trial("relu", "tune", 1, status="failed", kind="crash")
    found = ranking(planted_spec("relu", trials=2), by_id(tuned(0.5), [failed]))
    assert texts(found, "relu") == ["1 of 2 tuning trials failed (crash): not counted"]


def test_replicates_of_different_configurations_are_flagged() -> None:
    spec = planted_spec("relu", replicates=3, trials=2)
    mixed = [
        trial("relu", "confirm", index, {"test_accuracy": 0.5}, lr=0.01 * (1 + index)) for index in range(3)
    ]
    found = ranking(spec, by_id(tuned(0.5, 0.4), mixed))
    assert [flag.kind for flag in found["relu"].flags] == ["mixed"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (({"step": 60, "gradient_evaluations": 900}, {"step": 60, "gradient_evaluations": 1500}), True),
        (({"step": 60, "gradient_evaluations": 60}, {"step": 60, "gradient_evaluations": 60}), False),
        (({"step": 60}, {"step": 60}), False),
    ],
    ids=["a line search", "a gradient a step", "an older record"],
)
def test_an_arm_whose_steps_take_several_gradients_is_flagged(counts: tuple[Row, ...], said: bool) -> None:
    spec = planted_spec("relu", replicates=3, trials=2)
    replicates = [
        trial("relu", "confirm", index, {"test_accuracy": 0.5}, curve=({"epoch": 1, **row},))
        for index, row in enumerate(counts)
    ]
    found = ranking(spec, by_id(tuned(0.5, 0.4), replicates, [diverged("relu", "confirm", 2)]))
    assert texts(found, "relu") == (["took 20 gradients a step, 1,200 a replicate"] if said else [])


def test_an_arm_that_is_tuned_and_confirmed_as_asked_has_no_flag() -> None:
    spec = planted_spec("relu", replicates=3, trials=2)
    found = ranking(spec, by_id(tuned(0.5, None), scores("relu", 0.5, 0.4, None)))
    assert texts(found, "relu") == []


def test_a_spread_of_two_replicates_is_flagged() -> None:
    spec = planted_spec("relu", replicates=2, trials=2)
    found = ranking(spec, by_id(tuned(0.5, 0.4), scores("relu", 0.5, 0.4)))
    assert texts(found, "relu") == ["2 replicates: their spread is hardly known"]


def test_tuning_by_a_single_trial_is_flagged_where_something_is_tuned() -> None:
    fixed = planted_spec("relu", nuisance={}, fixed={**HELD, "optimizer": {"lr": 0.01}})
    assert texts(ranking(planted_spec("relu"), by_id(tuned(0.5))), "relu") == ["tuned by a single trial"]
    assert texts(ranking(fixed, by_id(tuned(0.5))), "relu") == []


# -- arms that were not tuned -------------------------------------------------------------------------


def smooth(*smish: float | None, relu: float = 0.95) -> dict[str, TrialResult]:
    """Of relu and of elu, which always is as good, the tuning went well; that of smish gave these values."""
    good = [
        trial(arm, "tune", index, {"val_accuracy": relu}) for arm in ("relu", "elu") for index in range(4)
    ]
    mine = [
        diverged("smish", "tune", index)
        if value is None
        else trial("smish", "tune", index, {"val_accuracy": value}, lr=1e-4)
        for index, value in enumerate(smish)
    ]
    replicates = [scores("relu", 0.95, 0.94, 0.96), scores("smish", 0.1, 0.11, 0.12)]
    return by_id(good, mine, *replicates)


SMOOTH = planted_spec("relu", "smish", trials=4, replicates=3)


def test_an_arm_whose_best_trial_learned_nothing_is_flagged_as_not_tuned_and_nothing_else() -> None:
    found = ranking(SMOOTH, smooth(None, None, None, 0.1049))
    (only,) = texts(found, "smish")
    assert only == (
        "not tuned: the best of 4 tuning trials has validation accuracy 0.105, and chance is 0.1; 3 diverged"
        ": other ranges, or more trials"
    )
    assert [flag.kind for flag in found["smish"].flags] == ["tuning"]
    assert texts(found, "relu") == []


@pytest.mark.parametrize(("value", "tuned"), [(0.09, False), (0.18, False), (0.19, True), (0.95, True)])
def test_a_tuned_arm_came_a_tenth_of_the_way_from_chance_to_the_best(value: float, tuned: bool) -> None:
    """A tenth of the way from 0.1 to 0.95 is 0.185."""
    assert (ranking(SMOOTH, smooth(value, None, None, None))["smish"].untuned == "") is tuned


def test_a_loss_near_that_of_the_best_constant_is_not_tuned_either() -> None:
    spec = planted_spec("relu", "smish", trials=1, objective="val_loss")
    losses = {"relu": 0.3, "smish": 2.25}  # chance is log 10 = 2.303
    results = by_id([trial(arm, "tune", 0, {"val_loss": loss}) for arm, loss in losses.items()])
    assert list(untuned(spec, results)) == ["smish"]


def test_where_no_arm_beats_chance_none_was_tuned() -> None:
    results = by_id([trial(arm, "tune", 0, {"val_accuracy": 0.1}) for arm in ("relu", "smish")])
    assert list(untuned(planted_spec("relu", "smish"), results)) == ["relu", "smish"]


def test_an_arm_that_tunes_nothing_may_stand_at_chance() -> None:
    spec = planted_spec("relu", "smish", nuisance={}, fixed={**HELD, "optimizer": {"lr": 0.01}})
    results = by_id(
        [trial(arm, "tune", 0, {"val_accuracy": at}) for arm, at in (("relu", 0.9), ("smish", 0.1))]
    )
    assert untuned(spec, results) == {}


@pytest.mark.parametrize("smish", [(None, None, None, 0.1049), (None, None, None, None)])
def test_a_lead_over_an_arm_that_was_not_tuned_says_so(smish: tuple[float | None, ...]) -> None:
    said = answer(ranking(SMOOTH, smooth(*smish)))
    assert "ahead of smish, which was not tuned, by 0.840" in said
    assert said.endswith("p < 0.001).")


def test_the_answer_names_other_arms_that_were_not_tuned() -> None:
    spec = planted_spec("relu", "elu", "smish", trials=4, replicates=3)
    results = smooth(None, None, None, 0.1049) | by_id(scores("elu", 0.9, 0.91, 0.92))
    assert answer(ranking(spec, results)).endswith("; smish was not tuned.")
    assert "not tuned" not in answer(ranking(spec, smooth(0.9, 0.9, 0.9, 0.9)))
