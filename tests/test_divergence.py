"""The monitor: when it speaks, of which step, and how late."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from study.divergence import LATE_STEPS, Monitor, Reading
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
