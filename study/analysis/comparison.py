"""Two studies side by side: their settings, their arms, their claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from study.analysis.findings import Findings
from study.analysis.intervals import Interval, paired_test, welch_test
from study.analysis.outcomes import Results, ended, values
from study.analysis.ranking import RankedArm
from study.errors import StudyError
from study.spec import StudySpec

# What a study is called and asked about changes no number.
WORDS = ("name", "question", "description", "claims")


@dataclass(frozen=True)
class ComparedArm:
    """One arm in both studies; ``first`` or ``second`` is None where that study does not have it.

    ``difference`` is the second's mean less the first's, in the metric's unit; paired by replicate where
    both studies drew the same seeds, else Welch's. None where there is nothing to compare.
    """

    arm: str
    first: RankedArm | None
    second: RankedArm | None
    difference: Interval | None = None
    p: float | None = None
    paired: bool = False

    def to_json(self) -> dict[str, Any]:
        found = self.difference or Interval(0)
        return {
            "arm": self.arm,
            "first": _side(self.first),
            "second": _side(self.second),
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "p": self.p,
            "paired": self.paired,
        }


@dataclass(frozen=True)
class Comparison:
    """``arms``, those of both studies first; ``settings`` that differ, with both values (None: not set);
    ``claims`` of either study, with both verdicts (None: not claimed there)."""

    metric: str
    arms: tuple[ComparedArm, ...]
    settings: Mapping[str, tuple[Any, Any]]
    claims: Mapping[str, tuple[str | None, str | None]]

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "arms": [arm.to_json() for arm in self.arms],
            "settings": {key: list(both) for key, both in self.settings.items()},
            "claims": {claim: list(both) for claim, both in self.claims.items()},
        }


def compare_studies(first: Findings, second: Findings) -> Comparison:
    """Raises StudyError where they are not ranked by the same metric."""
    metric, other = first.ranking.metric, second.ranking.metric
    if metric != other:
        raise StudyError(
            f"{first.spec.name} is ranked by {metric}, {second.spec.name} by {other}; only studies with the "
            "same objective can be compared"
        )
    names = dict.fromkeys([each.arm for each in (*first.ranking.arms, *second.ranking.arms)])
    arms = [_compared(name, first, second) for name in names]
    return Comparison(
        metric,
        tuple(sorted(arms, key=lambda arm: arm.first is None or arm.second is None)),
        differing(first.spec, second.spec),
        _claims(first, second),
    )


def differing(first: StudySpec, second: StudySpec) -> dict[str, tuple[Any, Any]]:
    """The settings of two studies that are not the same, by their dotted keys."""
    one, two = (dict(_leaves(spec.model_dump(mode="json", by_alias=True))) for spec in (first, second))
    keys = dict.fromkeys([*one, *two])
    return {key: (one.get(key), two.get(key)) for key in keys if one.get(key) != two.get(key)}


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if not prefix and key in WORDS:
            continue
        if isinstance(value, Mapping) and not _is_range(value):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def _is_range(table: Mapping[str, Any]) -> bool:
    return "low" in table and "high" in table


def _compared(name: str, first: Findings, second: Findings) -> ComparedArm:
    one, two = (next((arm for arm in each.ranking.arms if arm.arm == name), None) for each in (first, second))
    if one is None or two is None:
        return ComparedArm(name, one, two)
    before, after = values(one.replicates), values(two.replicates)
    shared = before.keys() & after.keys()
    drawn = [_seeds(each.results, name) for each in (first, second)]
    if len(shared) > 1 and all(drawn[0][index] == drawn[1][index] for index in shared):
        test = paired_test({index: after[index] for index in shared}, before)
        return ComparedArm(name, one, two, test.interval, test.p, paired=True)
    interval, p = welch_test(list(after.values()), list(before.values()))
    return ComparedArm(name, one, two, interval, p)


def _seeds(results: Results, arm: str) -> dict[int, tuple[int, int]]:
    return {
        each.config.index: (each.config.seed, each.config.split_seed)
        for each in ended(results, arm, "confirm")
    }


def _claims(first: Findings, second: Findings) -> dict[str, tuple[str | None, str | None]]:
    one, two = (
        {f"{each.claim.source}: {each.claim}": each.verdict for each in f.claims} for f in (first, second)
    )
    return {claim: (one.get(claim), two.get(claim)) for claim in dict.fromkeys([*one, *two])}


def _side(arm: RankedArm | None) -> dict[str, Any] | None:
    if arm is None:
        return None
    kept = ("n", "mean", "low", "high", "diverged", "rank", "best")
    return {key: value for key, value in arm.to_json().items() if key in kept}
