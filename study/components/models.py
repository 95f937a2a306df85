"""Networks: built from the data's shape, a number of outputs, an activation and a generator."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn

from study.components.activations import Nonlinearity
from study.components.initialisation import he
from study.components.perceptrons import (
    any_size,
    linear,
    mlp,
    mlp_hidden_weights,
    no_hidden_weights,
)
from study.errors import StudyError
from study.registry import Registry

Shape = tuple[int, ...]
"""Height, width and channels of a picture; or the length of a vector."""


def always(**arguments: object) -> bool:
    return True


@dataclass(frozen=True)
class Model:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``build(shape, outputs, activation, generator, **arguments)`` makes an initialised network
    (n, c, h, w) -> (n, outputs); the generator is the only source of chance. ``minimum_size(**arguments)``
    is the smallest picture side, in pixels, that it can see; ``hidden_weights(**arguments)``, whether there
    are weights between its first and its last layer. ``vectors``: it takes (n, features) too.
    ``sparse_gradients``: its gradients are (of embeddings that ask for it), none of them is dense.
    """

    build: Callable[..., nn.Module]
    minimum_size: Callable[..., int]
    vectors: bool = False
    hidden_weights: Callable[..., bool] = always
    sparse_gradients: bool = False


class GlobalAverage(nn.Module):
    """The mean over the picture in float32, (n, c, h, w) -> (n, c).

    Not AdaptiveAvgPool2d: its gradient is not deterministic on CUDA.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), dtype=torch.float32)


# ALL-CNN-C, table 1 of Springenberg et al. 2015 (1412.6806), but for the last convolution: output
# channels at width 1, kernel, stride. The third and the sixth stand in for pooling.
ALL_CNN_C = (
    (96, 3, 1),
    (96, 3, 1),
    (96, 3, 2),
    (192, 3, 1),
    (192, 3, 1),
    (192, 3, 2),
    (192, 3, 1),
    (192, 1, 1),
)


def all_cnn_c(
    shape: Shape,
    classes: int,
    activation: Nonlinearity,
    generator: torch.Generator,
    *,
    width: Annotated[float, Interval(gt=0, le=8)] = 1.0,
    batch_norm: bool = False,
    dropout: bool = False,
    pad7: bool = True,
) -> nn.Module:
    """ALL-CNN-C (Springenberg et al. 2015): nine convolutions and a global average.

    1,369,738 parameters at width 1, 3 channels, 10 classes. ``width`` scales the channels (rounded,
    at least 1). ``batch_norm`` stands between each convolution but the last and its activation, and
    takes the place of their biases. ``dropout`` is the paper's: 0.2 of the input, 0.5 after each
    convolution of stride 2. ``pad7=False`` leaves the seventh convolution unpadded, as published;
    padded, small pictures fit too. The last convolution has no activation, unlike the paper's table
    and like most re-implementations: the loss needs logits of both signs. CReLU leaves the
    convolutions' output channels as they are and doubles the input of the next one.

    Raises StudyError where the picture is too small.
    """
    height, breadth, channels = shape
    need = all_cnn_c_minimum_size(pad7=pad7)
    if min(height, breadth) < need:
        raise StudyError(
            f"model all_cnn_c: with pad7=false pictures must be at least {need}x{need}, "
            f"not {height}x{breadth}; set model.pad7 = true"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if dropout:
        layers["dropout0"] = nn.Dropout(0.2)
    for i, (full_width, kernel, stride) in enumerate(ALL_CNN_C, start=1):
        outputs = max(1, round(width * full_width))
        padding = 0 if i == 7 and not pad7 else kernel // 2
        conv = nn.Conv2d(channels, outputs, kernel, stride, padding, bias=not batch_norm, device="meta")
        layers[f"conv{i}"] = he(conv, activation.gain, generator)
        if batch_norm:
            layers[f"norm{i}"] = nn.BatchNorm2d(outputs)
        layers[f"act{i}"] = activation.layer(outputs)
        if dropout and stride == 2:
            layers[f"dropout{i}"] = nn.Dropout(0.5)
        channels = outputs * activation.factor
    layers["conv9"] = he(nn.Conv2d(channels, classes, 1, device="meta"), 1.0, generator)
    layers["average"] = GlobalAverage()
    return nn.Sequential(layers)


def all_cnn_c_minimum_size(*, pad7: bool = True, **others: object) -> int:
    """Two strides leave a quarter (rounded up); the unpadded 3x3 convolution needs 3 pixels of it."""
    return 1 if pad7 else 9


MODELS: Registry[Model] = Registry(
    "model",
    all_cnn_c=Model(all_cnn_c, all_cnn_c_minimum_size),
    mlp=Model(mlp, any_size, hidden_weights=mlp_hidden_weights, vectors=True),
    linear=Model(linear, any_size, hidden_weights=no_hidden_weights, vectors=True),
)
