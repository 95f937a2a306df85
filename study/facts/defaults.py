"""Checks of the signatures and defaults that the notes print, against the torch that is installed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from study.facts.checking import Answer, Found, Part, answer, instead, raised, said

# As the notes print them.
PRINTED: Mapping[str, Mapping[str, Any]] = {
    "ASGD": {"lr": 0.01, "lambd": 0.0001, "alpha": 0.75, "t0": 1e6, "weight_decay": 0},
    "Adagrad": {"lr": 0.01, "lr_decay": 0, "weight_decay": 0},
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0},
    "RMSprop": {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0, "centered": False},
    "Adam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0},
    "Adamax": {"lr": 0.002, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0},
}
LBFGS = {"lr": 1, "max_iter": 20, "tolerance_grad": 1e-5, "tolerance_change": 1e-9, "history_size": 100}


def optimizer_defaults() -> Answer:
    return answer(*(part for name, printed in PRINTED.items() for part in compared(name, printed)))


def lbfgs_defaults() -> Answer:
    tolerance = default("LBFGS", "tolerance_grad")
    optimizer = torch.optim.LBFGS([torch.zeros(1)], max_iter=20)
    return answer(
        *compared("LBFGS", LBFGS),
        said("LBFGS: max_eval for a max_iter of 20", float(optimizer.defaults["max_eval"]), equals=25.0),
        instead("LBFGS: tolerance_grad", tolerance, at_most=1e-6),
        note=f"tolerance_grad is {tolerance:g} in torch {version()}",
    )


def sgd_arguments() -> Answer:
    weights = [torch.zeros(1)]

    def sgd(**arguments: Any) -> str:
        return raised(lambda: torch.optim.SGD(weights, **arguments))

    return answer(
        said("SGD without a learning rate", sgd(), equals="TypeError"),
        said("momentum with weight decay", sgd(lr=0.1, momentum=0.9, weight_decay=1e-4), equals="nothing"),
        said(
            "NAG with weight decay",
            sgd(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
            equals="nothing",
        ),
        instead("NAG without momentum", sgd(lr=0.1, nesterov=True), equals="ValueError"),
        instead("SGD's lr by default", default("SGD", "lr"), equals=0.001),
        note=f"lr is {default('SGD', 'lr'):g} by default in torch {version()}; NAG needs momentum and no "
        "dampening",
    )


def compared(name: str, printed: Mapping[str, Any]) -> Iterator[Part]:
    for argument, value in printed.items():
        yield said(f"{name}: {argument}", found(default(name, argument)), equals=found(value))


def default(name: str, argument: str) -> Any:
    return inspect.signature(getattr(torch.optim, name)).parameters[argument].default


def found(value: object) -> Found:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def version() -> str:
    """torch's version without its build."""
    return torch.__version__.partition("+")[0]
