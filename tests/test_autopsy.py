"""Autopsies: the layer that is named is the one that broke."""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from study.assembly import prepare
from study.autopsy import EVERY, Autopsy, Recorder, examine
from study.components.datasets import load_dataset
from study.devices import reproducible
from study.seeding import derive_seed
from study.snapshot import capture, restore
from study.space import Scalar
from study.steps import Trial, batches, differentiate, update
from study.training import Diverged, run, train
from study.trial import TrialConfig, TrialResult, Verdict

DIGITS = load_dataset("digits", None)
CPU = torch.device("cpu")
DEPTHS = [1, 4, 8]
HYPERPARAMETERS: dict[str, Scalar] = {
    "dataset.name": "digits",
    "dataset.train_size": 128,
    "dataset.validation_size": 20,
    "model.name": "all_cnn_c",
    "model.width": 0.08,
    "activation.name": "elu",
    "optimizer.name": "sgd",
    "optimizer.lr": 0.01,
    "optimizer.momentum": 0.9,
    "training.epochs": 3,
    "training.batch_size": 32,
    "training.precision": "fp32",
    "training.evaluation_size": 20,
}
NOISY: dict[str, Scalar] = {
    "model__dropout": True,
    "model__batch_norm": True,
    "augmentation__flip": True,
    "augmentation__crop": 1,
}


def config(**changes: Scalar) -> TrialConfig:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return TrialConfig("study", "arm", "tune", 0, {**HYPERPARAMETERS, **dotted}, seed=1, split_seed=2)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with reproducible(CPU, derive_seed(1, "dropout"), 1):
        yield


Fault = Callable[[Tensor], Tensor]


class Planted(nn.Module):
    """Passes everything on, and from training step ``step`` on through ``fault``."""

    calls: Tensor

    def __init__(self, fault: Fault, step: int, while_training: bool = True) -> None:
        super().__init__()
        self.fault, self.step, self.while_training = fault, step, while_training
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        due = self.calls > self.step and self.training is self.while_training
        return self.fault(x) if due else x


def plant(trial: Trial, after: str, layer: nn.Module) -> Trial:
    """The trial with a layer ``planted`` after the layer ``after``."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, each in trial.model.named_children():
        layers[name] = each
        if name == after:
            layers["planted"] = layer
    return replace(trial, model=nn.Sequential(layers))


def end(trial: Trial) -> tuple[Verdict, Autopsy]:
    """Train until a verdict falls, and what is found then."""
    recorder = Recorder(trial)
    with pytest.raises(Diverged) as broken:
        list(run(trial, time.monotonic(), recorder))
    found = examine(trial, recorder, broken.value.verdict)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return broken.value.verdict, found


def broken_by(fault: Fault, depth: int, step: int = 6, **changes: Scalar) -> tuple[Verdict, Autopsy]:
    trial = prepare(config(**changes), DIGITS, CPU)
    verdict, found = end(plant(trial, f"act{depth}", Planted(fault, step)))
    assert found["reproduced"]
    return verdict, found


def first(found: Autopsy, stage: str) -> dict[str, Any]:
    return next((each for each in found["firsts"] if each["stage"] == stage), {})


# -- planted causes


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_layer_that_multiplies_is_the_first_to_have_grown(depth: int) -> None:
    _, found = broken_by(lambda x: x * 1e6, depth)
    grown = first(found, "grown")
    assert (grown["layer"], grown["step"]) == ("planted", 6)
    assert grown["value"] > 100 * grown["initial"]
    assert found["cause"] == "growth"


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_layer_that_overflows_is_growth_that_ends_in_inf(depth: int) -> None:
    _, found = broken_by(lambda x: x * 1e30 * 1e30, depth)
    broken = first(found, "activation")
    assert (broken["layer"], broken["step"], broken["value"]) == ("planted", 6, "inf")


@pytest.mark.parametrize("depth", DEPTHS)
def test_inf_after_growth_is_growth(depth: int) -> None:
    _, found = broken_by(lambda x: x * 1e37, depth)
    assert first(found, "grown")["layer"] == "planted"
    assert found["cause"] == "growth"


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    ("fault", "value"),
    [
        pytest.param(lambda x: (x - x) / (x - x), "nan", id="0/0"),
        pytest.param(lambda x: x + (x - x).log(), "inf", id="log 0"),
        pytest.param(lambda x: (x - x) * (1 / (x - x)), "nan", id="0 * inf"),
        pytest.param(lambda x: (-x.abs() - 1).sqrt(), "nan", id="sqrt of a negative"),
    ],
)
def test_an_invalid_operation_is_named_where_it_is(fault: Fault, value: str, depth: int) -> None:
    verdict, found = broken_by(fault, depth)
    broken = first(found, "activation")
    assert (broken["layer"], broken["type"], broken["value"]) == ("planted", "Planted", value)
    assert verdict.step == broken["step"] == 6
    assert found["cause"] == "invalid operation"


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_invalid_operation_of_the_backward_pass_is_named_with_its_function(depth: int) -> None:
    # sqrt' at 0 is infinite, and infinity times zero is no number.
    verdict, found = broken_by(lambda x: x + (x * 0).sqrt(), depth)
    assert verdict.kind == "nonfinite_gradient"
    broken = first(found, "gradient")
    assert (broken["layer"], broken["value"]) == ("planted", "nan")
    assert first(found, "activation") == {}
    assert found["cause"] == "invalid operation"
    assert found["operation"] == "MulBackward0"


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_batch_norm_without_variance_and_eps_is_named(depth: int) -> None:
    trial = prepare(config(model__batch_norm=True), DIGITS, CPU)
    norm = trial.model.get_submodule(f"norm{depth}")
    norm.eps = 1e-300  # type: ignore[assignment] # its root is zero in float32
    _, found = end(plant(trial, f"conv{depth}", Planted(lambda x: x * 0 + 1, 6)))
    broken = first(found, "activation")
    assert (broken["layer"], broken["type"], broken["value"]) == (f"norm{depth}", "BatchNorm2d", "nan")
    assert found["cause"] == "invalid operation"


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_batch_norm_of_tiny_variance_is_named_for_its_backward_pass(depth: int) -> None:
    trial = prepare(config(model__batch_norm=True), DIGITS, CPU)
    norm = trial.model.get_submodule(f"norm{depth}")
    norm.eps = 1e-44  # type: ignore[assignment]
    # Constant to batch norm's eyes; the gradient passes through as if it were not.
    verdict, found = end(plant(trial, f"conv{depth}", Planted(lambda x: x + (1 - x).detach(), 6)))
    assert verdict.kind == "nonfinite_gradient"
    assert first(found, "activation") == {}
    assert first(found, "gradient")["layer"] == f"norm{depth}"


class Idle(nn.Module):
    """Has a parameter whose gradient is always zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0 * self.weight


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_parameter_that_the_optimizer_poisons_is_named(depth: int) -> None:
    trial = plant(prepare(config(), DIGITS, CPU), f"act{depth}", Idle())
    # Adam divides the first moment by the root of the second: 0 / 0 without eps.
    optimizer = torch.optim.Adam(trial.model.parameters(), 1e-3, eps=0.0)
    trial = replace(
        trial,
        parameters=tuple(trial.model.parameters()),
        optimizer=optimizer,
        schedule=LambdaLR(optimizer, lambda step: 1.0),
    )
    _, found = end(trial)
    stages = [(each["stage"], each["layer"], each["step"]) for each in found["firsts"]]
    assert stages[:2] == [("parameter", "planted", 0), ("activation", "planted", 1)]
    assert first(found, "parameter")["of"] == "weight"
    assert found["cause"] == "invalid operation"


def naive_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Overflows for logits above 88, unlike log_softmax."""
    shares = logits.exp() / logits.exp().sum(1, keepdim=True)
    return -shares.gather(1, labels.unsqueeze(1)).log().squeeze(1)


def test_a_loss_that_breaks_is_named_and_no_layer() -> None:
    trial = replace(prepare(config(), DIGITS, CPU), loss=naive_cross_entropy)
    _, found = end(plant(trial, "average", Planted(lambda x: x * 1e4, 6)))
    broken = first(found, "activation")
    assert (broken["layer"], broken["type"], broken["step"]) == ("loss", "naive_cross_entropy", 6)
    assert first(found, "grown")["layer"] == "planted"


def test_pictures_that_are_not_finite_are_named() -> None:
    result = train(config(), replace(DIGITS, mean=(math.nan,)), threads=1)
    assert result.autopsy is not None
    broken = first(dict(result.autopsy), "activation")
    assert (broken["layer"], broken["step"], broken["value"]) == ("input", 0, "nan")


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_layer_that_breaks_in_evaluation_alone_is_named(depth: int) -> None:
    trial = prepare(config(), DIGITS, CPU)
    layer = Planted(lambda x: x / 0, 6, while_training=False)
    verdict, found = end(plant(trial, f"act{depth}", layer))
    assert verdict.kind == "nonfinite_evaluation"
    broken = first(found, "activation")
    assert (broken["layer"], broken["of"]) == ("planted", "output in evaluation")


# -- natural blow-ups, against hooks that were on from the first step

BLOW_UPS = [("elu", 1.0), ("elu", 1e3), ("prelu", 1.0), ("prelu", 10.0), ("relu", 1e6)]
HUGE = math.sqrt(torch.finfo(torch.float32).max)


def plainly(trial: Trial) -> dict[str, tuple[int, str]]:
    """The firsts by plain hooks in a training that goes on until it breaks: (step, layer) by stage."""
    found: dict[str, tuple[int, str]] = {}
    outputs: dict[str, float] = {}
    backward: dict[str, list[Tensor]] = {}
    start: dict[str, float] = {}

    def forward_hook(name: str) -> Callable[..., None]:
        return lambda module, given, output: outputs.update({name: float(output.detach().abs().max())})

    def backward_hook(name: str) -> Callable[..., None]:
        return lambda module, given, got: backward.update(
            {name: [each for each in given if each is not None]}
        )

    for name, layer in trial.model.named_children():
        if hasattr(layer, "inplace"):
            layer.inplace = False  # type: ignore[assignment] # full backward hooks do not bear it
        layer.register_forward_hook(forward_hook(name))
        if name != "conv1":  # the pictures have no gradient
            layer.register_full_backward_hook(backward_hook(name))
    trial.model.train()
    for images, labels in batches(trial):
        step = trial.steps
        gradient = differentiate(trial, images, labels)
        start = start or dict(outputs)
        for name, peak in outputs.items():
            if not math.isfinite(peak):
                found.setdefault("activation", (step, name))
            if peak > 100 * start[name]:
                found.setdefault("grown", (step, name))
        if not torch.isfinite(gradient.norm):
            limit = HUGE if torch.isfinite(gradient.loss) else math.inf
            if not torch.isfinite(gradient.loss):
                found["gradient"] = (step, "loss")
            for name in reversed(outputs):
                own = [p.grad for p in trial.model.get_submodule(name).parameters() if p.grad is not None]
                if any(not bool((each.abs() <= limit).all()) for each in [*backward.get(name, ()), *own]):
                    found.setdefault("gradient", (step, name))
            return found
        update(trial)
    return {}


@pytest.mark.parametrize(("activation", "lr"), BLOW_UPS)
def test_the_replay_agrees_with_hooks_that_were_on_all_along(activation: str, lr: float) -> None:
    changes: dict[str, Scalar] = {
        "activation__name": activation,
        "optimizer__lr": lr,
        "dataset__train_size": 600,
    }
    result = train(config(**changes), DIGITS, threads=1)
    assert result.verdict.status == "diverged"
    assert result.autopsy is not None
    assert result.autopsy["reproduced"]
    assert result.autopsy["cause"] == "growth"
    named = {each["stage"]: (each["step"], each["layer"]) for each in result.autopsy["firsts"]}
    torch.manual_seed(derive_seed(1, "dropout"))
    assert named == plainly(prepare(config(**changes), DIGITS, CPU))


def test_what_would_have_broken_after_the_end_is_told_apart() -> None:
    result = train(config(activation__name="elu", optimizer__lr=1e3), DIGITS, threads=1)
    assert (result.verdict.kind, result.verdict.step) == ("explosion", 1)
    assert result.autopsy is not None
    assert [(each["stage"], each["beyond"]) for each in result.autopsy["firsts"]] == [
        ("grown", False),
        ("activation", True),
        ("gradient", True),
    ]
    assert result.autopsy["steps"] == [0, 1]


def test_a_blow_up_with_dropout_augmentation_and_batch_norm_is_reproduced() -> None:
    _, found = broken_by(lambda x: x * torch.inf, 4, step=9, **NOISY)
    assert first(found, "activation")["layer"] == "planted"
    assert found["replayed"] == [0, 9]


# -- which steps are replayed, and what is kept of them


@pytest.mark.parametrize(
    ("step", "start"), [(EVERY - 1, 0), (EVERY + 10, 0), (EVERY + 20, EVERY), (2 * EVERY + 1, EVERY)]
)
def test_a_replay_begins_at_a_snapshot_at_least_twenty_steps_before_the_end(step: int, start: int) -> None:
    verdict, found = broken_by(lambda x: x * math.nan, 1, step, training__epochs=26)
    assert verdict.step == step
    assert found["replayed"] == [start, step]
    assert found["from_the_start"] == (start == 0)


def test_the_last_steps_numbers_are_kept_for_each_layer() -> None:
    _, found = broken_by(lambda x: x * 1e37, 4, step=30, training__epochs=9)
    last = found["replayed"][1]
    assert found["steps"] == list(range(last - 19, last + 1))
    assert len(found["loss"]) == len(found["gradient_norm"]) == 20
    assert found["layers"][:4] == ["conv1", "act1", "conv2", "act2"]
    assert all(len(row) == 20 for row in found["maxima"])
    grown = first(found, "grown")
    row = found["maxima"][found["layers"].index("planted")]
    assert row[found["steps"].index(grown["step"])] == grown["value"]


def test_an_autopsy_is_small() -> None:
    _, found = broken_by(lambda x: x * 1e37, 4, step=30, training__epochs=9)
    assert len(json.dumps(found)) < 10_000


def test_a_training_that_was_taken_up_again_remembers_its_first_maxima() -> None:
    def trial() -> Trial:
        return plant(prepare(config(), DIGITS, CPU), "act4", Planted(lambda x: x * 1e37, 6))

    _, undisturbed = end(trial())
    torch.manual_seed(derive_seed(1, "dropout"))
    begun = trial()
    next(run(begun, 0.0, Recorder(begun)))
    taken_up = trial()
    restore(taken_up, capture(begun))
    _, found = end(taken_up)
    assert found["replayed"] == [4, undisturbed["replayed"][1]]
    assert found["initial"] == undisturbed["initial"]
    assert found["firsts"] == undisturbed["firsts"]


# -- what cannot be replayed


class Secret(nn.Module):
    """Keeps its count where no snapshot sees it."""

    def __init__(self, fault: Fault, step: int) -> None:
        super().__init__()
        self.fault, self.step, self.calls = fault, step, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return self.fault(x) if self.calls > self.step else x


def test_a_blow_up_that_comes_at_another_step_is_called_not_reproduced() -> None:
    trial = prepare(config(), DIGITS, CPU)
    verdict, found = end(plant(trial, "act4", Secret(lambda x: x * math.nan, 6)))
    assert verdict.step == 6
    assert found["reproduced"] is False
    assert "firsts" not in found


def test_an_error_in_the_replay_is_recorded_and_the_verdict_stands() -> None:
    def fail(x: Tensor) -> Tensor:
        if not x.requires_grad:
            return x
        raise ZeroDivisionError("a layer of its own mind")

    class Moody(Secret):
        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            if self.calls > self.step + 1:
                return fail(x)
            return x * math.nan if self.calls > self.step else x

    verdict, found = end(plant(prepare(config(), DIGITS, CPU), "act4", Moody(fail, 6)))
    assert (verdict.status, verdict.step) == ("diverged", 6)
    assert found["error"] == "ZeroDivisionError: a layer of its own mind"
    assert "Moody" not in found["error"]
    assert "a layer of its own mind" in found["traceback"]


# -- what it costs a healthy training


def numbers(result: TrialResult) -> tuple[Any, ...]:
    times = {"seconds", "time", "images_per_second"}
    curve = [{key: value for key, value in row.items() if key not in times} for row in result.curve]
    return curve, dict(result.metrics), result.verdict, result.autopsy


@pytest.mark.parametrize("changes", [{}, NOISY], ids=["plain", "noisy"])
def test_the_recorder_changes_no_number_of_a_healthy_training(changes: dict[str, Scalar]) -> None:
    asked = config(training__epochs=15, **changes)
    with_it = train(asked, DIGITS, threads=1)
    assert with_it.verdict.status == "ok"
    assert numbers(with_it) == numbers(train(asked, DIGITS, threads=1, autopsy=False))


def test_a_result_with_an_autopsy_survives_json() -> None:
    result = train(config(optimizer__lr=1e6), DIGITS, threads=1)
    assert result.autopsy is not None
    text = json.dumps(result.to_json(), allow_nan=False)
    assert TrialResult.from_json(json.loads(text)).autopsy == result.autopsy


def test_a_record_from_before_there_were_autopsies_is_read() -> None:
    data = TrialResult(config(), Verdict("ok")).to_json()
    del data["autopsy"]
    assert TrialResult.from_json(data).autopsy is None
