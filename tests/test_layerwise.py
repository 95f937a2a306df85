"""What layers do: on layers whose gradients and activations are known, and in a training."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.analysis.outcomes import replicates
from study.claims import LAYERWISE
from study.components.activations import ACTIVATIONS, nonlinearity
from study.components.losses import LOSSES
from study.components.models import MODELS
from study.layerwise import Layers, measure, shift
from tests.test_training import numbers, run


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator())


def measured(model: nn.Module, images: Tensor | None = None) -> Layers:
    images = drawn(64, 3, 8, 8) if images is None else images
    labels = torch.arange(len(images)) % 10
    return measure(model, images, labels, LOSSES["cross_entropy"].build(labels), generator())


def network(name: str = "plain", activation: str = "relu", **arguments: Any) -> nn.Module:
    build = MODELS[name].build
    return build((8, 8, 3), 10, nonlinearity(activation), generator(), **arguments)


# -- gradients


def test_gradients_are_those_of_the_weights_in_the_order_of_execution() -> None:
    model = network(depth=8, width=0.25)
    found = measured(model)
    assert list(found.gradients)[:2] == ["conv1", "stage1.block1.branch.conv1"]
    assert list(found.gradients)[-1] == "dense"
    assert len(found.gradients) == 8
    labels = torch.arange(64) % 10
    loss = LOSSES["cross_entropy"].build(labels)(model.train()(drawn(64, 3, 8, 8)), labels).mean()
    for name, norm in found.gradients.items():
        (gradient,) = torch.autograd.grad(loss, model.get_parameter(f"{name}.weight"), retain_graph=True)
        assert norm == pytest.approx(gradient.norm().item(), rel=1e-3)


def test_the_ratio_is_that_of_the_first_and_the_last_in_decades() -> None:
    summary = Layers({"a": 1e-3, "b": 5.0, "c": 0.1}).summary()
    assert summary["gradient_ratio"] == pytest.approx(-2)
    assert summary["gradient_imbalance"] == pytest.approx(2)


@pytest.mark.parametrize("first", [0.0, math.inf, math.nan])
def test_a_ratio_that_is_no_number_is_left_out(first: float) -> None:
    layers = Layers({"a": first, "b": 1.0})
    assert "gradient_ratio" not in layers.summary()
    assert layers.to_json()["gradients"]["a"] in (0.0, None)


def test_what_vanishes_beyond_float32_is_seen() -> None:
    """Behind 56 layers of sigmoids."""
    ratio = measured(network(activation="sigmoid", depth=56, width=0.25, batch_norm=False)).summary()
    assert -60 < ratio["gradient_ratio"] < -20


# -- activations


def test_the_shift_is_0_for_what_is_centred_and_1_for_what_is_constant() -> None:
    assert shift(torch.tensor([[-1.0, 5.0], [1.0, -5.0]])) == 0
    assert shift(torch.tensor([[-1.0, 5.0], [-1.0, 5.0]])) == 1
    assert shift(torch.zeros(2, 2)) == 0


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        # E f(z) / sqrt(E f(z)^2) of a standard normal z: 1 / sqrt(pi), 0, and by quadrature.
        ("relu", 1 / math.sqrt(math.pi)),
        ("tanh", 0.0),
        ("elu", 0.2004),
    ],
)
def test_the_shift_of_a_standard_normal_is_the_known_one(activation: str, expected: float) -> None:
    layer = nn.Sequential(nonlinearity(activation).layer(3), nn.Flatten(), nn.Linear(3 * 64, 10))
    (found,) = measured(layer, drawn(4000, 3, 8, 8)).shifts.values()
    assert found == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("activation", "arguments", "expected"),
    [
        # The slope squared times the noise's variance, 0.25: what a unit that is off lets through.
        ("leaky_relu", {"negative_slope": 0.2}, 0.01),
        ("prelu", {}, 0.25**2 * 0.25),
        ("relu", {}, 0.0),
        # Inputs at -3: alpha e^-3 (e^e - 1), whose variance is e^-6 (e^0.5 - e^0.25).
        ("elu", {}, math.exp(-6) * (math.exp(0.5) - math.exp(0.25))),
    ],
)
def test_the_response_to_noise_is_the_known_one(
    activation: str, arguments: dict[str, float], expected: float
) -> None:
    layer = nn.Sequential(nonlinearity(activation, **arguments).layer(3), nn.Flatten(), nn.Linear(3 * 64, 10))
    off = torch.full((1000, 3, 8, 8), -3.0)
    ((variance, count),) = measured(layer, off).responses.values()
    assert count == off.numel()
    assert variance == pytest.approx(expected, rel=0.02)


def test_where_nothing_is_off_there_is_no_response() -> None:
    layer = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(3 * 64, 10))
    found = measured(layer, drawn(10, 3, 8, 8).abs())
    assert found.responses == {}
    assert "noise_response" not in found.summary()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_of_every_layer_is_seen(activation: str) -> None:
    found = measured(network("all_cnn_c", activation, width=0.1))
    assert list(found.shifts) == [f"act{i}" for i in range(1, 9)]
    assert all(0 <= each <= 1 for each in found.shifts.values())


# -- the whole


def test_measuring_leaves_the_model_as_it_was() -> None:
    model = network(depth=8, width=0.25).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measured(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_claims_can_be_about_every_number_of_the_summary() -> None:
    found = run(model__batch_norm=False, training__layerwise=1)
    named = {name for name in found.metrics if name.startswith(("start_", "end_"))}
    assert named == set(LAYERWISE)
    assert set(found.environment["layers"]) == {"start", "end"}


def test_only_an_arms_first_trials_are_measured() -> None:
    found = run()
    assert "layers" not in found.environment
    assert not set(LAYERWISE) & set(found.metrics)


def test_measuring_does_not_change_the_training() -> None:
    changes: dict[str, Any] = {"model__batch_norm": True, "model__dropout": True}
    apart = numbers(run(**changes))
    curve, metrics = numbers(run(**changes, training__layerwise=1))
    assert (curve, {name: value for name, value in metrics.items() if name not in LAYERWISE}) == apart


def test_what_was_measured_at_the_start_counts_for_a_training_that_diverged() -> None:
    found = run("confirm", optimizer__lr=1e6, training__layerwise=1)
    assert found.verdict.status == "diverged"
    assert {name.partition("_")[0] for name in found.metrics} == {"start"}
    results = {found.config.id: found}
    (start,) = replicates(results, "arm", "start_bias_shift")
    assert start.value == found.metrics["start_bias_shift"]
    (end,) = replicates(results, "arm", "end_bias_shift")
    assert end.value is None


def test_a_trial_says_how_many_parameters_its_model_has() -> None:
    assert run(training__epochs=1).environment["parameters"] == 14_033
