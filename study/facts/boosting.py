"""Checks with the model of the notes' own simulation: boosted trees on sinc under impulses."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.generated import sinc
from study.facts.checking import Answer, answer, said

Floats = NDArray[np.float64]

# The notes do not say how many.
EXAMPLES, NEW, DRAWS = 4_000, 10_000, 3
LEVELS = (0.1, 0.5, 0.9)


@cache
def bias(loss: Literal["squared_error", "absolute_error"]) -> float:
    """The mean of prediction less truth over new examples, a mean over the draws."""
    found = []
    for draw in range(DRAWS):
        predicted, _, clean = boosted(loss, draw)
        found.append(float(np.mean(predicted - clean)))
    return float(np.mean(found))


def quantile_levels() -> Answer:
    """Which share of new targets lies below the quantiles that trees were boosted for."""
    return answer(
        *(
            said(
                f"boosted trees: share of new targets below the {level}-quantile",
                share,
                equals=level,
                within=0.03,
            )
            for level, share in zip(LEVELS, map(share_below, LEVELS), strict=True)
        ),
        note=f"from {EXAMPLES:,} examples (scikit-learn); networks are in sinc-quantiles",
    )


@cache
def share_below(level: float) -> float:
    found = []
    for draw in range(DRAWS):
        predicted, targets, _ = boosted("quantile", draw, level)
        found.append(float(np.mean(targets <= predicted)))
    return float(np.mean(found))


def boosted(loss: str, draw: int, quantile: float | None = None) -> tuple[Floats, Floats, Floats]:
    """Predictions for new examples, their targets, and these without noise (each (NEW,)), by trees boosted on
    EXAMPLES others. scikit-learn's histogram trees minimise these losses themselves, leaf by leaf."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(draw)
    inputs, targets, _ = sinc(rng, EXAMPLES)
    new, new_targets, clean = sinc(rng, NEW)
    model = HistGradientBoostingRegressor(
        loss=loss, quantile=quantile, max_leaf_nodes=8, early_stopping=False, random_state=0
    )
    # So little work is slower on many threads, and very slow where others want them too.
    with threadpool_limits(1):
        predicted: Floats = model.fit(inputs, targets).predict(new)
    return predicted, new_targets, clean
