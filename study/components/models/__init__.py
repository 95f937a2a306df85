"""Networks: built from the data's shape, a number of outputs, an activation and a generator."""

from __future__ import annotations

from study.components.models import all_cnn, residual
from study.components.models.parts import Model, Shape
from study.components.perceptrons import (
    any_size,
    linear,
    mlp,
    mlp_hidden_weights,
    no_hidden_weights,
)
from study.registry import Registry

__all__ = ["MODELS", "Model", "Shape"]

MODELS: Registry[Model] = Registry(
    "model",
    all_cnn_a=all_cnn.family("all_cnn_a", all_cnn.BASE_A, all_cnn.convolved),
    all_cnn_b=all_cnn.family("all_cnn_b", all_cnn.BASE_B, all_cnn.convolved),
    all_cnn_c=all_cnn.family("all_cnn_c", all_cnn.BASE_C, all_cnn.convolved),
    base_cnn_c=all_cnn.family("base_cnn_c", all_cnn.BASE_C, all_cnn.pooled),
    strided_cnn_c=all_cnn.family("strided_cnn_c", all_cnn.BASE_C, all_cnn.strided),
    convpool_cnn_c=all_cnn.family("convpool_cnn_c", all_cnn.BASE_C, all_cnn.convolved_and_pooled),
    plain=Model(residual.plain, any_size),
    resnet=Model(residual.resnet, any_size),
    mlp=Model(mlp, any_size, hidden_weights=mlp_hidden_weights, vectors=True),
    linear=Model(linear, any_size, hidden_weights=no_hidden_weights, vectors=True),
)
