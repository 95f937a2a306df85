"""Early stopping inside one arm: ASHA, Hyperband and the median rule, over epochs.

Every arm has its own rule, so no arm is judged by another's rungs, and the rule's memory is rebuilt
from the record when a study is resumed. A value that is not finite never passes a rung.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile

from study.registry import Registry
from study.seeding import derive_seed
from study.spec import Search
from study.trial import Verdict

# The median of fewer trials than this says little; as many as Vizier and Ray wait for.
MEDIAN_OF_AT_LEAST = 3


@dataclass(frozen=True)
class Stop:
    """Why a trial is stopped: at which epoch, by which rule, and the numbers that decided it."""

    rule: str
    epoch: int
    value: float | None
    cutoff: float
    rank: int
    of: int
    bracket: int = 0

    def verdict(self, step: int) -> Verdict:
        """The verdict of the trial that this stops, after ``step`` optimizer steps."""
        value = "not finite" if self.value is None else f"{self.value:.4g}"
        reason = (
            f"stopped by {self.rule} after epoch {self.epoch}: {value} is rank {self.rank} of {self.of}, "
            f"behind the cut-off {self.cutoff:.4g}"
        )
        numbers = {
            "rung": self.epoch,
            "value": self.value,
            "cutoff": self.cutoff,
            "rank": self.rank,
            "of": self.of,
            "bracket": self.bracket,
        }
        return Verdict("pruned", self.rule, step=step, epoch=self.epoch, reason=reason, numbers=numbers)


@dataclass
class Rule:
    """One arm's early stopping; ``observe`` is told every epoch of its tuning trials in the order they
    arrive. Being told the same epoch of a trial again changes nothing. With ``search.lag`` a trial is
    judged beside those alone that it was proposed from, which had ended before it began: so the order
    in which epochs arrive does not matter."""

    search: Search
    epochs: int
    sign: int
    name: str = "none"
    values: dict[int, dict[int, float]] = field(default_factory=dict)

    def observe(self, trial: int, epoch: int, value: float | None) -> Stop | None:
        """The arm's trial number ``trial`` has ended ``epoch`` (from 1) with ``value``; None is not finite.

        Returns a Stop where the trial should end now.
        """
        # The larger is the better from here on; a value that is not finite loses to every other.
        score = -math.inf if value is None else self.sign * value
        scores = self.values.setdefault(epoch, {})
        scores.setdefault(trial, score)
        return self.judge(trial, epoch, value) if epoch < self.epochs else None

    def judge(self, trial: int, epoch: int, value: float | None) -> Stop | None:
        return None

    def forget(self, trial: int) -> None:
        """The trial starts over, with other code: what it reached with the old counts no more."""
        for scores in self.values.values():
            scores.pop(trial, None)

    def reached(self, trial: int, epoch: int) -> dict[int, float]:
        """The scores after ``epoch`` that ``trial`` is judged beside, its own among them: those that had
        arrived before it or, with a lag, those of the trials that it was proposed from."""
        scores, lag = self.values[epoch], self.search.lag
        if lag is not None:
            return {other: score for other, score in scores.items() if other == trial or other < trial - lag}
        # A trial that goes on after its worker died tells its epochs again: it is not judged by what came
        # in between. Scores are kept in the order in which they arrived.
        before = takewhile(lambda other: other != trial, scores)
        return {other: scores[other] for other in (*before, trial)}

    def stop(self, epoch: int, value: float | None, scores: list[float], own: float, cutoff: float) -> Stop:
        rank = 1 + sum(score > own for score in scores)
        return Stop(self.name, epoch, value, self.sign * cutoff, rank, len(scores))


@dataclass
class Halving(Rule):
    """Asynchronous successive halving: at each rung a trial goes on only while it is among the best
    1/reduction_factor of those that reached the rung, itself included, and always if it is the best.

    Rungs stand at grace_epochs times powers of reduction_factor. Li et al. 2020 (1810.05934),
    in the stopping form of Optuna's SuccessiveHalvingPruner: no trial is paused, no slot waits.
    """

    name: str = "asha"

    def judge(self, trial: int, epoch: int, value: float | None) -> Stop | None:
        if epoch not in self.rungs(trial):
            return None
        reached = self.reached(trial, epoch)
        peers = {other: score for other, score in reached.items() if self.beside(trial, other)}
        own = peers[trial]
        ranked = sorted(peers.values(), reverse=True)
        cutoff = ranked[max(1, len(ranked) // self.search.reduction_factor) - 1]
        if own >= cutoff and own > -math.inf:
            return None
        finite = cutoff if cutoff > -math.inf else 0.0
        return self.stop(epoch, value, ranked, own, finite)

    def rungs(self, trial: int) -> list[int]:
        """The epochs after which ``trial`` is judged."""
        rungs, epoch = [], self.search.grace_epochs
        while epoch < self.epochs:
            rungs.append(epoch)
            epoch *= self.search.reduction_factor
        return rungs

    def beside(self, trial: int, other: int) -> bool:
        """Whether the two trials are judged on the same ladder."""
        return True


@dataclass
class Hyperband(Halving):
    """Several successive halvings side by side, each with one rung fewer at the bottom: a hedge
    against judging too early. Li et al. 2018 (1603.06560), asynchronous as in 1810.05934.

    A trial's bracket is drawn from its index alone, with the shares n_s of Hyperband's table.
    """

    name: str = "hyperband"

    def rungs(self, trial: int) -> list[int]:
        return super().rungs(trial)[self.bracket(trial) :]

    def beside(self, trial: int, other: int) -> bool:
        return self.bracket(trial) == self.bracket(other)

    def bracket(self, trial: int) -> int:
        """0 is judged from the first rung on; the last bracket is never judged."""
        most = len(super().rungs(trial))
        factor = self.search.reduction_factor
        shares = [math.ceil((most + 1) / (s + 1) * factor**s) for s in range(most, -1, -1)]
        draw = random.Random(derive_seed(self.search.seed, "bracket", trial))
        return draw.choices(range(most + 1), weights=shares)[0]


@dataclass
class Median(Rule):
    """Stop a trial whose best value so far is worse than the median of the other trials' running
    means at that epoch (Golovin et al. 2017, Google Vizier, section 3.2.2)."""

    name: str = "median"

    def judge(self, trial: int, epoch: int, value: float | None) -> Stop | None:
        if epoch < self.search.grace_epochs:
            return None
        others = [self._mean(other, epoch) for other in self.reached(trial, epoch) if other != trial]
        if len(others) < MEDIAN_OF_AT_LEAST:
            return None
        best = max(self.values[past][trial] for past in range(1, epoch + 1) if trial in self.values[past])
        cutoff = statistics.median(others)
        if value is not None and best >= cutoff:
            return None
        return self.stop(epoch, value, [*others, best], best, cutoff if cutoff > -math.inf else 0.0)

    def _mean(self, trial: int, epoch: int) -> float:
        past = [self.values[e][trial] for e in range(1, epoch + 1) if trial in self.values[e]]
        return statistics.fmean(past)


def spared(search: Search, arm: str, trial: int) -> bool:
    """Whether a trial is carried to its end although the rule would stop it: a seeded share
    (``finish_share``) of them, so that the rule's own mistakes can be counted."""
    return random.Random(derive_seed(search.seed, "finish", arm, trial)).random() < search.finish_share


RULES: Registry[Callable[[Search, int, int], Rule]] = Registry(
    "early stopping", none=Rule, asha=Halving, hyperband=Hyperband, median=Median
)
