"""One arm's progress: its search, its early stopping, what was asked of it and how that ended.

With ``search.lag`` the search runs in step: trial ``i`` is proposed once trials 0 to ``i - 1 - lag``
have ended, from those and no others, told in the order of their numbers. What is proposed then does
not depend on which trial ended first, nor on how many run at once. Without, the search is told how a
trial ended the moment it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from study.early_stopping import RULES, Rule
from study.samplers import Search, search_inside
from study.space import Scalar
from study.spec import Arm, StudySpec
from study.trial import PHASES, Phase, TrialConfig, TrialResult


@dataclass
class ArmProgress:
    """One arm's search and what is known of its trials, by index, in each phase. ``worst`` is the
    objective's value for a trial that learned nothing; ``chosen`` is the tuning trial that is confirmed;
    ``untold`` are the tuning trials that ended and of which the search has still to be told."""

    arm: Arm
    search: Search
    stopping: Rule
    trials: int
    worst: float
    lag: int | None = None
    asked: dict[Phase, dict[int, TrialConfig]] = field(
        default_factory=lambda: {phase: {} for phase in PHASES}
    )
    ended: dict[Phase, dict[int, TrialResult]] = field(
        default_factory=lambda: {phase: {} for phase in PHASES}
    )
    untold: dict[int, TrialResult] = field(default_factory=dict)
    chosen: TrialResult | None = None
    _in_a_row: int = 0  # how many of the first tuning trials have ended, without a gap

    @property
    def tuned(self) -> bool:
        return len(self.ended["tune"]) == self.trials

    def may_ask(self) -> bool:
        """Whether the search may propose the next tuning trial now, if one is missing at all."""
        following = len(self.asked["tune"])
        return following < self.trials and (self.lag is None or following - self.lag <= self._in_a_row)

    def ask(self) -> dict[str, Scalar]:
        """The tuned hyperparameters of the next tuning trial."""
        following = len(self.asked["tune"])
        self._tell_before(following)
        return self.search.ask(following)

    def repeat(self, config: TrialConfig) -> None:
        """Bring arm and search to where they were after they had asked for ``config``."""
        self.asked[config.phase][config.index] = config
        if config.phase == "tune":
            self._tell_before(config.index)
            self.search.repeat(config.index, self.arm.space.tuned_part(config.hyperparameters))

    def account(self, result: TrialResult) -> None:
        """A trial of this arm has ended."""
        self.ended[result.config.phase][result.config.index] = result
        if result.config.phase == "tune":
            self.untold[result.config.index] = result
            while self._in_a_row in self.ended["tune"]:
                self._in_a_row += 1
            if self.lag is None or self.tuned:
                self._tell(sorted(self.untold))

    def _tell_before(self, index: int) -> None:
        """Tell the search of what trial ``index`` is proposed from."""
        if self.lag is not None:
            self._tell(sorted(each for each in self.untold if each < index - self.lag))

    def _tell(self, indices: list[int]) -> None:
        for index in indices:
            self.search.tell(self.untold.pop(index), self.worst)


def arms_of(spec: StudySpec, worst: float) -> Iterator[ArmProgress]:
    """Every arm of the study, before its first trial."""
    for arm in spec.arms():
        yield ArmProgress(
            arm,
            search_inside(spec, arm),
            stopping_rule(spec, arm),
            spec.search.trials_per_arm,
            worst,
            spec.search.lag,
        )


def stopping_rule(spec: StudySpec, arm: Arm) -> Rule:
    """The arm's own early stopping, without a memory yet."""
    epochs = int(arm.held.get("training.epochs", 1))
    sign = 1 if spec.objective.direction == "maximize" else -1
    return RULES[spec.search.early_stopping](spec.search, epochs, sign)
