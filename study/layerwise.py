"""What each layer does on one batch: how its gradient compares, how far from zero its activations are."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from study.batches import seeded
from study.components.activations import ACTIVATIONS
from study.components.losses import PerExample
from study.steps import Trial
from study.trial import TrialConfig, finite_or_none

# In float64, forth and back once.
EXAMPLES = 128

# Noise on what a unit is given, where it is switched off: below OFF, with this standard deviation.
OFF = -2.0
NOISE = 0.5

KINDS: tuple[type[nn.Module], ...] = tuple({type(entry.build(1)) for entry in ACTIVATIONS.values()})
WEIGHTED = (nn.Conv2d, nn.Linear)


@dataclass
class Layers:
    """By layer, in the order of execution.

    ``gradients``: the norm of the loss's gradient by each convolution's or dense layer's weight.
    ``shifts``: of each activation's output, the root mean square of the channels' means over that of all
    values: 0 where every channel has mean 0, 1 where each is constant (the bias shift of Clevert et al.
    2016, 1511.07289, section 2, without the unit of the activations). ``responses``: the variance of
    f(x + e) - f(x) over those inputs x of an activation f that are below OFF, e ~ N(0, NOISE^2), with their
    number; left out where there are none.
    """

    gradients: dict[str, float] = field(default_factory=dict)
    shifts: dict[str, float] = field(default_factory=dict)
    responses: dict[str, tuple[float, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; numbers that are not finite as None."""
        return {what: _plain(table) for what, table in asdict(self).items()}

    def summary(self) -> dict[str, float]:
        """The numbers that claims are about (study.claims.LAYERWISE), those that are finite.

        gradient_ratio       log10 of the first layer's gradient over the last one's: below 0 it vanishes
        gradient_imbalance   its absolute value, in decades
        bias_shift           the mean of the shifts
        noise_response       the mean of the responses' variances, weighted by the inputs' numbers
        """
        norms = list(self.gradients.values())
        ratio = math.log10(norms[0] / norms[-1]) if norms and norms[0] > 0 and norms[-1] > 0 else math.nan
        number = sum(count for _, count in self.responses.values())
        response = sum(variance * count for variance, count in self.responses.values())
        found = {
            "gradient_ratio": ratio,
            "gradient_imbalance": abs(ratio),
            "bias_shift": sum(self.shifts.values()) / len(self.shifts) if self.shifts else math.nan,
            "noise_response": response / number if number else math.nan,
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}


def measured_layers(trial: Trial, config: TrialConfig, when: str) -> Layers | None:
    """What the layers do now, over the first EXAMPLES of the evaluated training examples; None where the
    study does not ask for it. The training stays what it is."""
    if config.index >= int(config.hyperparameters.get("training.layerwise", 0)):
        return None
    part = trial.parts["train_eval"]
    batch = part.source.batch(part.index[:EXAMPLES])
    generator = seeded(config.seed, f"layers at the {when}")
    with torch.random.fork_rng([trial.device] if trial.device.type == "cuda" else []):
        return measure(trial.model, *batch, trial.loss, generator)


def layers_by_name(layers: Mapping[str, Layers | None]) -> dict[str, Any]:
    """For the trial's environment; empty where nothing was measured."""
    found = {when: each.to_json() for when, each in layers.items() if each is not None}
    return {"layers": found} if found else {}


def layer_metrics(layers: Mapping[str, Layers | None]) -> dict[str, float]:
    """``start_bias_shift`` and the like."""
    return {
        f"{when}_{name}": value
        for when, each in layers.items()
        if each is not None
        for name, value in each.summary().items()
    }


def measure(
    model: nn.Module, inputs: Tensor, targets: Tensor, loss: PerExample, generator: torch.Generator
) -> Layers:
    """What the layers of ``model`` do on a batch, in train mode, as ``generator`` (on the CPU) draws the
    noise. The model stays as it is. In float64: the gradient of the first of fifty layers of sigmoids is
    far below what float32 has.
    """
    model = copy.deepcopy(model).double().train()
    layers = Layers()
    with watched(model, layers, generator):
        loss(model(inputs.double()), targets).mean().backward()
    weights = {name: model.get_submodule(name).get_parameter("weight").grad for name in layers.gradients}
    layers.gradients = {name: 0.0 if grad is None else float(grad.norm()) for name, grad in weights.items()}
    return layers


@contextmanager
def watched(model: nn.Module, layers: Layers, generator: torch.Generator) -> Iterator[None]:
    """Inside, a forward pass of ``model`` notes in ``layers`` what its activations do, and the names of
    what has weights."""

    def weigh(name: str, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        layers.gradients.setdefault(name, 0.0)

    def see(name: str, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        # Before the layer, which may work in place; forward, and not a call, for a call has hooks.
        (x,) = given
        with torch.no_grad():
            layers.shifts[name] = shift(module.forward(x.clone()))
            off = x < OFF
            if bool(off.any()):
                noise = NOISE * torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
                change = module.forward(x + noise) - module.forward(x.clone())
                # CReLU gives two numbers for one.
                where = torch.cat([off] * (change.shape[1] // x.shape[1]), dim=1)
                layers.responses[name] = (float(change[where].var(correction=0)), int(off.sum()))

    modules: dict[str, nn.Module] = dict(model.named_modules())
    handles = [
        module.register_forward_pre_hook(partial(hook, name))
        for kinds, hook in ((WEIGHTED, weigh), (KINDS, see))
        for name, module in modules.items()
        if isinstance(module, kinds)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def shift(y: Tensor) -> float:
    """Of activations (n, c, ...); 0 where all are 0."""
    means = y.transpose(0, 1).flatten(1).mean(1)
    whole = float(y.square().mean().sqrt())
    return float(means.square().mean().sqrt()) / whole if whole else 0.0


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [finite_or_none(value[0]), value[1]] if isinstance(value, tuple) else finite_or_none(value)
        for name, value in table.items()
    }
