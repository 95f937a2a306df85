"""Whether a difference matters: the Bayesian signed-rank test with a region of practical equivalence."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from study.analysis.outcomes import quantity
from study.claims import Claim
from study.seeding import derive_seed

DRAWS = 20_000
# Thousands of replicates get fewer draws: this many numbers at once are enough.
MOST_NUMBERS = 4_000_000
# The weight of the one pseudo-observation, at 0 (Benavoli et al. 2014, section 4).
PRIOR = 0.5
# Accuracies that differ by less than a point are equal in practice, where no claim says otherwise.
ROPE = 0.01
FRACTIONS = ("accuracy", "error")


@dataclass(frozen=True)
class Beliefs:
    """The posterior probabilities that the first is better, that the two are equal in practice, and that
    the first is worse."""

    better: float
    equal: float
    worse: float


def rope_for(metric: str, claims: Sequence[Claim]) -> float | None:
    """The region of practical equivalence: the widest margin that a claim about the metric names, ROPE for
    a fraction, and None for what has no such scale."""
    margins = [claim.margin for claim in claims if claim.metric == metric and claim.margin]
    if margins:
        return max(margins)
    return ROPE if quantity(metric) in FRACTIONS else None


def signed_rank(differences: Sequence[float], rope: float) -> Beliefs | None:
    """The Bayesian signed-rank test (Benavoli et al. 2014, ICML, PMLR 32:1026-1034; with a rope: Benavoli
    et al. 2017, JMLR 18(77), section 4.2).

    The differences and a pseudo-observation at 0 get Dirichlet weights; each draw of these gives a share
    of Walsh averages above the rope, inside it and below it, and each belief is how often its share is the
    largest. None for no difference.
    """
    return _signed_rank(tuple(differences), rope) if differences else None


@functools.lru_cache(maxsize=4096)
def _signed_rank(differences: tuple[float, ...], rope: float) -> Beliefs:
    import numpy as np

    seen = np.array([0.0, *differences])
    averages = (seen[:, None] + seen) / 2
    above = np.heaviside(averages - rope, 0.5)
    below = np.heaviside(-averages - rope, 0.5)
    draws = min(DRAWS, MOST_NUMBERS // len(seen))
    generator = np.random.default_rng(derive_seed("signed rank", len(differences)))
    weights = generator.dirichlet([PRIOR, *(1.0 for _ in differences)], draws)
    better = ((weights @ above) * weights).sum(axis=1)
    worse = ((weights @ below) * weights).sum(axis=1)
    winner = np.argmax(np.column_stack([better, 1 - better - worse, worse]), axis=1)
    counts = np.bincount(winner, minlength=3) / draws
    return Beliefs(*(float(each) for each in counts))
