"""Checks of what the notes say of the Vapnik-Chervonenkis bound, and of a data format."""

from __future__ import annotations

import math

import numpy as np

from study.analysis.vc import examples_needed
from study.analysis.vc import penalty as guarded
from study.components.datasets.cifar import read_binary_batch
from study.facts.checking import Answer, answer, instead, said

# CIFAR-10's training images, and ALL-CNN-C's weights: the number that is often put in h's place.
IMAGES, WEIGHTS = 50_000, 1_369_738
ETA = 0.05
REDRAWS = 2_000


def formula(h: int, n: float, eta: float = ETA) -> float:
    """sqrt((h (ln(2n/h) + 1) - ln(eta/4)) / n) of Vapnik 1998, as the notes have it, wherever they look.

    It bounds test less training error for n far above h alone; NaN where there is no root.
    """
    inside = (h * (math.log(2 * n / h) + 1) - math.log(eta / 4)) / n
    return math.sqrt(inside) if inside >= 0 else math.nan


def vc_penalty() -> Answer:
    dimensions = np.arange(1, 2 * IMAGES, 50)
    rising = np.diff([formula(int(h), IMAGES) for h in dimensions]).min()
    beyond = formula(271_828, IMAGES) - formula(2 * IMAGES, IMAGES)
    falling = np.diff([formula(1000, n) for n in range(1000, IMAGES, 100)]).max()
    broken = share_broken()
    return answer(
        said("least rise of the penalty from h to h + 50, h below 2N = 100,000", float(rising), at_least=0.0),
        said("penalty at h = 271,828 less that at 100,000", beyond, at_least=0.0),
        said("largest change from N to N + 100, h = 1,000", float(falling), at_most=0.0),
        said(
            "share of redraws that break the bound (thresholds, N = 200, eta = 0.05)",
            broken,
            equals=ETA,
            within=0.01,
        ),
        instead("the same", broken, at_most=ETA),
        instead("penalty at h = 2N", formula(2 * IMAGES, IMAGES), equals=math.sqrt(2), within=1e-3),
        instead("penalty at h = 1,369,738, ALL-CNN-C's weights", formula(WEIGHTS, IMAGES), equals=math.nan),
        note=f"for h far below N: beyond 2N the formula falls, to {formula(271_828, IMAGES):.4f} at "
        "h = 271,828, and then has no value; the probability is at least 1 - eta (see study vc-validity)",
    )


def share_broken() -> float:
    """How often test exceeds training error by more than the penalty: the best threshold on [0, 1] (h = 1)
    for labels x > 0.5 of which a tenth are flipped; its test error is known in closed form."""
    rng = np.random.default_rng(0)
    n, noise = 200, 0.1
    allowed = formula(1, n)
    broken = 0
    for _ in range(REDRAWS):
        x = np.sort(rng.random(n))
        y = (x > 0.5) ^ (rng.random(n) < noise)
        # Errors of the threshold before the first, between each two, and after the last example.
        errors = np.concatenate([[0], np.cumsum(np.where(y, 1, -1))]) + np.sum(~y)
        best = int(errors.argmin())
        threshold = 0.0 if best == 0 else x[best - 1]
        test = noise + (1 - 2 * noise) * abs(threshold - 0.5)
        broken += test > errors[best] / n + allowed
    return broken / REDRAWS


def data_for_deep_networks() -> Answer:
    """What the bound would ask for, with the number of weights in h's place (the proven bounds on h of such
    a network are higher still: Bartlett et al. 2019, 1703.02930)."""
    needed = examples_needed(WEIGHTS, 0.1)
    return answer(
        said(
            "images that a penalty of 0.1 asks of ALL-CNN-C, over CIFAR-10's 50,000",
            needed / IMAGES,
            at_most=1.0,
        ),
        said("penalty at CIFAR-10's 50,000", guarded(WEIGHTS, IMAGES), at_most=1.0),
        instead("images for each dimension", needed / WEIGHTS, equals=843, within=2),
        note=f"it does not follow: the bound asks for {needed:.1e} images and says nothing at 50,000, where "
        "such networks do generalise; whatever makes them need data, this bound does not show it",
    )


def cifar_record() -> Answer:
    """Two records made by hand, through the reader of the published files."""
    record = bytes([7, 42]) + bytes(range(256)) * 12
    batch = read_binary_batch(2, record + record, "two records")
    return answer(
        said("bytes of pixels", float(32 * 32 * 3), equals=3072.0),
        said("bytes of a record", float(len(record)), equals=3074.0),
        said("label at index 1 of a record (7, 42, ...)", float(batch.labels[0]), equals=42.0),
    )
