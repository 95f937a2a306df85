"""Optimizers: torch's own and a well-kept package's, with their limits and what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn
from torch.optim import Optimizer as TorchOptimizer

from study.errors import StudyError
from study.registry import Registry
from study.space import Scalar

Groups = list[dict[str, Any]]
LearningRate = Annotated[float, Gt(0)]
Decay = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, lt=1)]
Positive = Annotated[float, Gt(0)]
Need = Literal[
    "full_batch", "steady_loss", "constant_rate", "steps_to_average", "sparse_gradients", "hidden_weights"
]


def no_rule(arguments: Mapping[str, Scalar]) -> None:
    return None


def one(**arguments: object) -> int:
    return 1


@dataclass(frozen=True)
class Optimizer:
    """A table entry. The keyword-only parameters of ``build`` are the hyperparameters.

    ``build(parameter_groups, **arguments)`` makes the optimizer. ``rule(arguments)`` says in one
    line what is wrong with arguments that are each within their limits but not together; None
    where nothing is. Missing arguments count as their defaults.

    ``needs`` is what it asks of the rest of the trial (study.needs checks it). ``average``: under which
    name its state keeps an average of the weights, on which it is to be judged. ``evaluations(**arguments)``
    is the most gradient evaluations that a step takes; more than 1 where it calls its closure again.
    """

    build: Callable[..., TorchOptimizer]
    rule: Callable[[Mapping[str, Scalar]], str | None] = no_rule
    needs: tuple[Need, ...] = ()
    average: str | None = None
    evaluations: Callable[..., int] = one


def parameter_groups(model: nn.Module) -> Groups:
    """All of the model's parameters, PReLU's slopes apart and never decayed.

    Decay would pull a slope towards 0, which is ReLU (He et al. 2015, section 2.1). Everything
    else is decayed, biases and batch norm's parameters included, as torch does by default and as
    the published ALL-CNN recipe does.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.PReLU)]
    slopes = [layer.weight for layer in layers]
    apart = {id(slope) for slope in slopes}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in apart]
    groups: Groups = [{"params": rest}]
    return [*groups, {"params": slopes, "weight_decay": 0.0}] if slopes else groups


# fused=True: one kernel a step, on CPU and CUDA alike.


def sgd(
    groups: Groups,
    *,
    lr: LearningRate,
    momentum: Fraction = 0.0,
    weight_decay: Decay = 0.0,
    nesterov: bool = False,
    dampening: Fraction = 0.0,
) -> TorchOptimizer:
    """Momentum as torch writes it: v <- momentum v + (1 - dampening) gradient, w <- w - lr v."""
    return torch.optim.SGD(groups, lr, momentum, dampening, weight_decay, nesterov, fused=True)


def sgd_rule(arguments: Mapping[str, Scalar]) -> str | None:
    if arguments.get("nesterov") and (not arguments.get("momentum") or arguments.get("dampening")):
        return "nesterov needs momentum above 0 and dampening 0"
    return None


def adam(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Decay = 0.0,
) -> TorchOptimizer:
    """Kingma & Ba 2015 (1412.6980); weight decay is added to the gradient."""
    return torch.optim.Adam(groups, lr, (beta1, beta2), eps, weight_decay, fused=True)


def adamw(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Decay = 0.01,
) -> TorchOptimizer:
    """Loshchilov & Hutter 2019 (1711.05101); weight decay shrinks the weights by lr times itself."""
    return torch.optim.AdamW(groups, lr, (beta1, beta2), eps, weight_decay, fused=True)


def nadam(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Decay = 0.0,
    momentum_decay: Decay = 4e-3,
) -> TorchOptimizer:
    """Dozat 2016, Incorporating Nesterov Momentum into Adam; weight decay is added to the gradient."""
    return torch.optim.NAdam(groups, lr, (beta1, beta2), eps, weight_decay, momentum_decay)


def radam(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Decay = 0.0,
) -> TorchOptimizer:
    """Liu et al. 2020 (1908.03265): Adam that starts as SGD; weight decay is added to the gradient."""
    return torch.optim.RAdam(groups, lr, (beta1, beta2), eps, weight_decay)


def adamax(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Decay = 0.0,
) -> TorchOptimizer:
    """Kingma & Ba 2015 (1412.6980), section 7.1: a step is at most ``lr``."""
    return torch.optim.Adamax(groups, lr, (beta1, beta2), eps, weight_decay)


def sparse_adam(
    groups: Groups,
    *,
    lr: LearningRate,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
) -> TorchOptimizer:
    """Adam whose moments move only where the gradient has entries; torch raises RuntimeError on a dense
    gradient."""
    return torch.optim.SparseAdam(groups, lr, (beta1, beta2), eps)


def adagrad(
    groups: Groups,
    *,
    lr: LearningRate,
    lr_decay: Decay = 0.0,
    weight_decay: Decay = 0.0,
    initial_accumulator: Decay = 0.0,
    eps: Positive = 1e-10,
) -> TorchOptimizer:
    """Duchi, Hazan & Singer 2011, JMLR 12:2121. ``initial_accumulator``: where the sums of squares start."""
    return torch.optim.Adagrad(groups, lr, lr_decay, weight_decay, initial_accumulator, eps)


def adadelta(
    groups: Groups,
    *,
    lr: LearningRate,
    rho: Fraction = 0.9,
    eps: Positive = 1e-6,
    weight_decay: Decay = 0.0,
) -> TorchOptimizer:
    """Zeiler 2012 (1212.5701), whose step torch multiplies by ``lr``; the paper's is lr = 1."""
    return torch.optim.Adadelta(groups, lr, rho, eps, weight_decay)


def rmsprop(
    groups: Groups,
    *,
    lr: LearningRate,
    alpha: Fraction = 0.99,
    eps: Positive = 1e-8,
    weight_decay: Decay = 0.0,
    momentum: Fraction = 0.0,
    centered: bool = False,
) -> TorchOptimizer:
    """Hinton's lecture 6e; ``centered`` is Graves 2013 (1308.0850), which takes off the squared mean."""
    return torch.optim.RMSprop(groups, lr, alpha, eps, weight_decay, momentum, centered)


def rprop(
    groups: Groups,
    *,
    lr: LearningRate,
    eta_minus: Annotated[float, Interval(gt=0, lt=1)] = 0.5,
    eta_plus: Annotated[float, Gt(1)] = 1.2,
    smallest_step: Positive = 1e-6,
    largest_step: Positive = 50.0,
    mini_batches: bool = False,
) -> TorchOptimizer:
    """Riedmiller & Braun 1993: each weight has a step of its own, ``lr`` at first, times ``eta_plus``
    where its gradient keeps its sign and times ``eta_minus`` where not.

    It goes by signs, and those of mini-batch gradients are mostly noise, so batches must be the whole
    training set; ``mini_batches`` lets a study train on less all the same, to show what comes of it.
    """
    return torch.optim.Rprop(groups, lr, (eta_minus, eta_plus), (smallest_step, largest_step))


def rprop_rule(arguments: Mapping[str, Scalar]) -> str | None:
    if float(arguments.get("smallest_step", 1e-6)) > float(arguments.get("largest_step", 50.0)):
        return "rprop's smallest_step must not exceed its largest_step"
    return None


def asgd(
    groups: Groups,
    *,
    lr: LearningRate,
    lambd: Decay = 1e-4,
    alpha: Decay = 0.75,
    t0: Decay = 100.0,
    weight_decay: Decay = 0.0,
) -> TorchOptimizer:
    """Polyak & Juditsky 1992 as Bottou runs it: SGD at lr / (1 + lambd lr t)^alpha, judged on the mean of
    its weights after step ``t0``.

    torch never puts that mean into the weights, and its ``t0`` of a million steps averages nothing in
    trainings of the length that is usual here.
    """
    # lambd is a decay too: what the groups say is not to be decayed is not by it either.
    spared = [{"lambd": 0.0, **group} if "weight_decay" in group else group for group in groups]
    return torch.optim.ASGD(spared, lr, lambd, alpha, t0, weight_decay)


class ContiguousLBFGS(torch.optim.LBFGS):
    """torch's, for weights that do not lie in a row in memory (channels last): it takes a gradient's
    numbers as a view of one row, which then does not exist."""

    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        def in_rows() -> Tensor:
            loss = closure()
            for parameter in self.param_groups[0]["params"]:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.contiguous()
            return loss

        return super().step(in_rows)  # type: ignore[no-any-return, no-untyped-call]


def lbfgs(
    groups: Groups,
    *,
    lr: LearningRate,
    max_iter: Annotated[int, Ge(1)] = 20,
    history: Annotated[int, Ge(1)] = 100,
    tolerance_grad: Decay = 1e-7,
    tolerance_change: Decay = 1e-9,
    line_search: Literal["strong_wolfe", "none"] = "strong_wolfe",
) -> TorchOptimizer:
    """Liu & Nocedal 1989; a step is up to ``max_iter`` iterations. It keeps 2 ``history`` vectors as long
    as all the weights together. ``line_search`` none, torch's default, takes each step ``lr`` long."""
    return ContiguousLBFGS(
        flattened(groups),
        lr,
        max_iter,
        tolerance_grad=tolerance_grad,
        tolerance_change=tolerance_change,
        history_size=history,
        line_search_fn=None if line_search == "none" else line_search,
    )


def lbfgs_evaluations(*, max_iter: int = 20, **others: object) -> int:
    """torch stops at max_iter * 5 / 4; a line search that is under way then may take one more."""
    return max_iter * 5 // 4 + 1


def muon(
    groups: Groups,
    *,
    lr: LearningRate,
    momentum: Fraction = 0.95,
    nesterov: bool = True,
    weight_decay: Decay = 0.0,
    adamw_lr: LearningRate = 3e-4,
    adamw_weight_decay: Decay = 0.01,
) -> TorchOptimizer:
    """Jordan et al. 2024 (kellerjordan.github.io/posts/muon): momentum whose matrices are made nearly
    orthogonal by five Newton-Schulz steps. ``lr`` is the spectral norm of an update, but for a factor
    sqrt(outputs / inputs) where that is above 1.

    As its authors mean it: for hidden weights, convolutions' kernels flattened to outputs x rest; the
    first and the last layer's weights, biases and gains go by AdamW with betas 0.9 and 0.95 at
    ``adamw_lr``. By pytorch_optimizer, since torch's own takes matrices alone. Raises StudyError where
    nothing is hidden.
    """
    from pytorch_optimizer import Muon

    hidden = hidden_weights(flattened(groups))
    if not hidden:
        raise StudyError("optimizer muon: the model has no hidden weights; choose a deeper one, or adamw")
    apart = {id(weight) for weight in hidden}
    rest: Groups = [
        {
            "lr": adamw_lr,
            "betas": (0.9, 0.95),
            "weight_decay": adamw_weight_decay,
            **group,
            "params": [each for each in group["params"] if id(each) not in apart],
            "use_muon": False,
        }
        for group in groups
    ]
    first = {"params": hidden, "use_muon": True, "weight_decay": weight_decay}
    optimizer: TorchOptimizer = Muon([first, *rest], lr=lr, momentum=momentum, nesterov=nesterov)
    return optimizer


def hidden_weights(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Of a model's parameters, in their order, the matrices and kernels between the first and the last."""
    return [parameter for parameter in parameters if parameter.ndim >= 2][1:-1]


def flattened(groups: Groups) -> list[nn.Parameter]:
    return [parameter for group in groups for parameter in group["params"]]


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer",
    sgd=Optimizer(sgd, sgd_rule),
    asgd=Optimizer(asgd, needs=("steps_to_average",), average="ax"),
    adagrad=Optimizer(adagrad),
    adadelta=Optimizer(adadelta),
    rmsprop=Optimizer(rmsprop),
    adam=Optimizer(adam),
    adamw=Optimizer(adamw),
    nadam=Optimizer(nadam),
    radam=Optimizer(radam),
    adamax=Optimizer(adamax),
    sparse_adam=Optimizer(sparse_adam, needs=("sparse_gradients",)),
    muon=Optimizer(muon, needs=("hidden_weights",)),
    rprop=Optimizer(rprop, rprop_rule, needs=("full_batch", "constant_rate")),
    lbfgs=Optimizer(lbfgs, needs=("full_batch", "steady_loss"), evaluations=lbfgs_evaluations),
)
