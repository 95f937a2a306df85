"""How much each tuned hyperparameter matters inside an arm, by Optuna's evaluators."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.samplers import RandomSampler

from study.samplers.distributions import distribution
from study.seeding import derive_seed
from study.space import Scalar
from study.spec import Arm, StudySpec


def importances(
    spec: StudySpec, arm: Arm, trials: Sequence[tuple[Mapping[str, Scalar], float]], fanova_trials: int
) -> dict[str, dict[str, float]]:
    """By each evaluator, the share of each tuned hyperparameter in how the trials' values differ.

    ``trials`` are tuned values with the objective's value. fANOVA (Hutter et al. 2014, ICML, PMLR
    32:754-762) leaves out what not every trial has, and is given ``fanova_trials`` of them at most, drawn at
    random; PED-ANOVA (Watanabe et al. 2023, 2304.10255) asks what the better tenth of the trials have in
    common.
    """
    # They load scikit-learn, which a study that runs has no use for.
    from optuna.importance import (
        FanovaImportanceEvaluator,
        PedAnovaImportanceEvaluator,
        get_param_importances,
    )

    seed = derive_seed(spec.name, spec.search.seed, "importance", arm.name)
    some = trials
    if len(trials) > fanova_trials:
        drawn = np.random.default_rng(seed).choice(len(trials), fanova_trials, replace=False)
        some = [trials[each] for each in sorted(drawn)]
    with warnings.catch_warnings():
        # PED-ANOVA was marked experimental until Optuna 5.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = {
            "fanova": get_param_importances(
                _study_of(spec, arm, some), evaluator=FanovaImportanceEvaluator(seed=seed)
            ),
            "ped_anova": get_param_importances(
                _study_of(spec, arm, trials), evaluator=PedAnovaImportanceEvaluator()
            ),
        }
    return {name: {key: float(share) for key, share in shares.items()} for name, shares in found.items()}


def _study_of(
    spec: StudySpec, arm: Arm, trials: Sequence[tuple[Mapping[str, Scalar], float]]
) -> optuna.Study:
    study = optuna.create_study(direction=spec.objective.direction, sampler=RandomSampler(seed=0))
    entries = {entry.key: distribution(entry.distribution) for entry in arm.space.entries}
    for tuned, value in trials:
        known = {key: entries[key] for key in tuned}
        study.add_trial(optuna.trial.create_trial(params=dict(tuned), distributions=known, value=value))
    return study
