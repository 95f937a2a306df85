"""In which order images are selected to train on: the easy or the hard ones, spread out or alike.

All of it is told from pictures averaged down to at most 8x8, and from those images alone that may be
trained on; each class is looked at by itself but by the proxies, which tell the classes apart.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.info import Images, Labels
from study.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Selection = Literal["random", "easy", "hard", "diverse", "similar"]
Features = NDArray[np.float32]
Ranks = NDArray[np.float64]

SIDE = 8
# They hold 96 % of the variance of CIFAR-10's 192 averages.
COMPONENTS = 50
_AT_ONCE = 1000

# EL2N is a matter of early training (Paul et al. 2021: epoch 10 of 200 or so), and of some networks' mean.
# Of CIFAR-10's 45,000 images four of these take six seconds of one core, tell 49 % of held-out ones right,
# and agree with four others at a rank correlation of 0.95.
PROXIES = 4
PROXY_EPOCHS = 5
PROXY_UNITS = 128
PROXY_STEPS = 150  # an epoch, about: batches are larger where there are more images
PROXY_BATCHES = (32, 256)
PROXY_RATE = 1e-3


def ranked(
    selection: Selection, images: Images, labels: Labels, pool: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """The indices ``pool`` into images (n, h, w, c) and labels (n,), best first within each class.

    easy, hard: by EL2N, the norm of the error of the predicted probabilities, averaged over PROXIES small
    networks early in their training (Paul, Ganguli & Dziugaite 2021, 2107.07075, section 2.2).
    diverse: from an image drawn at random on, always that which is farthest from all before it (greedy
    k-centre: Gonzalez 1985; Sener & Savarese 2018, 1708.00489, algorithm 1). similar: an image drawn at
    random, then its nearest neighbours. Distances are Euclidean, over the first COMPONENTS principal
    components of the pool's averaged pixels. ``seed`` draws the first images and the networks.

    The ranks are nested: fewer images are the beginning of more.
    """
    rank = RANKINGS[selection](averaged(images, pool), labels[pool], seed)
    return pool[np.argsort(rank, kind="stable")]


def averaged(images: Images, pool: NDArray[np.int64]) -> Features:
    """The images at ``pool`` as (n, features) float32, averaged over blocks of the same size so that no
    side has more than SIDE of them; rows and columns that fill no block are left out."""
    height, width, channels = images.shape[1:]
    block = -(-max(height, width) // SIDE)
    rows, columns = height // block, width // block
    found = np.empty((len(pool), rows * columns * channels), np.float32)
    for start in range(0, len(pool), _AT_ONCE):
        some = images[pool[start : start + _AT_ONCE], : rows * block, : columns * block]
        blocks = some.reshape(len(some), rows, block, columns, block, channels)
        found[start : start + _AT_ONCE] = blocks.mean((2, 4), dtype=np.float32).reshape(len(some), -1)
    return found


def principal(features: Features) -> Features:
    """The first COMPONENTS principal components of ``features`` (n, k), (n, at most COMPONENTS)."""
    centred = features - features.mean(0)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    components: Features = centred @ directions[:, ::-1][:, :COMPONENTS].astype(np.float32)
    return components


def in_each_class(
    order: Callable[[Features, np.random.Generator], NDArray[np.int64]],
) -> Callable[[Features, Labels, int], Ranks]:
    """A ranking that puts each class's images into an ``order``, which is given their components."""

    def rank(features: Features, labels: Labels, seed: int) -> Ranks:
        components, ranks = principal(features), np.empty(len(labels))
        generator = np.random.Generator(np.random.PCG64(seed))
        for label in np.unique(labels):
            here = np.flatnonzero(labels == label)
            ranks[here[order(components[here], generator)]] = np.arange(len(here))
        return ranks

    return rank


def farthest_first(points: Features, generator: np.random.Generator) -> NDArray[np.int64]:
    """Greedy k-centre: a point drawn at random, then always the one farthest from its nearest before it."""
    order = np.empty(len(points), np.int64)
    order[0] = generator.integers(len(points))
    nearest = np.full(len(points), np.inf, np.float32)
    for number in range(1, len(points)):
        last = order[number - 1]
        nearest = np.minimum(nearest, squared_distances(points, points[last]))
        nearest[last] = -1
        order[number] = nearest.argmax()
    return order


def nearest_first(points: Features, generator: np.random.Generator) -> NDArray[np.int64]:
    """A point drawn at random, then the others by their distance to it."""
    centre = generator.integers(len(points))
    distances = squared_distances(points, points[centre])
    distances[centre] = -1
    return np.argsort(distances, kind="stable")


def squared_distances(points: Features, to: NDArray[np.float32]) -> NDArray[np.float32]:
    squares: NDArray[np.float32] = np.square(points - to).sum(1)
    return squares


def easy_first(features: Features, labels: Labels, seed: int) -> Ranks:
    return el2n(features, labels, seed)


def hard_first(features: Features, labels: Labels, seed: int) -> Ranks:
    return -el2n(features, labels, seed)


def el2n(features: Features, labels: Labels, seed: int) -> Ranks:
    """How wrong small networks are about each image, (n,): between 0 and sqrt(2).

    Each has one hidden layer of PROXY_UNITS ReLUs on the standardised features, and is trained by Adam
    on all images for PROXY_EPOCHS epochs. On the CPU, wherever the trials run, in torch's threads.
    """
    import torch
    from torch.nn import functional

    spread = features.std(0)
    inputs = torch.from_numpy((features - features.mean(0)) / np.where(spread > 0, spread, 1))
    targets = torch.tensor(labels)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.zeros(len(labels), dtype=torch.float64)
    for _ in range(PROXIES):
        network = _trained_proxy(inputs, targets, generator)
        with torch.inference_mode():
            likely = network(inputs).softmax(1)
            scores += (likely - functional.one_hot(targets, likely.shape[1])).norm(dim=1)
    return np.asarray(scores / PROXIES)


def _trained_proxy(inputs: Tensor, targets: Tensor, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A network after its training. Bare weights, because layers draw from torch's global generator, and
    what a trial draws from that must not depend on who selected its images."""
    import torch
    from torch.nn import functional

    widths = (inputs.shape[1], PROXY_UNITS, 1 + int(targets.max()))
    weights = [
        torch.randn(outputs, fan_in, generator=generator).mul_((2 / fan_in) ** 0.5).requires_grad_()
        for fan_in, outputs in pairwise(widths)
    ]
    biases = [torch.zeros(outputs, requires_grad=True) for outputs in widths[1:]]

    def network(some: Tensor) -> Tensor:
        hidden = functional.linear(some, weights[0], biases[0]).relu()
        return functional.linear(hidden, weights[1], biases[1])

    optimizer = torch.optim.Adam([*weights, *biases], PROXY_RATE, fused=True)
    size = min(max(len(targets) // PROXY_STEPS, PROXY_BATCHES[0]), PROXY_BATCHES[1])
    for _ in range(PROXY_EPOCHS):
        for batch in torch.randperm(len(targets), generator=generator).split(size):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return network


def as_drawn(features: Features, labels: Labels, seed: int) -> Ranks:
    return np.arange(len(labels), dtype=np.float64)


RANKINGS: Registry[Callable[[Features, Labels, int], Ranks]] = Registry(
    "selection",
    random=as_drawn,
    easy=easy_first,
    hard=hard_first,
    diverse=in_each_class(farthest_first),
    similar=in_each_class(nearest_first),
)
