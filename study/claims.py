"""The claims a study tests: published statements, in a form that a machine can check."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
# Arms' names stand in trials' names, which stand in tables, reports and addresses. The pattern is
# pydantic's, where $ is the very end.
ArmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]{1,200}$")]
MAX_ARMS = 1000
Kind = Literal["ranking", "value", "difference", "ratio", "trend", "proportion"]
KINDS: tuple[Kind, ...] = ("ranking", "value", "difference", "ratio", "trend", "proportion")
# How the paired differences of a ranking or a trend are judged: Student's t, or sign flips, which ask for
# no normality but for at least six replicates.
Test = Literal["t", "sign_flips"]
# What a study says of a claim.
Judgement = Literal["reproduced", "contradicted", "undecided"]

# A metric that no single trial has: the learning rate at which half of an arm's trainings blow up.
STABLE_LR = "lr50"
# What study.layerwise measures in a trial, where the study asks for it.
LAYERWISE = tuple(
    f"{when}_{what}"
    for when in ("start", "end")
    for what in ("gradient_ratio", "gradient_imbalance", "bias_shift", "noise_response")
)
# A claim may be about how far one metric of a trial lies above another: "test_error - train_eval_error".
MINUS = " - "
# What only the training itself shows: means over its last epoch, in train mode and while the weights move.
IN_TRAINING = ("train_accuracy", "train_loss")
# Another: what share of the trials something happens in.
SHARE = "trials"
# What may happen in a trial: how it ends (study.trial.Verdict's status or kind), or an event on its way.
HAPPENINGS = (
    *("ok", "pruned", "diverged", "stalled"),
    *("nonfinite_loss", "nonfinite_gradient", "nonfinite_parameter", "nonfinite_buffer"),
    *("nonfinite_evaluation", "explosion", "no_return", "dead"),
    *("spikes", "recovered", "lingering", "evaluation_alone"),
    # Where the first number that was not finite came up, by the autopsy.
    *("broke_in_loss", "broke_in_layers"),
)


class Bounds(BaseModel):
    """What a number should be: ``equals`` (``within`` a tolerance), ``at_least`` or ``at_most``."""

    model_config = STRICT

    equals: float | None = None
    within: Annotated[float, Field(ge=0)] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def says_something(self) -> Bounds:
        if self.equals is None and self.at_least is None and self.at_most is None:
            raise ValueError("needs equals (and within), at_least or at_most")
        if (self.equals is None) != (self.within is None):
            raise ValueError("equals and within go together; within is the tolerance")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least must not exceed at_most")
        return self


class Value(Bounds):
    """An arm's metric is so much."""

    arm: ArmName


class Pair(Bounds):
    """The first arm's metric minus (or divided by) the second's is so much."""

    arms: Annotated[list[ArmName], Field(min_length=2, max_length=2)]


class Trend(BaseModel):
    """The metric, or the best value of a hyperparameter (``of``), goes up or down along an axis: a
    hyperparameter with numbers that the study compares. ``flat``: it changes by less than the margin."""

    model_config = STRICT

    of: str
    along: str
    direction: Literal["increasing", "decreasing", "flat"]


class Proportion(Bounds):
    """A share of the trials, such as that of NaNs that start in the softmax; with ``among``, of those
    trials in which that happened."""

    of: str
    among: str | None = None
    arms: Annotated[list[ArmName], Field(max_length=MAX_ARMS)] | None = None

    @model_serializer(mode="wrap")
    def _as_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``among`` where there is none, so that older claims keep their criterion."""
        table: dict[str, Any] = serialize(self)
        return {key: value for key, value in table.items() if key != "among" or value is not None}


class Claim(BaseModel):
    """A published statement. Exactly one of ``ranking`` (best first), ``value``, ``difference``,
    ``ratio``, ``trend`` and ``proportion``; ``margin`` is the smallest difference that counts, in
    the metric's unit (of a trend of a hyperparameter, in steps of its values); ``test`` is what a
    ranking's links, or a trend, are judged by."""

    model_config = STRICT

    source: Annotated[str, Field(min_length=1)]
    metric: Annotated[str, Field(min_length=1)]
    text: str = ""
    margin: Annotated[float, Field(ge=0)] = 0.0
    test: Test = "t"
    ranking: Annotated[list[ArmName], Field(min_length=2, max_length=MAX_ARMS)] | None = None
    value: Value | None = None
    difference: Pair | None = None
    ratio: Pair | None = None
    trend: Trend | None = None
    proportion: Proportion | None = None

    @model_validator(mode="after")
    def is_of_one_kind(self) -> Claim:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}; it has {', '.join(given) or 'none'}")
        for arm, times in Counter(self.ranking).items():
            if times > 1:
                raise ValueError(f"ranking names {arm} twice; name each arm once")
        if self.test != "t" and self.kind not in ("ranking", "trend"):
            raise ValueError(
                f"a {self.kind} is judged by its interval; leave test out, it is for rankings and trends"
            )
        if self.trend and self.trend.direction == "flat" and not self.margin:
            raise ValueError("a flat trend needs a margin: how much change counts as none")
        return self

    @property
    def kind(self) -> Kind:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms it names."""
        if self.value:
            return (self.value.arm,)
        pair = self.difference or self.ratio
        named = self.ranking or (pair.arms if pair else None) or (self.proportion and self.proportion.arms)
        return tuple(named or ())

    def __str__(self) -> str:
        body = " > ".join(self.ranking) if self.ranking else self.text or self.kind
        return f"{body} by {self.metric}"
