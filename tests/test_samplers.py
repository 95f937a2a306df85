"""The door to Optuna: proposals that an interruption does not change, and the truth about every trial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from study.errors import RecordError
from study.samplers import SAMPLERS, Search, search_inside
from study.space import Scalar
from study.spec import Arm, StudySpec
from study.trial import Row, TrialConfig, TrialResult, Verdict
from tests.good_study import CLAIM, DECAY, LR, WIDER_LR, changed, spec_of

WORST = 0.1
# One trial of each end, and enough of them that every sampler has left its random start.
ENDS = ("ok", "diverged", "ok", "failed", "stalled", "pruned", "ok", "ok")


def study(sampler: str, **search: object) -> StudySpec:
    points = "true, points = 3" if sampler == "grid" else "true"
    spec = spec_of(
        changed(
            (LR, LR.replace("true", points)),
            (DECAY, DECAY.replace("true", points)),
            (WIDER_LR, ""),
            ('"tpe"', f'"{sampler}"'),
            ("trials_per_arm = 4", f"trials_per_arm = {len(ENDS)}"),
            (CLAIM, ""),
        )
    )
    return spec.model_copy(update={"search": spec.search.model_copy(update=search)})


def result(arm: Arm, index: int, tuned: dict[str, Scalar], objective: str = "val_accuracy") -> TrialResult:
    """How the trial number ``index`` ends; its score depends on what was proposed alone."""
    config = TrialConfig("mine", arm.name, "tune", index, arm.complete(tuned), 0, 0)
    status = ENDS[index % len(ENDS)]
    score = 0.3 + float(tuned["optimizer.lr"]) + float(tuned["optimizer.weight_decay"])
    curve: tuple[Row, ...] = tuple({"epoch": epoch, objective: score * epoch / 2} for epoch in (1, 2))
    metrics = {objective: score} if status == "ok" else {}
    return TrialResult(config, Verdict(status), curve, metrics)  # type: ignore[arg-type]


def carry_on(search: Search, arm: Arm, start: int, stop: int) -> list[dict[str, Scalar]]:
    proposed = []
    for index in range(start, stop):
        tuned = search.ask(index)
        search.tell(result(arm, index, tuned), WORST)
        proposed.append(tuned)
    return proposed


def replay(search: Search, arm: Arm, proposed: list[dict[str, Scalar]]) -> None:
    for index, tuned in enumerate(proposed):
        search.repeat(index, tuned)
        search.tell(result(arm, index, tuned), WORST)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_proposes_what_is_in_the_space(sampler: str) -> None:
    spec = study(sampler)
    arm = spec.arms()[0]
    for tuned in carry_on(search_inside(spec, arm), arm, 0, len(ENDS)):
        assert list(tuned) == list(arm.space.keys)
        assert all(value in arm.space.active(key, tuned) for key, value in tuned.items())  # type: ignore[operator]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_proposes_the_same_again(sampler: str) -> None:
    spec = study(sampler)
    arm = spec.arms()[0]
    first, second = (carry_on(search_inside(spec, arm), arm, 0, len(ENDS)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("done", [1, 3, 7])
def test_a_resumed_search_proposes_what_an_undisturbed_one_would_have(sampler: str, done: int) -> None:
    spec = study(sampler)
    arm = spec.arms()[0]
    undisturbed = carry_on(search_inside(spec, arm), arm, 0, len(ENDS))
    resumed = search_inside(spec, arm)
    replay(resumed, arm, undisturbed[:done])
    assert carry_on(resumed, arm, done, len(ENDS)) == undisturbed[done:]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_trial_is_told_how_it_ended(sampler: str) -> None:
    spec = study(sampler)
    arm = spec.arms()[0]
    search = search_inside(spec, arm)
    proposed = carry_on(search, arm, 0, len(ENDS))
    states = search.states()
    assert set(states) == set(range(len(ENDS)))
    for index, status in enumerate(ENDS):
        state, value = states[index]
        if status == "ok":
            assert (state, value) == ("COMPLETE", result(arm, index, proposed[index]).metrics["val_accuracy"])
        elif status == "failed":
            assert (state, value) == ("FAIL", None)
        elif status in ("diverged", "stalled") and SAMPLERS[sampler].ignores_pruned:
            assert (state, value) == ("COMPLETE", WORST)
        else:
            assert state == "PRUNED"


@pytest.mark.parametrize("sampler", [name for name, each in SAMPLERS.items() if each.ignores_pruned])
def test_a_diverged_trial_is_never_told_as_better_than_one_that_ended(sampler: str) -> None:
    """A trial may end beyond chance: 0.02 of ten classes, say."""
    spec = study(sampler)
    arm = spec.arms()[0]
    search = search_inside(spec, arm)
    below = replace(result(arm, 0, search.ask(0)), metrics={"val_accuracy": WORST / 5})
    search.tell(below, WORST)
    search.tell(replace(result(arm, 1, search.ask(1)), verdict=Verdict("diverged")), WORST)
    assert search.states()[1] == ("COMPLETE", WORST / 5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_arms_are_searched_apart(sampler: str) -> None:
    spec = study(sampler)
    first, second = spec.arms()[:2]
    alone = carry_on(search_inside(spec, first), first, 0, 5)
    together, other = search_inside(spec, first), search_inside(spec, second)
    interleaved = []
    for index in range(5):
        interleaved += carry_on(together, first, index, index + 1)
        carry_on(other, second, index, index + 1)
    assert interleaved == alone


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_another_seed_proposes_something_else(sampler: str) -> None:
    arm = study(sampler).arms()[0]
    searches = [search_inside(study(sampler, seed=seed), arm) for seed in (0, 1)]
    assert carry_on(searches[0], arm, 0, 5) != carry_on(searches[1], arm, 0, 5)


def test_a_grid_visits_every_point_once() -> None:
    spec = study("grid", trials_per_arm=9)
    arm = spec.arms()[0]
    proposed = carry_on(search_inside(spec, arm), arm, 0, 9)
    assert len({tuple(tuned.values()) for tuned in proposed}) == 9


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_trials_at_once_are_two_points(sampler: str) -> None:
    spec = study(sampler)
    arm = spec.arms()[0]
    search = search_inside(spec, arm)
    first, second = search.ask(0), search.ask(1)
    assert first != second
    search.tell(result(arm, 1, second), WORST)
    search.tell(result(arm, 0, first), WORST)
    assert "RUNNING" not in {state for state, _ in search.states().values()}


@pytest.mark.parametrize("sampler", [name for name, each in SAMPLERS.items() if each.keeps_state])
def test_a_sampler_that_changed_its_mind_is_noticed(sampler: str) -> None:
    spec = study(sampler)
    arm = spec.arms()[0]
    (proposed,) = carry_on(search_inside(spec, arm), arm, 0, 1)
    with pytest.raises(RecordError, match=rf"the sampler {sampler} no longer proposes .* --fresh"):
        search_inside(spec, arm).repeat(0, {**proposed, "optimizer.lr": 0.0123})


@pytest.mark.parametrize("sampler", ["random", "tpe", "qmc", "cmaes", "gp"])
def test_a_space_with_conditions_is_searched_and_resumed(sampler: str) -> None:
    conditional = (
        '[conditional."optimizer.name=sgd"]\noptimizer.momentum = { low = 0.0, high = 0.9 }\n'
        "optimizer.lr = { low = 1e-2, high = 1.0, log = true }\n"
    )
    spec = spec_of(
        changed(
            (DECAY, f'{DECAY}\noptimizer.name = ["sgd", "adam"]\n{conditional}'),
            (WIDER_LR, ""),
            ('name = "sgd", momentum = 0.9', "eps = 1e-8"),
            ('"tpe"', f'"{sampler}"'),
        ),
        "search.trials_per_arm=8",
    )
    arm = spec.arms()[0]
    undisturbed = carry_on(search_inside(spec, arm), arm, 0, len(ENDS))
    assert {tuned["optimizer.name"] for tuned in undisturbed} == {"sgd", "adam"}
    for tuned in undisturbed:
        assert ("optimizer.momentum" in tuned) is (tuned["optimizer.name"] == "sgd")
        assert float(tuned["optimizer.lr"]) >= 1e-2 or tuned["optimizer.name"] == "adam"
    resumed = search_inside(spec, arm)
    replay(resumed, arm, undisturbed[:4])
    assert carry_on(resumed, arm, 4, len(ENDS)) == undisturbed[4:]


def test_a_trial_that_was_tried_again_counts_once() -> None:
    spec = study("tpe")
    arm = spec.arms()[0]
    search = search_inside(spec, arm)
    tuned = search.ask(0)
    ended = replace(result(arm, 0, tuned), verdict=Verdict("ok"), metrics={"val_accuracy": 0.5})
    search.tell(ended, WORST)
    assert search.states() == {0: ("COMPLETE", 0.5)}
