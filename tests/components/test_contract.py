"""What every table entry keeps to, by being in its table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn

from study.components.activations import ACTIVATIONS, nonlinearity
from study.components.augmentation import Augmentation
from study.components.losses import LOSSES
from study.components.metrics import METRICS
from study.components.models import MODELS, Shape
from study.components.optimizers import OPTIMIZERS, parameter_groups
from study.components.routine import Routine
from study.components.schedules import SCHEDULES
from study.components.tasks import Answers, Task
from study.components.thresholds import Thresholds
from study.errors import UnknownName

TABLES: dict[str, dict[str, Any]] = {
    "activation": ACTIVATIONS,
    "loss": LOSSES,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
BUILDERS = {
    f"{component}.{name}": entry.build for component, table in TABLES.items() for name, entry in table.items()
}
# Where 0.05 is no rate to learn at within 50 steps.
RATES = {"adadelta": 5.0, "adagrad": 0.5, "lbfgs": 1.0, "rprop": 0.01}
# Of each model a small one, plain and with batch norm; all that it takes beside its defaults.
SMALL: dict[str, dict[str, Any]] = {
    "all_cnn_a": {"width": 0.05},
    "all_cnn_b": {"width": 0.05},
    "all_cnn_c": {"width": 0.05},
    "base_cnn_c": {"width": 0.05},
    "strided_cnn_c": {"width": 0.05},
    "convpool_cnn_c": {"width": 0.05, "kernel": 2},
    "plain": {"width": 0.1, "depth": 8, "batch_norm": False},
    "resnet": {"width": 0.1, "depth": 8, "batch_norm": False},
    "mlp": {"width": 7},
    "linear": {},
}
PLAIN = ("linear",)
# What a loss cannot do without.
ARGUMENTS: dict[str, dict[str, Any]] = {"quantiles": {"levels": "0.05-0.95"}}
TARGETS: dict[Task, torch.Tensor] = {
    "classification": torch.tensor([0, 0]),
    "regression": torch.tensor([1.5, -3.0]),
}


def arguments(build: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(build).parameters.items()
    return {name: each for name, each in parameters if each.kind is each.KEYWORD_ONLY}


def checker(build: Callable[..., Any], argument: str) -> TypeAdapter[Any]:
    hint = get_type_hints(build, include_extras=True)[argument]
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_an_argument_admits_its_default_and_refuses_what_is_no_number(build: Callable[..., Any]) -> None:
    for name, parameter in arguments(build).items():
        if parameter.default is not parameter.empty:
            checker(build, name).validate_python(parameter.default)
        for wrong in (float("nan"), "much", None):
            with pytest.raises(ValidationError):
                checker(build, name).validate_python(wrong)


@pytest.mark.parametrize(
    ("builder", "argument", "value"),
    [
        ("model.all_cnn_c", "width", 0.0),
        ("model.all_cnn_c", "width", 8.1),
        ("model.all_cnn_c", "batch_norm", 1),
        ("activation.leaky_relu", "negative_slope", -0.1),
        ("activation.elu", "alpha", 0.0),
        ("optimizer.sgd", "lr", 0.0),
        ("optimizer.sgd", "momentum", 9.0),
        ("optimizer.sgd", "weight_decay", -1e-4),
        ("optimizer.adam", "beta2", 1.0),
        ("optimizer.adamw", "eps", 0.0),
        ("loss.cross_entropy", "label_smoothing", 1.0),
        ("loss.huber", "delta", 0.0),
        ("loss.quantile", "gamma", 1.0),
        ("loss.quantiles", "levels", "0.5"),
        ("loss.quantiles", "levels", "0.05-1.5"),
        ("model.mlp", "width", 0),
        ("model.mlp", "dropout", 1.0),
        ("schedule.cosine", "final", 1.5),
        ("schedule.step", "drops", 0),
    ],
)
def test_a_value_past_its_limit_is_refused(builder: str, argument: str, value: object) -> None:
    with pytest.raises(ValidationError):
        checker(BUILDERS[builder], argument).validate_python(value)


@pytest.mark.parametrize(
    ("component", "field", "good", "wrong"),
    [
        (Augmentation, "flip", True, 1),
        (Augmentation, "crop", 4, -1),
        (Routine, "epochs", 1, 0),
        (Routine, "batch_size", 128, 0.5),
        (Routine, "precision", "bf16", "fp8"),
        (Routine, "evaluation_size", 1, 0),
        (Thresholds, "explosion", 10.0, 1.0),
        (Thresholds, "dead_gradient", 0.5, 1.0),
        (Thresholds, "no_return_steps", 1, 0),
    ],
)
def test_a_component_without_names_has_limits_too(
    component: type, field: str, good: object, wrong: object
) -> None:
    checker(component, field).validate_python(good)
    with pytest.raises(ValidationError):
        checker(component, field).validate_python(wrong)


@pytest.mark.parametrize("table", [*TABLES.values(), METRICS], ids=[*TABLES, "metric"])
def test_a_typo_is_answered_with_the_nearest_name(table: dict[str, Any]) -> None:
    name = next(iter(table))
    with pytest.raises(UnknownName, match=name):
        table[name + "x"]


# Each model on all that it takes.
FITTING = [
    pytest.param(model, batch_norm, shape, id=f"{model}-{'bn' if batch_norm else 'plain'}-{shape}")
    for model in MODELS
    for batch_norm in ([False] if model in PLAIN else [False, True])
    for shape in [(8, 8, 1), (32, 32, 3), *([(5,)] if MODELS[model].vectors else [])]
]


@pytest.mark.parametrize(("model", "batch_norm", "shape"), FITTING)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_model_trains_with_every_activation(
    model: str, activation: str, batch_norm: bool, shape: Shape
) -> None:
    arguments = SMALL[model] | ({"batch_norm": True} if batch_norm else {})
    generator = torch.Generator().manual_seed(0)
    network: nn.Module = MODELS[model].build(shape, 10, nonlinearity(activation), generator, **arguments)
    *sides, channels = shape
    outputs = network(torch.randn(4, channels, *sides, generator=generator))
    outputs.square().sum().backward()
    assert outputs.shape == (4, 10)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_one_finite_number_an_example(name: str) -> None:
    loss, targets = LOSSES[name], TARGETS[LOSSES[name].task]
    outputs = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    if loss.task == "regression":
        outputs = outputs[:, : len(loss.levels(**ARGUMENTS.get(name, {}))) or 1]
    losses = loss.build(targets, **ARGUMENTS.get(name, {}))(outputs, targets)
    assert losses.shape == (2,)
    assert losses.isfinite().all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_lowers_a_loss(name: str) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)]
    inputs = torch.eye(3, 4)
    if "sparse_gradients" in OPTIMIZERS[name].needs:
        layers, inputs = [nn.EmbeddingBag(3, 1, sparse=True)], torch.arange(3).unsqueeze(1)
    model = nn.Sequential(*layers)
    optimizer = OPTIMIZERS[name].build(parameter_groups(model), lr=RATES.get(name, 0.05))

    def loss() -> Any:
        optimizer.zero_grad()
        loss = (model(inputs) - 1).square().mean()
        loss.backward()
        return loss

    before = loss().item()
    for _ in range(50):
        optimizer.step(loss)
    assert loss().item() < before / 2


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_starts_at_the_learning_rate_and_never_passes_it(name: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = SCHEDULES[name].build(optimizer, 20)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == 0.5
    assert all(0 < rate <= 0.5 for rate in rates)


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name, each in METRICS.items() for task in each.tasks]
)
def test_a_metric_prefers_the_right_answer_to_the_worst(name: str, task: Task) -> None:
    metric, labels = METRICS[name], torch.arange(20)
    right = Answers(10 * torch.eye(20), labels, torch.zeros(20))
    if task == "regression":
        numbers = 1 + labels.float()
        right = Answers(numbers.unsqueeze(1), numbers, torch.zeros(20), (), 0.0, numbers.unsqueeze(1))
    found, worst = metric.of(right), metric.worst_on(right.targets.numpy())
    assert found.dtype == torch.float64
    assert found.isfinite()
    if metric.direction is None:
        assert worst is None
    else:
        assert worst is not None
        assert found > worst if metric.direction == "maximize" else found < worst


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_goes_by_its_own_name(name: str) -> None:
    assert METRICS[name].name == name
