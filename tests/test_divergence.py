"""The monitor: when it speaks, of which step, and how late; what it sees of the model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from study.components.thresholds import Thresholds
from study.divergence import CHECK_EVERY, LATE_STEPS, Monitor, Reading, reestimated, send
from study.trial import Verdict


def number(value: float) -> Tensor:
    return torch.tensor(value)


class Late:
    """An event that has not happened until somebody waits for it, as on a busy CUDA device."""

    def __init__(self) -> None:
        self.happened = False

    def query(self) -> bool:
        return self.happened

    def synchronize(self) -> None:
        self.happened = True


def late_steps(losses: list[float]) -> tuple[Monitor, list[Verdict | None]]:
    """What a monitor says after each step when every value is late."""
    monitor = Monitor()
    values = [torch.tensor([loss, 1.0]) for loss in losses]
    return monitor, [monitor.take(Reading(step, value, Late())) for step, value in enumerate(values)]


def test_finite_numbers_pass() -> None:
    monitor = Monitor()
    assert [monitor.step(number(loss), number(1e30)) for loss in (2.3, 1e30, 0.0, -1.0)] == [None] * 4
    assert monitor.finish() is None


@pytest.mark.parametrize(
    ("loss", "norm", "kind"),
    [
        (math.nan, 1.0, "nonfinite_loss"),
        (math.inf, 1.0, "nonfinite_loss"),
        (-math.inf, 1.0, "nonfinite_loss"),
        (math.nan, math.nan, "nonfinite_loss"),
        (1.0, math.inf, "nonfinite_gradient"),
        (1.0, math.nan, "nonfinite_gradient"),
    ],
)
def test_the_first_step_is_already_watched(loss: float, norm: float, kind: str) -> None:
    verdict = Monitor().step(number(loss), number(norm))
    assert verdict is not None
    assert (verdict.status, verdict.kind, verdict.step) == ("diverged", kind, 0)


def test_a_verdict_says_the_step_and_its_numbers_without_non_finite_ones() -> None:
    monitor = Monitor()
    monitor.step(number(2.0), number(1.0))
    verdict = monitor.step(number(3.5), number(math.inf))
    assert verdict is not None
    assert verdict.reason == "loss 3.5 and gradient norm inf at step 1"
    assert verdict.numbers == {"loss": 3.5, "gradient_norm": None}


def test_a_verdict_stays() -> None:
    monitor = Monitor()
    first = monitor.step(number(math.nan), number(1.0))
    assert monitor.step(number(1.0), number(1.0)) == first
    assert monitor.finish() == first


def test_bfloat16_numbers_are_read_too() -> None:
    assert Monitor().step(number(math.nan).bfloat16(), number(1.0)) is not None


def test_numbers_that_were_sent_arrive_as_they_were() -> None:
    monitor = Monitor()
    assert monitor.take(send(0, [number(2.3), number(1.5).bfloat16()])) is None
    verdict = monitor.take(send(1, [number(2.3), number(math.inf), number(1.0)], lr=0.1))
    assert verdict is not None
    assert verdict.numbers == {"loss": pytest.approx(2.3), "gradient_norm": None}


def test_numbers_that_are_late_are_waited_for_after_two_steps() -> None:
    _, said = late_steps([math.nan, 1.0, 1.0])
    assert LATE_STEPS == 2
    assert [verdict is not None for verdict in said] == [False, False, True]


def test_a_late_verdict_names_the_step_itself() -> None:
    _, said = late_steps([1.0, math.nan, 1.0, math.nan])
    assert said[-1] is not None
    assert said[-1].step == 1


def test_finish_waits_for_all_that_is_late() -> None:
    monitor, said = late_steps([1.0, math.nan])
    assert said == [None, None]
    verdict = monitor.finish()
    assert verdict is not None
    assert verdict.step == 1


def test_three_lines_in_a_plain_loop_stop_it_before_the_weights_are_spoilt() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e12)
    monitor = Monitor()
    for _ in range(100):
        loss = model(torch.ones(1, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if monitor.step(loss, get_total_norm([p.grad for p in model.parameters() if p.grad is not None])):
            break
        optimizer.step()
    assert monitor.verdict is not None
    assert monitor.verdict.step == 2
    assert model.weight.isfinite().all()


# -- the rules


def test_three_lines_with_a_scale_stop_an_explosion_of_finite_numbers() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    monitor = Monitor(scale=1.0)
    for _ in range(100):
        loss = model(torch.ones(1, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if monitor.step(loss, get_total_norm([p.grad for p in model.parameters() if p.grad is not None])):
            break
        optimizer.step()
    assert monitor.verdict is not None
    # Each step triples the weight, so the loss is 1, 9, 81, 729.
    assert (monitor.verdict.kind, monitor.verdict.step) == ("explosion", 3)


def test_the_thresholds_are_the_caller_s() -> None:
    monitor = Monitor(scale=1.0, thresholds=Thresholds(explosion=1e6, rise_level=1e6))
    assert [monitor.step(number(loss), number(1.0)) for loss in (1.0, 900.0)] == [None, None]


def test_the_end_of_an_epoch_waits_for_what_is_late() -> None:
    monitor, said = late_steps([1.0, math.nan])
    assert said == [None, None]
    verdict = monitor.epoch(0.1, 1000)
    assert verdict is not None
    assert verdict.kind == "nonfinite_loss"


def test_a_dead_model_is_a_verdict_that_stays() -> None:
    monitor = Monitor(scale=1.0, chance=0.1)
    for _ in range(101):
        monitor.step(number(1.0), number(1.0))
    verdict = monitor.epoch(0.1, 1000, alike=lambda: True, last=True)
    assert verdict is not None
    assert verdict.status == "stalled"
    assert monitor.step(number(1.0), number(1.0)) == verdict


def test_a_rate_that_goes_up_reaches_the_rules() -> None:
    monitor = Monitor(scale=1.0)
    for step in range(300):
        monitor.step(number(2.0 if step == 250 else 0.2), number(1.0), lr=0.1 if step < 200 else 0.2)
    assert monitor.events == ()


def test_notes_are_events_of_the_last_step() -> None:
    monitor = Monitor()
    monitor.step(number(1.0), number(1.0))
    monitor.step(number(1.0), number(1.0))
    monitor.note("evaluation_alone", train_eval_loss=7.0)
    assert monitor.events == ({"kind": "evaluation_alone", "step": 1, "train_eval_loss": 7.0},)


def test_a_monitor_goes_on_from_its_state() -> None:
    first, second = Monitor(scale=1.0), Monitor(scale=1.0)
    for _ in range(200):
        first.step(number(0.2), number(1.0))
    second.load(first.state())
    for monitor in (first, second):
        monitor.step(number(3.0), number(1.0))
    assert second.events == first.events != ()
    assert second.steps == first.steps == 201


# -- parameters and buffers


def steps(monitor: Monitor, count: int) -> Verdict | None:
    return [monitor.step(number(1.0), number(1.0)) for _ in range(count)][-1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("0.weight", "nonfinite_parameter"), ("1.running_var", "nonfinite_buffer")],
)
def test_what_is_not_finite_inside_the_model_is_found_within_fifty_steps(
    name: str, kind: str, bad: float
) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    monitor = Monitor(model=model)
    assert steps(monitor, CHECK_EVERY) is None
    model.state_dict()[name].view(-1)[2] = bad
    assert steps(monitor, CHECK_EVERY - 1) is None
    verdict = steps(monitor, 1)
    assert verdict is not None
    assert (verdict.status, verdict.kind, verdict.step) == ("diverged", kind, 2 * CHECK_EVERY - 1)
    assert verdict.reason == f"{name} is not finite at step 99"


def test_parameters_whose_norm_overflows_are_finite() -> None:
    model = nn.Linear(10, 10)
    nn.init.constant_(model.weight, 1e38)
    assert steps(Monitor(model=model), CHECK_EVERY) is None


def test_an_explosion_that_has_reached_the_parameters_says_so() -> None:
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, math.inf)
    monitor = Monitor(scale=1.0, model=model)
    monitor.step(number(1.0), number(1.0))
    verdict = monitor.step(number(500.0), number(1.0))
    assert verdict is not None
    assert verdict.kind == "nonfinite_parameter"
    assert verdict.reason.startswith("weight is not finite at step 1; loss 500")
    assert verdict.numbers["loss"] == 500.0


# -- batch norm's statistics anew


def normalised() -> tuple[nn.Sequential, nn.BatchNorm1d, torch.Tensor]:
    layer = nn.BatchNorm1d(3)
    model = nn.Sequential(layer, nn.Dropout(0.5)).train()
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * 5 + 2
    model(inputs)
    return model, layer, inputs


def test_statistics_are_plain_means_inside_and_as_before_afterwards() -> None:
    model, layer, inputs = normalised()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with reestimated(model, model, inputs.split(20)):
        assert layer.running_mean is not None
        assert torch.allclose(layer.running_mean, inputs.mean(0), atol=1e-5)
        assert not model.training
        assert layer.momentum == 0.1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_statistics_that_were_not_finite_stay_estimated(bad: float) -> None:
    model, layer, inputs = normalised()
    assert layer.running_var is not None
    layer.running_var[1] = bad
    with reestimated(model, model, [inputs]):
        pass
    assert torch.allclose(layer.running_var, inputs.var(0), rtol=1e-4)


def test_estimating_draws_nothing_and_moves_no_parameter() -> None:
    model, layer, inputs = normalised()
    weight, state = layer.weight.clone(), torch.get_rng_state()
    with reestimated(model, model, [inputs]):
        pass
    assert torch.equal(layer.weight, weight)
    assert torch.equal(torch.get_rng_state(), state)
