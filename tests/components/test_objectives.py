"""Losses and metrics against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from study.components.losses import LOSSES
from study.components.metrics import METRICS, full_names, metric, right
from study.components.tasks import Answers
from study.errors import UnknownName

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [5.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = torch.tensor([0, 1, 0, 2])
SHARES = np.array([0, 0, 1, 2])


def judged(name: str, logits: Tensor, labels: Tensor = LABELS) -> float:
    return METRICS[name].of(Answers(logits, labels, torch.zeros(len(labels)))).item()


def test_cross_entropy_is_minus_the_log_of_the_label_s_softmax() -> None:
    expected = -LOGITS.softmax(dim=1)[torch.arange(4), LABELS].log()
    torch.testing.assert_close(LOSSES["cross_entropy"].build(LABELS)(LOGITS, LABELS), expected)


def test_the_naive_form_is_the_same_on_small_logits() -> None:
    both = [LOSSES[name].build(LABELS)(LOGITS, LABELS) for name in ("naive_cross_entropy", "cross_entropy")]
    torch.testing.assert_close(*both)


@pytest.mark.parametrize(("logit", "finite"), [(88.0, True), (89.0, False), (1000.0, False)])
def test_the_naive_form_overflows_where_exp_does(logit: float, finite: bool) -> None:
    """exp overflows in float32 above ln(3.4e38) = 88.72."""
    logits, labels = torch.tensor([[logit, 0.0]], requires_grad=True), torch.tensor([0])
    naive, stable = (
        LOSSES[name].build(labels)(logits, labels) for name in ("naive_cross_entropy", "cross_entropy")
    )
    assert bool(naive.isfinite().all()) == finite
    (gradient,) = torch.autograd.grad(naive.mean(), logits)
    assert bool(gradient.isfinite().all()) == finite
    assert bool(stable.isfinite().all())


def test_the_naive_form_has_no_log_of_zero() -> None:
    logits, labels = torch.tensor([[80.0, -80.0]]), torch.tensor([1])
    assert LOSSES["naive_cross_entropy"].build(labels)(logits, labels).item() == math.inf
    assert LOSSES["cross_entropy"].build(labels)(logits, labels).item() == 160


def test_the_best_constant_has_the_entropy_of_the_label_shares() -> None:
    assert LOSSES["cross_entropy"].best_constant(SHARES) == pytest.approx(1.5 * math.log(2))


def test_no_constant_prediction_beats_the_best() -> None:
    labels = torch.tensor(SHARES)
    constants = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    losses = [judged("loss", logits.expand(4, 3), labels) for logits in constants]
    assert min(losses) > LOSSES["cross_entropy"].best_constant(SHARES)


def test_accuracy_and_error_are_shares() -> None:
    assert right(LOGITS, LABELS).tolist() == [1, 0, 1, 1]
    assert judged("accuracy", LOGITS) == 0.75
    assert judged("error", LOGITS) == 0.25


@pytest.mark.parametrize(("name", "value"), [("accuracy", 0.5), ("error", 0.5), ("loss", 1.5 * math.log(2))])
def test_a_diverged_trial_scores_as_the_best_constant(name: str, value: float) -> None:
    assert METRICS[name].worst(SHARES) == pytest.approx(value)


@pytest.mark.parametrize(("name", "value"), [("accuracy", 0.1), ("error", 0.9), ("loss", math.log(10))])
def test_balanced_classes_can_be_given_by_their_number(name: str, value: float) -> None:
    assert METRICS[name].worst(range(10)) == pytest.approx(value)


@pytest.mark.parametrize("name", full_names())
def test_a_full_name_is_a_split_and_a_metric(name: str) -> None:
    split, found = metric(name)
    assert f"{split}_{found.name}" == name


@pytest.mark.parametrize("name", ["accuracy", "train_accuracy", "val_acuracy", "val_", "", "eval_loss"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownName, match="unknown metric"):
        metric(name)


def test_a_misspelt_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean val_accuracy"):
        metric("val_acuracy")
