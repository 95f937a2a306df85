"""What early stopping saved, and how often it was wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from study.analysis.outcomes import Results, ended
from study.analysis.wording import counted
from study.spec import StudySpec
from study.trial import TrialResult

# What decides how long a full trial is, where it differs between arms.
BUDGET = ("dataset.train_size", "training.epochs", "training.batch_size")


@dataclass(frozen=True)
class EarlyStopping:
    """The tuning phase under early stopping.

    ``stopped`` trials ended early; ``carried_on`` were stopped by the rule and carried to their end all
    the same, and ``would_have_won`` of these became better than every other trial of their arm: the
    measured false stops. ``spent`` is the share of the gradient evaluations that full trials would
    have taken (None before a trial has run to its end; arms of which that is not known are left out).
    """

    rule: str
    trials: int
    stopped: int
    carried_on: int
    would_have_won: int
    spent: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        spent = (
            "" if self.spent is None else f", for {self.spent:.0%} of the gradient evaluations of full trials"
        )
        false = (
            f"{self.would_have_won} of {counted(self.carried_on, 'stopped trial')} that "
            f"{'was' if self.carried_on == 1 else 'were'} carried on all the same would have won its arm"
            if self.carried_on
            else "no stopped trial was carried on, so false stops are unknown"
        )
        ended = f"Early stopping ({self.rule}) ended {self.stopped} of {counted(self.trials, 'tuning trial')}"
        return f"{ended}{spent}; {false}."


def early_stopping(spec: StudySpec, results: Results, carried_on: Collection[str]) -> EarlyStopping | None:
    """What came of the study's early stopping; ``carried_on`` are the ids of the trials that were spared.
    None where the study has none, or no tuning trial has ended."""
    arms = {arm.name: ended(results, arm.name, "tune") for arm in spec.arms()}
    trials = [trial for arm in arms.values() for trial in arm]
    if spec.search.early_stopping == "none" or not trials:
        return None
    full = _full(spec, trials)
    spared = [each for each in trials if each.config.id in carried_on and each.verdict.status == "ok"]
    return EarlyStopping(
        rule=spec.search.early_stopping,
        trials=len(trials),
        stopped=sum(each.verdict.status == "pruned" for each in trials),
        carried_on=len(spared),
        would_have_won=sum(_wins(spec, each, arms[each.config.arm], carried_on) for each in spared),
        spent=_spent(arms, full),
    )


def _full(spec: StudySpec, trials: Sequence[TrialResult]) -> Mapping[str, int]:
    """By arm, the gradient evaluations of a trial that ran to its end: the arm's own, or that of an arm with
    the same budget. Arms of which that is not known are left out."""
    budgets = {arm.name: tuple(arm.held.get(key) for key in BUDGET) for arm in spec.arms()}
    longest: dict[tuple[Any, ...], int] = {}
    for each in trials:
        if each.verdict.status == "ok":
            budget = budgets[each.config.arm]
            longest[budget] = max(longest.get(budget, 0), each.gradient_evaluations)
    return {arm: longest[budget] for arm, budget in budgets.items() if budget in longest}


def _spent(arms: Mapping[str, Sequence[TrialResult]], full: Mapping[str, int]) -> float | None:
    whole = sum(full[arm] * len(trials) for arm, trials in arms.items() if arm in full)
    spent = sum(each.gradient_evaluations for arm in full for each in arms[arm])
    return spent / whole if whole else None


def _wins(
    spec: StudySpec, spared: TrialResult, arm: tuple[TrialResult, ...], carried_on: Collection[str]
) -> bool:
    """Whether the spared trial beats every trial of its arm that was allowed to finish."""
    metric, sign = spec.objective.metric, 1 if spec.objective.direction == "maximize" else -1
    others = [
        sign * each.metrics[metric]
        for each in arm
        if each.verdict.status == "ok" and each.config.id not in carried_on
    ]
    return sign * spared.metrics[metric] > max(others, default=float("-inf"))
