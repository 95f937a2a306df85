"""Some of a data set's classes alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from study.components.datasets.info import LoadedData, refusal
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
    kept = [numbers[data.strata] >= 0, numbers[data.test_targets.astype(np.int64)] >= 0]
    content = "\n".join((data.fingerprint, *classes))
    return replace(
        data,
        classes=classes,
        train_inputs=data.train_inputs[kept[0]],
        train_targets=numbers[data.strata[kept[0]]],
        test_inputs=data.test_inputs[kept[1]],
        test_targets=numbers[data.test_targets[kept[1]].astype(np.int64)],
        fingerprint=hashlib.sha256(content.encode()).hexdigest(),
    )
