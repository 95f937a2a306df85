"""What an arm cost: gradients, and seconds, which compare on devices of one kind alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from study.analysis.findings import Findings
from study.analysis.outcomes import Results, ended
from study.analysis.wording import counted, duration
from study.packing import device_kind
from study.trial import PHASES, TrialResult


@dataclass(frozen=True)
class Spent:
    """The mean seconds of ``n`` replicates on one kind of device."""

    device: str
    n: int
    mean_s: float

    def __str__(self) -> str:
        return f"{duration(self.mean_s)} ({self.n} on {self.device})"

    def to_json(self) -> dict[str, Any]:
        return {"device": self.device, "n": self.n, "mean_s": self.mean_s}


@dataclass(frozen=True)
class Cost:
    """What an arm cost, in the attempts that counted: seconds and gradient evaluations (of one batch each:
    one a step, and what an optimizer asks for beyond it), summed over trials; a replicate's are means.
    ``replicate_s`` is None where the study's replicates ran on several kinds of device: ``by_device`` has
    what compares."""

    arm: str
    trials: int
    tuning_s: float
    confirmation_s: float
    replicate_s: float | None
    by_device: tuple[Spent, ...]
    gradient_evaluations: int
    replicate_evaluations: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "trials": self.trials,
            "tuning_s": self.tuning_s,
            "confirmation_s": self.confirmation_s,
            "replicate_s": self.replicate_s,
            "replicate_s_by_device": [each.to_json() for each in self.by_device],
            "gradient_evaluations": self.gradient_evaluations,
            "gradient_evaluations_per_replicate": self.replicate_evaluations,
        }


def costs(findings: Findings) -> tuple[Cost, ...]:
    """One an arm, in the ranking's order."""
    mixed = len(devices(findings.results.values())) > 1
    return tuple(_cost(findings.results, arm.arm, mixed) for arm in findings.ranking.arms)


def _cost(results: Results, arm: str, mixed: bool) -> Cost:
    found = {phase: ended(results, arm, phase) for phase in PHASES}
    seconds = {phase: sum(each.seconds for each in mine) for phase, mine in found.items()}
    steps = {phase: sum(each.gradient_evaluations for each in mine) for phase, mine in found.items()}
    n = len(found["confirm"])
    return Cost(
        arm=arm,
        trials=sum(map(len, found.values())),
        tuning_s=seconds["tune"],
        confirmation_s=seconds["confirm"],
        replicate_s=seconds["confirm"] / n if n and not mixed else None,
        by_device=tuple(
            Spent(device, len(mine), fmean(each.seconds for each in mine))
            for device, mine in devices(found["confirm"]).items()
        ),
        gradient_evaluations=sum(steps.values()),
        replicate_evaluations=steps["confirm"] / n if n else None,
    )


def devices(results: Iterable[TrialResult]) -> Mapping[str, list[TrialResult]]:
    """The replicates among ``results`` by the kind of device that they ran on, by name. One that does not say
    ran on none."""
    found: dict[str, list[TrialResult]] = {}
    for result in results:
        device = device_of(result)
        if device and result.config.phase == "confirm":
            found.setdefault(device, []).append(result)
    return dict(sorted(found.items()))


def device_of(result: TrialResult) -> str:
    """The kind of device, or the kinds where a trial that was cut short went on elsewhere."""
    facts = result.environment
    name = str(facts.get("device_name") or facts.get("device") or "")
    return ", then ".join(facts.get("ran_on", ())) or device_kind(name, facts.get("gpus", 0.0))


def mixture(results: Results) -> str:
    """Why the study's seconds do not compare, in a sentence; empty where they do."""
    found = devices(results.values())
    if len(found) < 2:
        return ""
    listed = ", ".join(f"{len(mine)} on {device}" for device, mine in found.items())
    return (
        f"The replicates ran on {counted(len(found), 'kind')} of device ({listed}), whose seconds do not "
        "compare: a replicate's stand apart for each, and sums say what was spent, not which arm is faster."
    )
