"""Some of a data set's classes alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.info import Images, Labels, LoadedData, refusal
from study.errors import shorten
from study.registry import nearest
from study.space import Scalar

SEPARATOR = "+"
PLACE = "dataset.classes"


def chosen_classes(wanted: Scalar | None, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that a study file's ``dataset.classes`` names, in the published order.

    A number is how many, from the first on; a text has names or numbers of classes (from 0), joined by
    ``+``: "cat+dog", "3+5"; None is all. DataError where they are not at least two of ``classes``.
    """
    if wanted is None:
        return tuple(classes)
    if isinstance(wanted, int):
        if not 2 <= wanted <= len(classes):
            raise refusal(PLACE, f"the first 2 to {len(classes)} classes, not {wanted}")
        return tuple(classes[:wanted])
    numbers = [_number(each.strip(), classes) for each in str(wanted).split(SEPARATOR)]
    if len(set(numbers)) < len(numbers) or len(numbers) < 2:
        raise refusal(PLACE, f"two or more classes, each named once, not {shorten(wanted)}")
    return tuple(classes[number] for number in sorted(numbers))


def _number(text: str, classes: Sequence[str]) -> int:
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    hint = nearest(text, classes)
    raise refusal(PLACE, f"no class is called {shorten(text)}", f"{hint}; join names by {SEPARATOR}")


def of_classes(data: LoadedData, classes: tuple[str, ...]) -> LoadedData:
    """``data`` with the images of ``classes`` alone, numbered anew from 0; ``data`` itself where it has
    no others."""
    if classes == data.classes:
        return data
    numbers = np.full(len(data.classes), -1)
    numbers[[data.classes.index(name) for name in classes]] = np.arange(len(classes))
    train_images, train_labels = _only(data.train_images, numbers[data.train_labels])
    test_images, test_labels = _only(data.test_images, numbers[data.test_labels])
    content = "\n".join((data.fingerprint, *classes))
    return replace(
        data,
        classes=classes,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        fingerprint=hashlib.sha256(content.encode()).hexdigest(),
    )


def _only(images: Images, labels: NDArray[np.int64]) -> tuple[Images, Labels]:
    return images[labels >= 0], labels[labels >= 0]
