"""The Vapnik-Chervonenkis bound: the penalty and where it says nothing, dimensions, and its competitor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.analysis.edge import Estimate
from study.analysis.intervals import LEVEL

ETA = 0.05
"""The bound holds with probability of at least 1 - ETA over the training set."""

# Output channels at width 1, kernel, stride (table 1 of Springenberg et al. 2015, 1412.6806, as
# study.components.models builds it, padded); the last has a channel a class.
ALL_CNN_C = (
    *((96, 3, 1), (96, 3, 1), (96, 3, 2)),
    *((192, 3, 1), (192, 3, 1), (192, 3, 2)),
    *((192, 3, 1), (192, 1, 1)),
)

# By how much one layer raises the degree of a pre-activation as a polynomial in the weights: PReLU's slope
# is a weight too. Activations that are not piecewise linear have no such bound.
DEGREES: Mapping[str, int] = {"relu": 1, "leaky_relu": 1, "crelu": 1, "prelu": 2}
NO_BOUND = "not piecewise linear: no such bound"


@dataclass(frozen=True)
class Layers:
    """A network's layers, first to last: distinct ``weights`` (biases among them; a batch norm folds into
    its convolution) and ``units`` (activations: channels x height x width)."""

    weights: tuple[int, ...]
    units: tuple[int, ...]

    @property
    def parameters(self) -> int:
        return sum(self.weights)


def penalty(h: float, n: float, eta: float = ETA) -> float:
    """sqrt((h (ln(2 n / h) + 1) - ln(eta / 4)) / n), the notes' line 963 (Vapnik 1998; natural logarithms).

    With probability of at least 1 - ``eta``, for all classifiers of a class of VC dimension ``h`` at once,
    test error <= training error + penalty. It is derived for h < n: beyond, the formula rises to sqrt 2
    at h = 2 n and then falls below 0, so from h = n on the answer is infinite: vacuous.
    """
    if not (h > 0 and n > 0 and 0 < eta <= 1):
        raise ValueError(f"the VC penalty wants h > 0, n > 0 and 0 < eta <= 1, not {h}, {n}, {eta}")
    return math.inf if h >= n else math.sqrt(_capacity(h, n, eta))


def relative_bound(train_error: float, h: float, n: float, eta: float = ETA) -> float:
    """The bound on the test error by relative deviations (Vapnik 1998, eq. 4.46): tighter than
    train_error + penalty where the training error is small. Infinite from h = n on."""
    if penalty(h, n, eta) == math.inf:
        return math.inf
    epsilon = _capacity(h, n, eta)
    return train_error + 2 * epsilon * (1 + math.sqrt(1 + train_error / epsilon))


def examples_needed(h: float, target: float, eta: float = ETA) -> float:
    """The n from which on the penalty is at most ``target`` > 0."""
    from scipy.optimize import brentq

    if not (h > 0 and target > 0):
        raise ValueError(f"wants h > 0 and a target > 0, not {h}, {target}")
    if penalty(h, h * (1 + 1e-9), eta) <= target:
        return h

    def surplus(log_ratio: float) -> float:
        return penalty(h, h * math.exp(log_ratio), eta) - target

    return float(h * math.exp(brentq(surplus, 1e-9, 50.0)))


def relu_upper_bound(layers: Layers, compared: int = 1, pieces: int = 1, degree: int = 1) -> float:
    """An upper bound on the VC dimension of all networks of these layers, if the activation is piecewise
    linear with ``pieces`` breakpoints: L + S log2(4 e p R log2(2 e p R)).

    S sums the weights up to each layer over the layers, R sums i k_i with k_i units in layer i, after
    Bartlett, Harvey, Liaw and Mehrabian 2019 (JMLR 20:63, 1703.02930, theorem 6). Distinct weights count,
    so convolutions are cheap. ``compared`` stands for the last layer's units: 1 for two classes, K - 1 for
    the 0/1 loss of K classes on fixed labels. ``degree``: see DEGREES.
    """
    units = [*layers.units[:-1], compared]
    reach = sum(degree * i * k for i, k in enumerate(units, start=1))
    total = sum(itertools.accumulate(layers.weights))
    inner = math.log2(2 * math.e * pieces * reach)
    return len(units) + total * math.log2(4 * math.e * pieces * reach * inner)


def network_upper_bound(layers: Layers, activation: str, classes: int) -> float | None:
    """The bound for a classifier of ``classes`` with this activation; None: NO_BOUND."""
    degree = DEGREES.get(activation)
    return None if degree is None else relu_upper_bound(layers, classes - 1, degree=degree)


def existential_lower_bound(parameters: int, depth: int) -> float:
    """Some ReLU network of so many weights and layers has at least this dimension: W L log2(W / L) / 640
    (Bartlett et al. 2019, theorem 3, with its constant). It need not be the network at hand."""
    return parameters * depth * math.log2(parameters / depth) / 640


def linear_dimension(features: int) -> int:
    """The VC dimension of half-spaces with a threshold, exactly."""
    return features + 1


def all_cnn_c_layers(
    width: float, classes: int = 10, shape: tuple[int, ...] = (32, 32, 3), factor: int = 1
) -> Layers:
    """The layers of the project's padded all_cnn_c on pictures of ``shape`` (height, width, channels);
    ``factor`` 2 where the activation doubles the channels (CReLU)."""
    height, breadth, channels = shape
    weights, units = [], []
    table = [(max(1, round(width * full)), kernel, stride) for full, kernel, stride in ALL_CNN_C]
    for outputs, kernel, stride in [*table, (classes, 1, 1)]:
        height, breadth = math.ceil(height / stride), math.ceil(breadth / stride)
        weights.append(outputs * (channels * kernel**2 + 1))
        units.append(outputs * height * breadth)
        channels = outputs * factor
    return Layers(tuple(weights), tuple(units))


def mlp_layers(sizes: Sequence[int]) -> Layers:
    """The layers of a dense network: inputs, hidden units, outputs."""
    pairs = list(itertools.pairwise(sizes))
    return Layers(tuple((inputs + 1) * outputs for inputs, outputs in pairs), tuple(sizes[1:]))


def certificate(errors: int, n: int) -> Estimate:
    """The test error of a classifier that was wrong on ``errors`` of ``n`` test examples, with its exact
    95 % interval (Clopper & Pearson 1934). It needs no complexity at all: what every bound competes with
    (Langford 2005, JMLR 6:273)."""
    from scipy import stats

    found = stats.binomtest(errors, n).proportion_ci(LEVEL, method="exact")
    return Estimate(errors / n, float(found.low), float(found.high))


def _capacity(h: float, n: float, eta: float) -> float:
    return (h * (math.log(2 * n / h) + 1) - math.log(eta / 4)) / n
