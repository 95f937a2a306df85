"""One trial from its config to its result, on real digits and on numbers made to break it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from study.assembly import prepare
from study.components.activations import ACTIVATIONS
from study.components.datasets import LoadedData, load_dataset
from study.components.losses import entropy
from study.components.metrics import of_task
from study.components.optimizers import OPTIMIZERS
from study.devices import reproducible
from study.errors import StudyError
from study.space import Scalar
from study.training import answers_alike, evaluate_epoch, train, train_epoch
from study.trial import Row, TrialConfig, TrialResult

DIGITS = load_dataset("digits", None)
TIMES = {"seconds", "time", "images_per_second"}
HYPERPARAMETERS: dict[str, Scalar] = {
    "dataset.name": "digits",
    "dataset.train_size": 400,
    "dataset.validation_size": 200,
    "model.name": "all_cnn_c",
    "model.width": 0.1,
    "activation.name": "elu",
    "optimizer.name": "sgd",
    "optimizer.lr": 0.02,
    "optimizer.momentum": 0.9,
    "training.epochs": 2,
    "training.batch_size": 32,
    "training.precision": "fp32",
    "training.evaluation_size": 100,
}


def config(phase: Any = "tune", seed: int = 1, **changes: Scalar) -> TrialConfig:
    """``optimizer__lr=0.1`` sets optimizer.lr."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return TrialConfig("study", "arm", phase, 0, {**HYPERPARAMETERS, **dotted}, seed, split_seed=2)


def run(phase: Any = "tune", data: LoadedData = DIGITS, seed: int = 1, **changes: Scalar) -> TrialResult:
    return train(config(phase, seed, **changes), data, device="cpu", threads=1)


@cache
def confirmed() -> TrialResult:
    return run("confirm")


@cache
def diverged() -> TrialResult:
    return run("confirm", optimizer__lr=1e6)


def numbers(result: TrialResult) -> tuple[list[Row], dict[str, float]]:
    """All that must repeat."""
    curve = [{key: value for key, value in row.items() if key not in TIMES} for row in result.curve]
    return curve, dict(result.metrics)


# -- a training that goes well


def test_it_learns() -> None:
    result = confirmed()
    assert result.verdict.status == "ok"
    assert result.metrics["val_accuracy"] > 0.5
    losses = [row["val_loss"] or math.inf for row in result.curve]
    assert losses[1] < losses[0] < entropy(DIGITS.train_targets)


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "bn"])
@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"sigmoid"}))
def test_every_activation_but_the_sigmoid_learns_digits(activation: str, batch_norm: bool) -> None:
    result = run(
        activation__name=activation,
        model__batch_norm=batch_norm,
        optimizer__lr=0.1 if batch_norm else 0.02,
        dataset__train_size=600,
    )
    assert result.verdict.status == "ok"
    assert result.metrics["val_loss"] < 0.9 * entropy(DIGITS.train_targets)


def test_a_deep_sigmoid_is_stuck_and_finite() -> None:
    result = run(activation__name="sigmoid")
    assert result.verdict.status == "ok"
    assert result.metrics["val_loss"] == pytest.approx(math.log(10), rel=0.1)


@pytest.mark.parametrize(
    "optimizer", [name for name, each in OPTIMIZERS.items() if "sparse_gradients" not in each.needs]
)
@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_optimizers_and_schedules_go_together(optimizer: str, schedule: str) -> None:
    hyperparameters = {key: value for key, value in HYPERPARAMETERS.items() if "momentum" not in key}
    changed: dict[str, Scalar] = {
        "optimizer.name": optimizer,
        "optimizer.lr": 0.005,
        "schedule.name": schedule,
        **({"optimizer.max_iter": 1} if optimizer == "lbfgs" else {}),  # as quick as the others
    }
    trial = replace(config(), hyperparameters={**hyperparameters, **changed})
    assert train(trial, DIGITS, threads=1).verdict.status == "ok"


def test_how_it_is_evaluated_leaves_the_training_as_it_is() -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"model__bn_eval": "batch", "training__evaluation_batch": 7},
        {"training__evaluation_batch": 7, "training__evaluation_order": "by_class"},
    ]
    first, second, third = (run("confirm", model__batch_norm=True, training__epochs=1, **way) for way in ways)
    assert first.curve[0]["train_loss"] == second.curve[0]["train_loss"] == third.curve[0]["train_loss"]
    assert first.metrics["test_accuracy"] != second.metrics["test_accuracy"]
    assert first.metrics["test_loss"] == pytest.approx(third.metrics["test_loss"], rel=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_is_recorded(precision: str) -> None:
    assert run(training__precision=precision, training__epochs=1).environment["precision"] == precision


def test_bf16_gives_nearly_the_numbers_of_fp32() -> None:
    loss = run(training__precision="bf16", training__epochs=1).metrics["val_loss"]
    assert loss == pytest.approx(run(training__epochs=1).metrics["val_loss"], rel=0.03)


def test_augmentation_dropout_and_batch_norm_go_together() -> None:
    result = run(augmentation__flip=True, augmentation__crop=1, model__dropout=True, model__batch_norm=True)
    assert result.verdict.status == "ok"


# -- what is reported


def test_a_row_has_every_number_of_its_epoch() -> None:
    evaluated = {f"{part}_{metric}" for part in ("train_eval", "val") for metric in of_task("classification")}
    trained = {"epoch", "step", "gradient_evaluations"}
    trained |= {"train_loss", "train_accuracy", "gradient_norm", "lr"}
    for row in confirmed().curve:
        assert set(row) == evaluated | trained | TIMES
        assert all(value is not None and math.isfinite(value) for value in row.values())


def test_rows_are_reported_as_they_come() -> None:
    seen: list[Row] = []
    result = train(config(), DIGITS, report=seen.append, threads=1)
    assert tuple(seen) == result.curve
    assert [(row["epoch"], row["step"]) for row in seen] == [(1, 13), (2, 26)]  # 400 examples, 32 at a time


def test_what_the_reporter_raises_passes_through() -> None:
    def stop(row: Row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(), DIGITS, report=stop, threads=1)


def test_before_each_step_it_heeds_whoever_may_stop_it() -> None:
    seen: list[Row] = []
    steps: list[int] = []

    def heed() -> None:
        steps.append(len(seen))
        if len(steps) == 15:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(config(), DIGITS, report=seen.append, heed=heed, threads=1)
    assert steps == [0] * 13 + [1] * 2  # 13 steps an epoch: it ends in the second one


def test_the_rate_of_a_row_is_that_of_the_epoch_s_last_step() -> None:
    curve = run(schedule__name="step", schedule__drops=1, schedule__first=0.5).curve
    assert [row["lr"] for row in curve] == [0.02, pytest.approx(0.002)]


def test_the_mean_gradient_norm_is_positive_and_the_clock_runs_forward() -> None:
    first, last = confirmed().curve
    assert (first["gradient_norm"] or 0) > 0
    assert 0 < (first["seconds"] or 0) < (last["seconds"] or 0) < confirmed().seconds
    assert (first["images_per_second"] or 0) > 0


def test_gradient_evaluations_are_the_steps_of_a_finished_training() -> None:
    assert confirmed().gradient_evaluations == 26


def test_the_final_metrics_are_the_last_row_s_and_in_the_confirm_phase_those_on_test() -> None:
    result = confirmed()
    last = {name: value for name, value in result.metrics.items() if not name.startswith("test_")}
    assert last.items() <= result.curve[-1].items()
    assert {name for name in result.metrics if name.startswith("test_")} == {
        f"test_{metric}" for metric in of_task("classification")
    }
    assert result.metrics["test_error"] == pytest.approx(1 - result.metrics["test_accuracy"])


def test_the_test_split_is_not_looked_at_while_tuning() -> None:
    broken = replace(DIGITS, test_inputs=np.zeros((0, 3, 3, 1), np.uint8), test_targets=np.zeros(0, np.int64))
    result = run(data=broken)
    assert not any("test" in name for name in [*result.metrics, *result.curve[-1]])


def test_a_result_says_where_it_ran_and_on_which_data() -> None:
    environment = confirmed().environment
    assert environment["device"] == "cpu"
    assert environment["threads"] == 1
    assert environment["data"] == DIGITS.fingerprint


def test_a_result_survives_json() -> None:
    for result in (confirmed(), diverged()):
        text = json.dumps(result.to_json(), allow_nan=False)
        assert json.dumps(TrialResult.from_json(json.loads(text)).to_json()) == text


# -- the same numbers again


NOISY: dict[str, Any] = {
    "model__dropout": True,
    "model__batch_norm": True,
    "augmentation__flip": True,
    "augmentation__crop": 1,
    "training__precision": "auto",
}


def test_the_same_config_gives_the_same_bits_whatever_happened_between() -> None:
    first = run("confirm", **NOISY)
    torch.manual_seed(99)
    torch.nn.Conv2d(3, 7, 3)(torch.randn(2, 3, 9, 9)).sum().backward()
    run(activation__name="relu", training__epochs=1)
    np.random.default_rng().random()
    assert numbers(run("confirm", **NOISY)) == numbers(first)


def test_the_phase_does_not_change_the_training() -> None:
    assert numbers(run("tune"))[0] == numbers(confirmed())[0]


def test_a_training_leaves_the_process_as_it_found_it() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(config(model__dropout=True), DIGITS, threads=threads + 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_another_seed_gives_other_numbers() -> None:
    assert numbers(run(seed=2)) != numbers(run(seed=1))


def test_read_only_data_gives_the_same_numbers() -> None:
    frozen = replace(
        DIGITS, train_inputs=DIGITS.train_inputs.copy(), train_targets=DIGITS.train_targets.copy()
    )
    frozen.train_inputs.flags.writeable = False
    frozen.train_targets.flags.writeable = False
    assert numbers(run("confirm", data=frozen)) == numbers(confirmed())


# -- a training that breaks


def test_a_rate_of_a_million_diverges_within_a_few_steps() -> None:
    verdict = diverged().verdict
    assert verdict.status == "diverged"
    assert verdict.kind in {"nonfinite_loss", "nonfinite_gradient"}
    assert verdict.epoch == 1
    assert 0 < (verdict.step or 0) < 10


def test_a_diverged_trial_has_no_metrics_and_counts_its_gradients() -> None:
    result = diverged()
    assert result.metrics == {}
    assert result.curve == ()
    assert result.gradient_evaluations == (result.verdict.step or 0) + 1


def test_a_data_set_with_a_non_finite_mean_diverges_at_the_first_step() -> None:
    verdict = run(data=replace(DIGITS, mean=(math.nan,))).verdict
    assert (verdict.kind, verdict.step, verdict.epoch) == ("nonfinite_loss", 0, 1)


def test_a_last_step_to_infinity_is_caught_by_the_evaluation() -> None:
    result = run(optimizer__lr=1e30, optimizer__momentum=0.0, training__batch_size=400)
    assert result.verdict.kind == "nonfinite_evaluation"
    assert (result.verdict.step, result.verdict.epoch) == (0, 1)
    assert result.curve[-1]["val_loss"] is None
    assert result.metrics == {}


def test_a_test_set_that_overflows_diverges_in_the_confirm_phase() -> None:
    # Black pictures are zero at any scale; the first test pixel that is not black is infinite at this one.
    black = np.zeros_like(DIGITS.train_inputs)
    result = run("confirm", data=replace(DIGITS, train_inputs=black, mean=(0.0,), std=(1e-39,)))
    assert result.verdict.kind == "nonfinite_evaluation"
    assert result.verdict.reason.startswith("test_")
    assert result.metrics == {}
    assert len(result.curve) == 2


def test_a_rate_that_is_ten_times_too_high_explodes_in_finite_numbers() -> None:
    verdict = run(optimizer__lr=0.5).verdict
    assert (verdict.status, verdict.kind, verdict.epoch) == ("diverged", "explosion", 1)
    assert verdict.numbers["best_constant"] == pytest.approx(math.log(10), rel=0.001)
    assert (verdict.numbers["loss"] or 0) > math.log(10)


@pytest.mark.parametrize("seed", [1, 2])
def test_relu_at_a_high_rate_dies_in_finite_numbers(seed: int) -> None:
    result = run(seed=seed, activation__name="relu", optimizer__lr=0.4, training__epochs=30)
    assert (result.verdict.status, result.verdict.kind) == ("stalled", "dead")
    # 100 steps of warm-up, then 100 more at chance; an epoch has 13 steps.
    assert 200 <= (result.verdict.step or 0) < 350
    assert result.verdict.epoch == len(result.curve)
    assert result.metrics == {}
    assert all(math.isfinite(row["train_loss"] or math.nan) for row in result.curve)


class Thinned(nn.Module):
    """Passes on one output in so many, the others as zero."""

    def __init__(self, one_in: int) -> None:
        super().__init__()
        self.one_in = one_in

    def forward(self, x: Tensor) -> Tensor:
        kept = (torch.arange(x.numel()) % self.one_in == 0).reshape(x.shape)
        return x * kept


@pytest.mark.parametrize(("layer", "one_in", "alike"), [("act5", 50, False), ("act5", 200, True)])
def test_a_model_with_a_layer_that_is_silent_answers_alike(layer: str, one_in: int, alike: bool) -> None:
    with reproducible(torch.device("cpu"), 1, 1):
        trial = prepare(config(activation__name="tanh"), DIGITS, torch.device("cpu"))
        setattr(trial.model, layer, Thinned(one_in))
        assert answers_alike(trial) is alike


def test_empty_pictures_are_no_silence_of_the_model() -> None:
    with reproducible(torch.device("cpu"), 1, 1):
        trial = prepare(config(activation__name="tanh"), DIGITS, torch.device("cpu"))
        model = nn.Sequential(Thinned(500), nn.Flatten(), nn.Linear(64, 10))
        assert not answers_alike(replace(trial, model=model))


def test_a_deep_sigmoid_on_its_plateau_is_left_to_try() -> None:
    result = run(activation__name="sigmoid", optimizer__lr=0.05, training__epochs=25)
    assert result.verdict.status == "ok"
    assert (result.curve[-1]["train_accuracy"] or 1) < 0.15


def test_thresholds_are_hyperparameters() -> None:
    changes: dict[str, Any] = {"optimizer__lr": 0.5, "divergence__explosion": 1e30}
    verdict = run(**changes, divergence__rise_level=1e30).verdict
    assert (verdict.status, verdict.kind) == ("diverged", "nonfinite_loss")


def test_the_monitor_changes_no_number_of_a_healthy_training() -> None:
    deaf: dict[str, Any] = {f"divergence__{name}": 1e30 for name in ("explosion", "rise_level", "no_return")}
    deaf |= {"divergence__spike_deviations": 1e30, "divergence__evaluation": 1e30}
    assert numbers(run(**NOISY, **deaf)) == numbers(run(**NOISY))


def test_an_evaluation_that_batch_norm_alone_breaks_is_made_again_and_told() -> None:
    with reproducible(torch.device("cpu"), 1, 1):
        trial = prepare(config(model__batch_norm=True), DIGITS, torch.device("cpu"))
        train_epoch(trial)
        layer = next(each for each in trial.model.modules() if isinstance(each, torch.nn.BatchNorm2d))
        assert layer.running_var is not None
        layer.running_var.fill_(math.nan)
        evaluation = evaluate_epoch(trial)
        assert all(map(math.isfinite, evaluation.values()))
        assert evaluation == evaluate_epoch(trial)
    (event,) = trial.monitor.events
    assert (event["kind"], event["step"], event["train_eval_loss"]) == ("evaluation_alone", 12, None)
    assert event["reestimated"] == evaluation["train_eval_loss"]


def test_wild_but_finite_evaluations_are_reported_as_they_are() -> None:
    result = run(activation__name="relu", model__batch_norm=True, optimizer__lr=0.8, training__epochs=12)
    told = [event for event in result.events if event["kind"] == "evaluation_alone"]
    assert told
    for event in told:
        row = result.curve[event["step"] // 13]
        assert row["train_eval_loss"] == event["train_eval_loss"] > event["reestimated"]


def test_a_model_that_does_not_fit_the_pictures_is_the_user_s_mistake() -> None:
    with pytest.raises(StudyError, match="at least 9x9"):
        run(model__pad7=False)


def test_more_examples_than_there_are_is_the_user_s_mistake() -> None:
    with pytest.raises(StudyError, match="train"):
        run(dataset__train_size=5000)


def test_a_batch_larger_than_the_data_is_one_step() -> None:
    assert run(training__batch_size=10_000).gradient_evaluations == 2


def test_a_single_example_left_over_is_no_trouble_to_batch_norm() -> None:
    result = run(dataset__train_size=33, model__batch_norm=True, training__epochs=1)
    assert (result.verdict.status, result.gradient_evaluations) == ("ok", 1)
