"""What a reader should know before trusting an arm's line in the ranking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from study.analysis.outcomes import Replicate, Results, ended
from study.analysis.selection import replicates_expected, to_confirm
from study.analysis.wording import counted, setting
from study.space import Distribution, Float, Int, Scalar
from study.spec import Arm, StudySpec
from study.trial import Phase

# The spread of two rests on a single difference, and their t interval takes it nine times to either side.
FEWEST_REPLICATES = 3


@dataclass(frozen=True)
class Flag:
    """``kind`` is for programs, ``text`` one line for people."""

    kind: Literal["edge", "tuning", "replicates", "mixed", "uncounted", "gradients"]
    text: str


def tuned_values(spec: StudySpec, results: Results, arm: Arm) -> dict[str, Scalar] | None:
    """The tuned hyperparameters of the configuration that the arm stands for: what its replicates
    ran with or, before there are any, what they would run with. None where there is neither."""
    chosen = next(iter(ended(results, arm.name, "confirm")), None) or to_confirm(spec, results, arm.name)
    return arm.space.tuned_part(chosen.config.hyperparameters) if chosen else None


def flags(
    spec: StudySpec, results: Results, arm: Arm, found: tuple[Replicate, ...], untuned: str = ""
) -> tuple[Flag, ...]:
    """The arm's flags; ``found`` are its replicates by the ranking's metric, ``untuned`` says why it was not
    tuned. The best of what learned nothing is no reason to widen a range on its side."""
    return (
        *(() if untuned else _on_edge(arm, tuned_values(spec, results, arm) or {})),
        *_tuning(spec, results, arm, untuned),
        *_replicates(spec, results, arm, found),
        *_gradients(results, arm),
    )


def _on_edge(arm: Arm, tuned: Mapping[str, Scalar]) -> Iterator[Flag]:
    for key, value in tuned.items():
        distribution = arm.space.active(key, {**arm.held, **tuned})
        if distribution is not None and distribution.on_edge(value):
            yield Flag(
                "edge", f"best {key} = {setting(value)} lies on the edge of {_range(distribution)}: widen it"
            )


def _tuning(spec: StudySpec, results: Results, arm: Arm, untuned: str) -> Iterator[Flag]:
    asked = spec.search.trials_per_arm
    mine = ended(results, arm.name, "tune")
    if untuned:
        yield Flag("tuning", untuned)
    elif len(mine) == asked == 1 and arm.space.entries:
        yield Flag("tuning", "tuned by a single trial")
    if len(mine) < asked:
        yield Flag("tuning", f"tuning is unfinished: {len(mine)} of {counted(asked, 'trial')} ended")
    yield from _failed(results, arm, "tune", "tuning trial")


def _replicates(spec: StudySpec, results: Results, arm: Arm, found: tuple[Replicate, ...]) -> Iterator[Flag]:
    asked = replicates_expected(spec, results, arm.name)
    mine = ended(results, arm.name, "confirm")
    if len(mine) < asked:
        yield Flag("replicates", f"{len(mine)} of {counted(asked, 'replicate')} ended")
    yield from _failed(results, arm, "confirm", "replicate")
    if len(found) == 1:
        yield Flag("replicates", "a single replicate has no interval")
    elif 1 < len(found) < FEWEST_REPLICATES:
        yield Flag("replicates", f"{counted(len(found), 'replicate')}: their spread is hardly known")
    if any(result.config.hyperparameters != mine[0].config.hyperparameters for result in mine):
        yield Flag("mixed", "its replicates did not all run with the same hyperparameters")
    without = sum(each.value is None for each in found)
    if without:
        yield Flag("uncounted", f"{counted(without, 'replicate')} without a number: no mean can be given")


def _gradients(results: Results, arm: Arm) -> Iterator[Flag]:
    """An arm whose steps take more than a gradient each had a larger budget than others of as many steps."""
    mine = ended(results, arm.name, "confirm")
    last = [each.curve[-1] for each in mine if each.verdict.status == "ok" and each.curve]
    # Records of older versions do not say; there, every step took one.
    told = [row for row in last if "gradient_evaluations" in row]
    steps, taken = (sum(int(row[key] or 0) for row in told) for key in ("step", "gradient_evaluations"))
    if taken > steps:
        a_replicate = f"{taken / len(told):,.0f} a replicate"
        yield Flag("gradients", f"took {taken / steps:.3g} gradients a step, {a_replicate}")


def _failed(results: Results, arm: Arm, phase: Phase, noun: str) -> Iterator[Flag]:
    mine = ended(results, arm.name, phase)
    kinds = Counter(result.verdict.kind or "failed" for result in mine if result.verdict.status == "failed")
    if kinds:
        causes = ", ".join(kinds)
        kind: Literal["tuning", "replicates"] = "tuning" if phase == "tune" else "replicates"
        yield Flag(kind, f"{kinds.total()} of {counted(len(mine), noun)} failed ({causes}): not counted")


def _range(distribution: Distribution) -> str:
    if isinstance(distribution, Float | Int):
        return f"[{setting(distribution.low)}, {setting(distribution.high)}]"
    return f"{{{', '.join(map(setting, distribution.choices))}}}"
