"""Real handwritten digits, 8x8, as scikit-learn carries them: embedded, nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from study.components.datasets.checking import fingerprint, image_digests
from study.components.datasets.info import DatasetInfo, LoadedData
from study.components.datasets.splits import split

TRAIN_EXAMPLES = 1437
TEST_EXAMPLES = 360
_SPLIT_SEED = 0
_LEVELS = 16  # a pixel counts the black ones of 4x4 in the scan: 0..16
ORIGIN = "embedded in scikit-learn"


def load(data_dir: Path | None) -> LoadedData:
    """The digits with pixels stretched from 0..16 to 0..255, split once and for all; reads no folder."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / _LEVELS)).astype(np.uint8)[..., np.newaxis]
    labels = digits.target.astype(np.int64)
    parts = split(labels, train_size=TRAIN_EXAMPLES, validation_size=TEST_EXAMPLES, seed=_SPLIT_SEED)
    train, test = np.sort(parts.train), np.sort(parts.validation)
    digests = [image_digests(images[part]) for part in (train, test)]
    return LoadedData(
        name=DIGITS.name,
        classes=DIGITS.classes,
        train_inputs=images[train],
        train_targets=labels[train],
        test_inputs=images[test],
        test_targets=labels[test],
        mean=DIGITS.mean,
        std=DIGITS.std,
        fingerprint=fingerprint(DIGITS.shape, (digests[0], labels[train]), (digests[1], labels[test])),
        part=False,
        origin=ORIGIN,
    )


def locate(data_dir: Path | None) -> str | None:
    """It is always there."""
    return ORIGIN


DIGITS = DatasetInfo(
    name="digits",
    task="classification",
    classes=tuple(str(digit) for digit in range(10)),
    shape=(8, 8, 1),
    train_examples=TRAIN_EXAMPLES,
    test_examples=TEST_EXAMPLES,
    licence="CC BY 4.0",
    source=(
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998,"
        " https://doi.org/10.24432/C50P49 (its test set, as in scikit-learn's load_digits)"
    ),
    downloadable=False,
    mean=(0.30490107,),
    std=(0.37564521,),
    load=load,
    locate=locate,
)
