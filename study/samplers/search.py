"""One search per arm, told the truth about every trial.

One Optuna study an arm, so that no arm's results steer another's search. The sampler is made anew
from a seed derived from (study, arm, index) before every ask, in undisturbed runs too: a study that
was resumed proposes what an undisturbed one would have (exactly so at concurrency 1).

A diverged trial is told as PRUNED, or as the worst finite value to those samplers that ignore PRUNED.
On a toy with a cliff (tests/benchmarks/cliff.py: the loss falls towards lr = 3e-3 and is NaN above it;
the share of 40 trials that ended beyond the cliff, mean and 95 % t interval of 30 seeds, Optuna 5.0.0),
where random search wastes 49 ± 3 %:

    told as                          tpe        gp     cmaes
    FAIL                          75 ± 0    75 ± 0    48 ± 3
    left RUNNING                  47 ± 2    74 ± 1    48 ± 3
    PRUNED                        44 ± 1    75 ± 0    48 ± 3
    finite worst                  44 ± 1    16 ± 1    37 ± 3
    violated constraint           44 ± 1    14 ± 1    37 ± 3
    as here                       35 ± 1    15 ± 1    37 ± 3

TPE ranks, so all that is worse than the rest is the same to it; it gains by modelling the better quarter
instead of the better tenth. To GP a violated constraint keeps more clear of the cliff, and so of the best
values under it: they end at 0.065 instead of 0.047 above the optimum.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState

from study.bisection import BisectSearch
from study.errors import RecordError
from study.registry import Registry
from study.seeding import derive_seed
from study.space import Categorical, Distribution, Float, Int, Scalar, SearchSpace
from study.spec import Arm, StudySpec
from study.trial import TrialResult

logging.getLogger("optuna").setLevel(logging.WARNING)


class Search(Protocol):
    """The search inside one arm: proposes hyperparameters, and is told how their trials ended."""

    def ask(self, index: int) -> dict[str, Scalar]:
        """Propose the tuned hyperparameters of the arm's trial number ``index`` (from 0)."""

    def repeat(self, index: int, tuned: Mapping[str, Scalar]) -> None:
        """Bring the search to where it was after it had proposed ``tuned`` for ``index``."""

    def tell(self, result: TrialResult, worst: float) -> None:
        """Say how a trial ended. ``worst`` is the objective's value for a trial that learned nothing."""

    def states(self) -> dict[int, tuple[str, float | None]]:
        """State and value of every trial as the search has them, by index."""


@dataclass(frozen=True)
class Sampler:
    """How an Optuna sampler is made and what it needs.

    ``ignores_pruned``: it learns from completed trials only, so a diverged trial is told as complete
    with the worst finite value; the others are told PRUNED, which ranks below every completed trial.
    ``keeps_state``: what it proposed depends on what it proposed before, so one seed serves the whole
    arm, and a resumed search repeats its proposals instead of being given the recorded ones.
    """

    build: Callable[[int, StudySpec, SearchSpace], BaseSampler]
    ignores_pruned: bool = False
    keeps_state: bool = False


class ArmSearch:
    """A search inside one arm by one of Optuna's samplers."""

    def __init__(self, spec: StudySpec, arm: Arm) -> None:
        self._spec, self._arm = spec, arm
        self._sampler = SAMPLERS[spec.search.sampler]
        with warnings.catch_warnings():
            # QMC is marked experimental; its interface has stood since Optuna 3.0.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(direction=spec.objective.direction, sampler=self._seeded(0))
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self, index: int) -> dict[str, Scalar]:
        """Propose the tuned hyperparameters of the arm's trial number ``index`` (from 0)."""
        if index and not self._sampler.keeps_state:
            self._study.sampler = self._seeded(index)
        trial = self._study.ask()
        assert trial.number == index, "an arm's trials are asked in order"
        self._trials[index] = trial
        return self._arm.space.sample(lambda key, space: _suggest(trial, key, space))

    def repeat(self, index: int, tuned: Mapping[str, Scalar]) -> None:
        """Bring the search to where it was after it had proposed ``tuned`` for ``index``."""
        if not self._sampler.keeps_state:
            self._study.enqueue_trial(dict(tuned))
        if self.ask(index) != dict(tuned):
            raise RecordError(
                f"{self._spec.name}: the sampler {self._spec.search.sampler} no longer proposes what the "
                f"record has for {self._arm.name}/tune/{index}; another Optuna? start over with --fresh"
            )

    def tell(self, result: TrialResult, worst: float) -> None:
        """Say how a trial ended. ``worst`` is the objective's value for a trial that learned nothing.

        Diverged and stalled trials are the worst there is, never FAIL: a sampler forgets failures and
        proposes them again. ``failed`` (broken code, broken machine) says nothing about a point.
        """
        trial = self._trials[result.config.index]
        for row in result.curve:
            value, epoch = row.get(self._spec.objective.metric), row["epoch"]
            if value is not None and epoch is not None and result.verdict.status in ("ok", "pruned"):
                trial.report(value, int(epoch))
        if result.verdict.status == "ok":
            self._study.tell(trial, float(result.metrics[self._spec.objective.metric]))
        elif result.verdict.status == "failed":
            self._study.tell(trial, state=TrialState.FAIL)
        elif result.verdict.status != "pruned" and self._sampler.ignores_pruned:
            self._study.tell(trial, self._worst_of_all(worst))
        else:
            # A pruned trial ranks by its last step and value; one without reports, as a diverged one is
            # told here, below all those.
            self._study.tell(trial, state=TrialState.PRUNED)

    def _worst_of_all(self, worst: float) -> float:
        """``worst``, or what a trial that ended well had if that is worse: it may be beyond chance."""
        ended = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        known = [worst, *(each.value for each in ended if each.value is not None)]
        return min(known) if self._spec.objective.direction == "maximize" else max(known)

    def states(self) -> dict[int, tuple[str, float | None]]:
        """State and value of every trial as Optuna has them, by index."""
        return {t.number: (t.state.name, t.value) for t in self._study.get_trials(deepcopy=False)}

    def _seeded(self, index: int) -> BaseSampler:
        seed = derive_seed(self._spec.name, self._spec.search.seed, "sampler", self._arm.name, index)
        return self._sampler.build(seed, self._spec, self._arm.space)


def search_inside(spec: StudySpec, arm: Arm) -> Search:
    """The search that the study's sampler makes inside ``arm``."""
    return BisectSearch(spec, arm) if spec.search.sampler == "bisect" else ArmSearch(spec, arm)


def _suggest(trial: optuna.Trial, key: str, space: Distribution) -> Scalar:
    match space:
        case Float(low, high, log, _):
            return trial.suggest_float(key, low, high, log=log)
        case Int(low, high, log, step):
            return trial.suggest_int(key, low, high, log=log, step=step)
        case Categorical(choices):
            value: Scalar = trial.suggest_categorical(key, choices)  # type: ignore[assignment]
            return value


class Grid(GridSampler):
    """Optuna's grid, which ends the study with its last point by Study.stop; that raises outside
    Study.optimize. Here the conductor counts the trials, and a study asks for no more than there are."""

    def after_trial(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        pass


def _tpe(seed: int, startup: int) -> TPESampler:
    """TPE that models the better quarter of the trials; Optuna's default is the better tenth.

    Of 40 trials the tenth is four: too few to keep clear of a cliff that the best ones stand at. On
    smooth toys of one to three dimensions the quarter found values as good or better, of five worse.
    """
    with warnings.catch_warnings():
        # Deprecated in Optuna 4.9, to go in 6.0.
        warnings.filterwarnings("ignore", "`gamma` has been deprecated", FutureWarning)
        return TPESampler(seed=seed, n_startup_trials=startup, gamma=lambda trials: max(1, trials // 4))


SAMPLERS: Registry[Sampler] = Registry(
    "sampler",
    random=Sampler(lambda seed, spec, space: RandomSampler(seed)),
    tpe=Sampler(lambda seed, spec, space: _tpe(seed, spec.search.startup)),
    qmc=Sampler(
        lambda seed, spec, space: QMCSampler(
            seed=seed, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False
        ),
        keeps_state=True,
    ),
    grid=Sampler(lambda seed, spec, space: Grid(space.grid(), seed=seed), keeps_state=True),
    cmaes=Sampler(
        lambda seed, spec, space: CmaEsSampler(
            seed=seed, n_startup_trials=spec.search.startup, warn_independent_sampling=False
        ),
        ignores_pruned=True,
        keeps_state=True,
    ),
    gp=Sampler(
        lambda seed, spec, space: GPSampler(
            seed=seed, n_startup_trials=spec.search.startup, warn_independent_sampling=False
        ),
        ignores_pruned=True,
    ),
)
