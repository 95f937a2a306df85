"""Data that is made: each replicate draws its own, from a seed, and what is true of it is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Interval
from numpy.typing import NDArray

from study.components.datasets.info import DatasetInfo, LoadedData
from study.seeding import derive_seed

# As many are drawn, whatever is asked for: smaller training sets are the beginnings of larger ones.
TRAIN_EXAMPLES = 20_000
TEST_EXAMPLES = 10_000
ORIGIN = "made from a seed"

Share = Annotated[float, Interval(ge=0, le=1)]
Numbers = NDArray[np.float64]
Drawn = tuple[Numbers, Numbers, Numbers]
"""Vectors (n, features), targets (n,), and targets without noise (n,)."""


def sinc(
    draw: np.random.Generator,
    number: int,
    *,
    sigma: Annotated[float, Ge(0)] = 1.0,
    p: Share = 0.1,
    amplitude: float = 10.0,
    height: float = 10.0,
) -> Drawn:
    """height sin(x) / x + N(0, sigma^2) + amplitude Bern(p), x uniform on [-15, 15].

    The form of Natekin & Knoll 2013, Front. Neurorobot. 7:21, which does not give its numbers; these make
    Huber's delta of 4, 2 and 1 lie around sigma.
    """
    x = draw.uniform(-15, 15, number)
    clean = height * np.sinc(x / np.pi)
    impulses = amplitude * (draw.random(number) < p)
    return x[:, np.newaxis], clean + draw.normal(0, 1, number) * sigma + impulses, clean


def hetero(
    draw: np.random.Generator,
    number: int,
    *,
    spread: Literal["growing", "constant"] = "growing",
    sigma: Annotated[float, Gt(0)] = 0.5,
) -> Drawn:
    """x sin x + s(x) N(0, 1), x uniform on [0, 10]: s grows from sigma to sigma + 1, or is sigma + 1/2, its
    mean, everywhere. The curve of scikit-learn's example of quantile regression, with normal noise."""
    x = draw.uniform(0, 10, number)
    clean = x * np.sin(x)
    deviation = sigma + (x / 10 if spread == "growing" else 0.5)
    return x[:, np.newaxis], clean + draw.normal(0, 1, number) * deviation, clean


def two_classes(
    draw: np.random.Generator,
    number: int,
    *,
    bayes_error: Annotated[float, Interval(ge=0, lt=0.5)] = 0.1,
    boundary: Literal["line", "circle"] = "line",
    features: Annotated[int, Interval(ge=1, le=1000)] = 2,
) -> Drawn:
    """x ~ N(0, 1) in each feature; the class is the side of a boundary, in a share ``bayes_error`` of the
    examples the other one, so no rule errs less. ``line``: the sum of the features is above 0; ``circle``:
    the sum of their squares is above its median."""
    x = draw.standard_normal((number, features))
    outside = x.sum(axis=1) > 0 if boundary == "line" else (x**2).sum(axis=1) > median_of_squares(features)
    flipped = draw.random(number) < bayes_error
    return x, (outside ^ flipped).astype(np.float64), outside.astype(np.float64)


def median_of_squares(features: int) -> float:
    """Of the chi-squared distribution."""
    from scipy.stats import chi2

    median: float = chi2.median(features)
    return median


# -- as a data set


def load(name: str, data_dir: Path | None) -> LoadedData:
    """A first draw, with the default arguments, from which trials make their own; reads no folder."""
    data = drawn(name, {}, 0)
    arrays = (data.train_inputs, data.train_targets, data.test_inputs, data.test_targets)
    content = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    return replace(data, fingerprint=content, redraw=partial(drawn, name))


def locate(data_dir: Path | None) -> str | None:
    """It is always there."""
    return ORIGIN


def drawn(name: str, arguments: Mapping[str, Any], seed: int) -> LoadedData:
    """A draw from a seed, without a fingerprint. ``arguments`` that are not the maker's own are left out."""
    info = GENERATED[name]
    draw = np.random.Generator(np.random.PCG64(derive_seed(name, seed)))
    own = {key: value for key, value in arguments.items() if key in signature(info.arguments).parameters}
    inputs, *numbers = info.arguments(draw, TRAIN_EXAMPLES + TEST_EXAMPLES, **own)
    kind = np.int64 if info.classes else np.float32
    targets, clean = (each.astype(kind) for each in numbers)
    vectors, known = inputs.astype(np.float32), None if info.classes else clean
    features = vectors.shape[1]
    return LoadedData(
        name=name,
        classes=info.classes,
        train_inputs=vectors[:TRAIN_EXAMPLES],
        train_targets=targets[:TRAIN_EXAMPLES],
        test_inputs=vectors[TRAIN_EXAMPLES:],
        test_targets=targets[TRAIN_EXAMPLES:],
        mean=info.mean[:1] * features,
        std=info.std[:1] * features,
        fingerprint="",
        part=False,
        origin=ORIGIN,
        train_clean=None if known is None else known[:TRAIN_EXAMPLES],
        test_clean=None if known is None else known[TRAIN_EXAMPLES:],
    )


def made(
    name: str,
    make: Callable[..., Drawn],
    source: str,
    *,
    classes: tuple[str, ...] = (),
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        task="classification" if classes else "regression",
        classes=classes,
        shape=(len(mean),),
        train_examples=TRAIN_EXAMPLES,
        test_examples=TEST_EXAMPLES,
        licence="none needed",
        source=source,
        downloadable=False,
        mean=mean,
        std=std,
        load=partial(load, name),
        locate=locate,
        arguments=make,
        clean=not classes,
    )


UNIFORM = 12**-0.5  # the standard deviation on an interval of length 1

GENERATED: dict[str, DatasetInfo] = {
    "sinc": made("sinc", sinc, "after Natekin and Knoll 2013", std=(30 * UNIFORM,)),
    "hetero": made(
        "hetero", hetero, "after scikit-learn's quantile regression", mean=(5.0,), std=(10 * UNIFORM,)
    ),
    "two_classes": made(
        "two_classes",
        two_classes,
        "made here; its Bayes error is known",
        classes=("inside", "outside"),
        mean=(0.0, 0.0),
        std=(1.0, 1.0),
    ),
}
