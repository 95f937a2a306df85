"""The rules of divergence on made-up losses, at the scales of several losses and data sets."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator

import pytest

from study.components.thresholds import Thresholds
from study.symptoms import MAX_EVENTS, WINDOW, Watch
from study.trial import Verdict

# Cross-entropy of 10 and of 100 classes, squared errors of small and of large targets.
SCALES = pytest.mark.parametrize("scale", [math.log(10), math.log(100), 0.003, 4e4])
EPOCH = 50
DEFAULTS = Thresholds()


def watch(scale: float = 1.0, limits: Thresholds = DEFAULTS, *, epoch_steps: int = EPOCH) -> Watch:
    return Watch(limits, scale, chance=0.1, epoch_steps=epoch_steps)


def feed(told: Watch, losses: Iterable[float], norm: float = 1.0, lr: float | None = None) -> Verdict | None:
    """Tell ``losses``, in units of the scale, until there is a verdict."""
    for loss in losses:
        if verdict := told.step(loss * (told.scale or 1.0), norm, lr):
            return verdict
    return None


def noisy(level: float, steps: int, spread: float = 0.1, seed: int = 0) -> Iterator[float]:
    draw = random.Random(seed)
    return (level * math.exp(draw.gauss(0, spread)) for _ in range(steps))


def falling(start: float, end: float, steps: int, spread: float = 0.1) -> Iterator[float]:
    """From ``start`` to ``end``, the same share each step."""
    shape = (start * (end / start) ** (step / steps) for step in range(steps))
    return (level * chance for level, chance in zip(shape, noisy(1.0, steps, spread), strict=True))


def settled(scale: float = 1.0, limits: Thresholds = DEFAULTS) -> Watch:
    """A training that has come down to a fifth of the scale in 200 steps."""
    told = watch(scale, limits)
    assert feed(told, itertools.chain(falling(1.1, 0.2, 100), noisy(0.2, 100))) is None
    return told


def kinds(told: Watch) -> list[str]:
    return [event["kind"] for event in told.told()]


# -- numbers that are not finite


@pytest.mark.parametrize("scale", [None, 2.3])
def test_the_first_step_is_already_watched_with_and_without_a_scale(scale: float | None) -> None:
    verdict = Watch(Thresholds(), scale).step(math.nan, 1.0)
    assert verdict is not None
    assert (verdict.kind, verdict.step) == ("nonfinite_loss", 0)


def test_without_a_scale_no_finite_number_is_too_large() -> None:
    told = Watch(Thresholds(), None)
    assert all(told.step(10.0**power, 1e30) is None for power in range(300))
    assert told.epoch(0.0, 1000, alike=lambda: True, last=True) is None
    assert not told.evaluation_alone(1e9)


# -- healthy trainings


@SCALES
def test_a_training_that_comes_down_is_left_alone(scale: float) -> None:
    told = watch(scale)
    for epoch, end in enumerate((0.8, 0.5, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)):
        assert feed(told, falling(1.1 if epoch == 0 else 2 * end, end, 4 * EPOCH, spread=0.3)) is None
        assert told.epoch(1 - end, 6400) is None
    assert "spike" not in kinds(told)


@SCALES
@pytest.mark.parametrize("start", [2.8, 20.0, 300.0])
def test_a_high_start_is_no_explosion(scale: float, start: float) -> None:
    assert feed(watch(scale), falling(start, 0.5, 600)) is None


def test_a_loss_that_stays_where_it_began_has_not_gone_anywhere() -> None:
    assert feed(watch(), noisy(2.8, 2000)) is None


def test_a_slow_fall_from_high_up_is_no_want_of_return() -> None:
    assert feed(watch(), falling(2.8, 1.0, 5000)) is None


def test_batches_that_differ_by_a_factor_of_two_are_no_spikes() -> None:
    told = settled()
    draw = random.Random(1)
    assert feed(told, (0.2 * draw.choice([0.7, 1.0, 1.4]) for _ in range(2000))) is None
    assert kinds(told) == []


def test_a_loss_near_zero_may_jump_by_its_tenfold() -> None:
    told = settled()
    feed(told, falling(0.2, 1e-4, 300))
    feed(told, (0.05 if step % 60 == 0 else 1e-4 for step in range(600)))
    assert kinds(told) == []


# -- explosion


@SCALES
def test_a_loss_that_multiplies_is_stopped_as_soon_as_it_is_a_hundred_constants(scale: float) -> None:
    verdict = feed(settled(scale), (0.2 * 3**step for step in range(20)))
    assert verdict is not None
    assert (verdict.status, verdict.kind) == ("diverged", "explosion")
    assert verdict.step == 200 + math.ceil(math.log(100 / 0.2, 3))


@SCALES
def test_a_loss_that_stays_above_fifty_constants_is_an_explosion_too(scale: float) -> None:
    verdict = feed(settled(scale), noisy(80.0, 50))
    assert verdict is not None
    assert verdict.kind == "explosion"
    assert verdict.step is not None
    # 0.9 of the smoothed loss stays each step: from about 0 to 50 of 80 takes ten.
    assert 205 < verdict.step < 215


@SCALES
def test_a_loss_that_comes_back_from_thirty_constants_is_left_to(scale: float) -> None:
    """As Adam's does, whose steps are bounded."""
    told = settled(scale)
    assert feed(told, [*falling(0.2, 30.0, 20), *noisy(30.0, 50), *falling(30.0, 0.2, 200)]) is None


@SCALES
def test_one_loss_of_a_hundred_constants_is_an_explosion_in_the_first_steps_too(scale: float) -> None:
    verdict = feed(watch(scale), [1.0, 1.1, 101.0])
    assert verdict is not None
    assert (verdict.kind, verdict.step) == ("explosion", 2)
    assert verdict.numbers["loss"] == pytest.approx(101 * scale)
    assert verdict.numbers["best_constant"] == scale


def test_a_verdict_says_its_numbers_in_one_line() -> None:
    verdict = feed(watch(2.0), [1.0, 200.0])
    assert verdict is not None
    assert verdict.reason == (
        "loss 400, smoothed 41.8 after 2 at best, where the best constant has 2, at step 1"
    )
    json.dumps(dict(verdict.numbers), allow_nan=False)


def test_a_single_loss_of_twenty_constants_is_a_spike() -> None:
    told = settled()
    assert feed(told, [20.0, *noisy(0.2, 100)]) is None
    assert kinds(told) == ["recovered"]


def test_the_limit_of_an_explosion_is_the_study_file_s() -> None:
    assert feed(watch(limits=Thresholds(explosion=1e6, rise_level=1e6)), [1.0, 200.0, 500.0]) is None


# -- no return


@SCALES
def test_a_loss_that_stays_up_is_given_up_after_a_hundred_steps(scale: float) -> None:
    verdict = feed(settled(scale), noisy(2.5, 400))
    assert verdict is not None
    assert (verdict.status, verdict.kind) == ("diverged", "no_return")
    # Half a window until the median is up, and the hundred.
    assert verdict.step == pytest.approx(200 + WINDOW // 2 + 100, abs=3)


def test_a_loss_that_went_up_in_the_warm_up_is_given_up_after_it() -> None:
    verdict = feed(watch(), itertools.chain([1.0] * 10, noisy(2.5, 400)))
    assert verdict is not None
    assert (verdict.kind, verdict.step) == ("no_return", 199)


def test_a_loss_that_is_up_but_coming_down_has_its_time() -> None:
    told = settled()
    assert feed(told, falling(3.5, 0.3, 500)) is None
    assert kinds(told) == ["lingering"]


# -- dead


def live(told: Watch, epochs: int, accuracy: float, alike: bool, norm: float = 1.0) -> Verdict | None:
    """Epochs at the constant's loss."""
    for _ in range(epochs):
        if verdict := feed(told, noisy(1.0, EPOCH, 0.02), norm):
            return verdict
        if verdict := told.epoch(accuracy, 3200, alike=lambda: alike):
            return verdict
    return None


@SCALES
def test_a_model_that_answers_all_alike_is_dead_after_a_warm_up_and_a_further_one(scale: float) -> None:
    verdict = live(watch(scale), 20, 0.1, alike=True)
    assert verdict is not None
    assert (verdict.status, verdict.kind) == ("stalled", "dead")
    # The first epoch's end after 100 steps is that of 150; 100 steps later it is 250.
    assert verdict.step == 249
    assert verdict.numbers["accuracy"] == 0.1


def test_where_epochs_are_long_it_is_one_epoch_and_a_further_one() -> None:
    told = watch(epoch_steps=1000)
    for epoch in (1, 2):
        feed(told, noisy(1.0, 1000, 0.02))
        verdict = told.epoch(0.1, 64_000, alike=lambda: True)
        assert (verdict is not None) == (epoch == 2)


def test_what_is_sure_is_said_at_the_last_epoch_without_waiting() -> None:
    told = watch()
    live(told, 3, 0.1, alike=True)
    assert told.epoch(0.1, 3200, alike=lambda: True, last=True) is not None


def test_nothing_is_dead_in_the_warm_up() -> None:
    told = watch()
    assert live(told, 2, 0.1, alike=True) is None
    assert told.epoch(0.1, 3200, alike=lambda: True, last=True) is None


def test_whoever_is_above_chance_is_not_asked_whether_it_answers_alike() -> None:
    def asked() -> bool:
        raise AssertionError("asked")

    told = watch()
    for _ in range(10):
        feed(told, noisy(1.0, EPOCH))
        assert told.epoch(0.13, 3200, alike=asked) is None


def test_an_epoch_above_chance_starts_the_wait_anew() -> None:
    told = watch()
    live(told, 4, 0.1, alike=True)
    live(told, 1, 0.2, alike=False)
    assert live(told, 2, 0.1, alike=True) is None


def test_chance_is_as_wide_as_the_number_of_examples_leaves_it() -> None:
    assert live(watch(), 20, 0.115, alike=True) is not None  # 3200 examples: 0.1 +- 0.016
    assert live(watch(), 20, 0.117, alike=True) is None


def test_a_plateau_with_a_gradient_is_left_alone() -> None:
    assert live(watch(), 100, 0.1, alike=False) is None


def test_at_chance_with_next_to_no_gradient_is_dead_after_three_further_epochs() -> None:
    told = watch()
    live(told, 5, 0.5, alike=False, norm=2.0)
    verdict = live(told, 20, 0.1, alike=False, norm=0.2)
    assert verdict is not None
    assert (verdict.status, verdict.kind) == ("stalled", "dead")
    assert verdict.step == 9 * EPOCH - 1


def test_at_chance_for_long_after_the_loss_has_gone_up_is_dead_in_spite_of_its_gradient() -> None:
    told = watch()
    for _ in range(5):
        feed(told, noisy(0.6, EPOCH, 0.02))
        told.epoch(0.5, 3200)
    verdict = None
    for _ in range(20):
        assert feed(told, noisy(1.3, EPOCH, 0.02)) is None
        if verdict := told.epoch(0.1, 3200, alike=lambda: False):
            break
    assert verdict is not None
    assert (verdict.status, verdict.kind) == ("stalled", "dead")
    assert "the loss has gone up, from 0.598 at best" in verdict.reason
    # At chance from the end of epoch 6 on: three epochs are 150 steps, and twice as many it takes.
    assert verdict.step == 12 * EPOCH - 1


def test_at_chance_with_a_loss_that_comes_down_from_high_up_is_not_dead() -> None:
    told = watch()
    for loss in (3.0, 2.8, 2.6, 2.4, 2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6):
        assert feed(told, noisy(loss, EPOCH, 0.02)) is None
        assert told.epoch(0.1, 3200, alike=lambda: False) is None


def test_at_chance_with_no_gradient_but_below_the_constant_s_loss_is_not_dead() -> None:
    told = watch()
    live(told, 5, 0.5, alike=False, norm=2.0)
    for _ in range(20):
        assert feed(told, noisy(0.9, EPOCH, 0.02), norm=0.1) is None
        assert told.epoch(0.1, 3200) is None


def test_while_the_rate_rises_nothing_is_dead() -> None:
    told = watch()
    for epoch in range(20):
        feed(told, noisy(1.0, EPOCH, 0.02), lr=0.001 * (epoch + 1))
        assert told.epoch(0.1, 3200, alike=lambda: True) is None


# -- spikes


@SCALES
@pytest.mark.parametrize("height", [1.0, 3.0, 8.0])
def test_a_spike_that_comes_down_is_counted_and_stops_nothing(scale: float, height: float) -> None:
    told = settled(scale)
    assert feed(told, itertools.chain([height], falling(height, 0.2, 15), noisy(0.2, 200))) is None
    (event,) = told.told()
    assert event["kind"] == "recovered"
    assert event["step"] == 200
    assert event["peak"] == pytest.approx(height * scale, rel=0.3)
    assert event["median"] == pytest.approx(0.2 * scale, rel=0.1)
    assert 15 < event["steps"] < 80


def test_a_hundred_spikes_stop_nothing() -> None:
    told = settled()
    for seed in range(100):
        assert feed(told, itertools.chain(falling(5.0, 0.2, 20), noisy(0.2, 100, seed=seed))) is None
    assert kinds(told) == ["recovered"] * 100


def test_what_stays_up_for_long_but_below_no_return_lingers() -> None:
    told = settled()
    assert feed(told, noisy(0.8, 1000)) is None
    assert kinds(told) == ["lingering"]
    assert told.told()[0]["steps"] == 200


def test_two_epochs_of_time_to_recover_where_they_are_longer() -> None:
    told = watch(epoch_steps=400)
    feed(told, noisy(0.2, 400))
    feed(told, itertools.chain(noisy(0.8, 700), noisy(0.2, 100)))
    assert kinds(told) == ["recovered"]


def test_a_spike_that_is_under_way_is_told_as_such() -> None:
    told = settled()
    feed(told, noisy(2.0, 10))
    assert kinds(told) == ["spike"]


def test_a_rise_of_the_rate_is_followed_by_a_warm_up() -> None:
    told = settled()
    feed(told, noisy(0.2, 50), lr=0.01)
    assert feed(told, itertools.chain(noisy(1.2, 40), noisy(0.2, 100)), lr=0.1) is None
    assert kinds(told) == []
    feed(told, [1.5, *noisy(0.2, 50)], lr=0.1)
    assert kinds(told) == ["recovered"]


def test_a_drop_of_the_rate_is_not() -> None:
    told = settled()
    feed(told, noisy(0.2, 50), lr=0.1)
    feed(told, [1.5, *noisy(0.2, 50)], lr=0.01)
    assert kinds(told) == ["recovered"]


def test_events_past_the_two_hundredth_are_counted() -> None:
    told = settled(limits=Thresholds(spike_deviations=1.0, recovery_steps=1))
    while len(told.told()) <= MAX_EVENTS or told.told()[-1]["kind"] != "omitted":
        feed(told, [2.0, *noisy(0.2, 60)])
    feed(told, [2.0, *noisy(0.2, 60)])
    assert len(told.events) == MAX_EVENTS
    assert sum(told.omitted.values()) >= 1


# -- evaluation alone


@pytest.mark.parametrize(("loss", "alone"), [(0.2, False), (0.55, False), (0.7, True), (math.inf, True)])
def test_an_evaluation_that_does_not_belong_to_the_training_losses(loss: float, alone: bool) -> None:
    assert settled().evaluation_alone(loss) == alone


def test_near_zero_an_evaluation_may_be_a_multiple() -> None:
    told = settled()
    feed(told, noisy(0.001, 100))
    assert not told.evaluation_alone(0.09)


def test_in_the_warm_up_evaluations_are_not_compared() -> None:
    told = watch()
    feed(told, noisy(0.2, 100))
    assert not told.evaluation_alone(5.0)


# -- going on


@pytest.mark.parametrize("cut", [0, 30, 150, 205, 300, 420])
def test_a_watch_that_was_kept_and_put_back_says_the_same(cut: int) -> None:
    losses = [*falling(1.1, 0.2, 200), *falling(4.0, 0.2, 20), *noisy(0.2, 100), *noisy(2.5, 400)]
    whole, first, second = watch(), watch(), watch()
    verdict = feed(whole, losses)
    feed(first, losses[:cut])
    second.load(json.loads(json.dumps(first.state())))
    assert feed(second, losses[cut:]) == verdict
    assert second.told() == whole.told()
    assert second.state() == whole.state()


def test_a_state_does_not_change_with_its_watch() -> None:
    told = settled()
    feed(told, noisy(1.0, 10))
    state = told.state()
    before = json.dumps(state)
    feed(told, noisy(0.2, 300))
    assert json.dumps(state) == before
