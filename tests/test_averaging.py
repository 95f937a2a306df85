"""Trials that are judged on an average of their weights, and optimizers that ask again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from study.assembly import prepare
from study.autopsy import Recorder, examine
from study.averaging import AVERAGES, Average
from study.components.datasets import load_dataset
from study.components.optimizers import OPTIMIZERS
from study.devices import reproducible
from study.planning import measure
from study.space import Scalar
from study.steps import Trial, as_judged, assign, evaluate
from study.training import Diverged, run, train
from study.trial import Row, TrialConfig
from tests.good_study import spec_of

DIGITS = load_dataset("digits", None)
CPU = torch.device("cpu")
HYPERPARAMETERS: dict[str, Scalar] = {
    "dataset.name": "digits",
    "dataset.train_size": 150,
    "dataset.validation_size": 100,
    "model.name": "all_cnn_c",
    "model.width": 0.0625,
    "activation.name": "elu",
    "optimizer.name": "sgd",
    "optimizer.lr": 0.05,
    "training.epochs": 3,
    "training.batch_size": 32,
    "training.precision": "fp32",
    "training.evaluation_size": 50,
}
EMA: dict[str, Scalar] = {"training.ema": 0.9}
ASGD: dict[str, Scalar] = {"optimizer.name": "asgd", "optimizer.t0": 5}
BATCH_NORM: dict[str, Scalar] = {"model.batch_norm": True}
LBFGS: dict[str, Scalar] = {
    "optimizer.name": "lbfgs",
    "optimizer.lr": 1.0,
    "optimizer.max_iter": 4,
    "training.batch_size": "full",
}


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with reproducible(CPU, 1, 1):
        yield


def config(*changes: dict[str, Scalar]) -> TrialConfig:
    values = dict(HYPERPARAMETERS)
    for change in changes:
        values |= change
    return TrialConfig("study", "arm", "tune", 0, values, seed=1, split_seed=2)


def trial_of(*changes: dict[str, Scalar]) -> Trial:
    return prepare(config(*changes), DIGITS, CPU)


def rows_of(trial: Trial) -> list[Row]:
    return list(run(trial, time.monotonic()))


# -- the average itself


def test_the_moving_average_follows_its_formula() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    average, expected = Average("ema", 0.5), 0.0
    for step, value in enumerate([3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0, 5.0, 3.0]):
        assign([parameter], [torch.tensor([value])])
        average.follow(optimizer, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = value if step == 0 else decay * expected + (1 - decay) * value
        assert average.of(optimizer, [parameter])[0].item() == pytest.approx(expected)


def test_an_average_of_the_optimizer_s_own_is_left_to_it() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    Average("ax").follow(optimizer, 0)
    assert not optimizer.state


def test_averages_have_their_known_names() -> None:
    own = {entry.average for entry in OPTIMIZERS.values() if entry.average}
    assert own | {"ema"} == set(AVERAGES)


# -- evaluated on it


@pytest.mark.parametrize(("change", "name"), [(EMA, "ema"), (ASGD, "ax")], ids=["ema", "asgd"])
def test_a_trial_is_evaluated_on_its_average(change: dict[str, Scalar], name: str) -> None:
    trial = trial_of(change)
    last = rows_of(trial)[-1]
    weights = [parameter.detach().clone() for parameter in trial.parameters]
    averages = [trial.optimizer.state[parameter][name] for parameter in trial.parameters]
    assert evaluate(trial, "val")["val_loss"] != last["val_loss"]
    assign(trial.parameters, averages)
    assert evaluate(trial, "val")["val_loss"] == last["val_loss"]
    assert not all(map(torch.equal, weights, averages))


def test_so_is_its_score_on_test() -> None:
    values = config(EMA)
    confirmed = TrialConfig("study", "arm", "confirm", 0, values.hyperparameters, seed=1, split_seed=2)
    scored = train(confirmed, DIGITS, threads=1, device="cpu").metrics["test_loss"]
    trial = prepare(confirmed, DIGITS, CPU)
    rows_of(trial)
    plain = evaluate(trial, "test")["test_loss"]
    with as_judged(trial):
        assert evaluate(trial, "test")["test_loss"] == scored != plain


@pytest.mark.parametrize("changes", [(), (BATCH_NORM,)], ids=["plain", "bn"])
def test_an_average_changes_no_number_of_the_training(changes: tuple[dict[str, Scalar], ...]) -> None:
    def trained(*more: dict[str, Scalar]) -> list[tuple[Any, Any]]:
        return [(row["train_loss"], row["gradient_norm"]) for row in rows_of(trial_of(*changes, *more))]

    assert trained(EMA) == trained()


def test_outside_the_evaluation_all_is_as_it_was() -> None:
    trial = trial_of(EMA, BATCH_NORM)
    rows_of(trial)
    before = {name: value.clone() for name, value in trial.model.state_dict().items()}
    with as_judged(trial):
        inside = {name: value.clone() for name, value in trial.model.state_dict().items()}
    after = trial.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    changed = {name.split(".")[1] for name, value in inside.items() if not torch.equal(value, before[name])}
    assert changed == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


def test_batch_norm_s_statistics_are_those_of_the_averaged_weights() -> None:
    trial = trial_of(EMA, BATCH_NORM)
    rows_of(trial)
    inputs = torch.cat([inputs for inputs, _ in trial.parts["train_eval"]])
    with as_judged(trial):
        norm, conv = trial.model.get_submodule("norm1"), trial.model.get_submodule("conv1")
        expected = conv(inputs).mean((0, 2, 3))
        torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-5)


# -- gone on with, taken apart


def test_an_autopsy_replays_a_training_that_is_averaged() -> None:
    trial = trial_of(EMA, {"optimizer.lr": 1e4})
    recorder = Recorder(trial)
    with pytest.raises(Diverged) as caught:
        list(run(trial, 0.0, recorder))
    found = examine(trial, recorder, caught.value.verdict)
    assert found["reproduced"]
    assert not any("ema" in first["of"] for first in found["firsts"])


def test_an_autopsy_replays_line_searches() -> None:
    trial = trial_of(LBFGS, {"optimizer.lr": 1e4, "optimizer.line_search": "none", "training.epochs": 30})
    recorder = Recorder(trial)
    with pytest.raises(Diverged) as caught:
        list(run(trial, 0.0, recorder))
    assert trial.position.reevaluations > 0
    found = examine(trial, recorder, caught.value.verdict)
    assert found["reproduced"]


# -- optimizers that ask again


def gradients_taken(trial: Trial) -> int:
    """How often the model is asked in train mode until the training ends."""
    taken = 0

    def count(module: nn.Module, *rest: Any) -> None:
        nonlocal taken
        taken += module.training

    handle = trial.model.register_forward_hook(count)
    rows_of(trial)
    handle.remove()
    return taken


def test_every_gradient_that_lbfgs_asks_for_is_counted_once() -> None:
    trial = trial_of(LBFGS)
    taken = gradients_taken(trial)
    assert (trial.steps, trial.monitor.steps) == (3, 3)
    assert taken == trial.steps + trial.position.reevaluations
    assert 6 < taken <= 3 * OPTIMIZERS["lbfgs"].evaluations(max_iter=4)
    result = train(config(LBFGS), DIGITS, threads=1, device="cpu")
    assert result.gradient_evaluations == result.curve[-1]["gradient_evaluations"] == taken


def test_others_take_one_gradient_a_step() -> None:
    trial = trial_of()
    assert gradients_taken(trial) == trial.steps == 15
    assert trial.position.reevaluations == 0


def test_lbfgs_learns_from_the_whole_training_set() -> None:
    rows = rows_of(trial_of(LBFGS, {"training.epochs": 15}))
    assert float(rows[-1]["train_loss"] or 9) < 0.3 * float(rows[0]["train_loss"] or 0)


@pytest.mark.parametrize("size", ["full", 150, 10_000])
def test_a_full_batch_is_one_step_an_epoch(size: Scalar) -> None:
    trial = trial_of({"training.batch_size": size})
    assert [row["step"] for row in rows_of(trial)] == [1, 2, 3]


def test_a_plan_measures_full_batches() -> None:
    spec = spec_of()
    speed = measure(spec, spec.arms()[0], config({"training.batch_size": "full"}), DIGITS)
    assert speed.trial_s > 0
