"""Wrong labels, put on training images on purpose."""

from __future__ import annotations

import numpy as np

from study.components.datasets.info import Labels


def mislabelled(labels: Labels, classes: int, share: float, seed: int) -> Labels:
    """``labels`` (n,) of which each is, with probability ``share``, another class, all equally likely
    (uniform or symmetric label noise).

    What happens to an image depends on the seed and its place alone: it has the same label in every
    selection of the images, and one that is wrong at a share is wrong at every larger one.
    """
    draws = np.random.Generator(np.random.PCG64(seed)).random((2, len(labels)))
    others = (labels + 1 + (draws[1] * (classes - 1)).astype(np.int64)) % classes
    return np.where(draws[0] < share, others, labels)
