"""What MLflow should hold of a study, an arm or a trial: one run each, an arm's under the study's, a trial's
under its arm's."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

# The study's own run stands among the others under this name.
STUDY = ""


def arm_key(arm: str) -> str:
    """The name under which an arm's run stands: no trial's id ends so."""
    return f"{arm}/"


def is_trial(key: str) -> bool:
    return key != STUDY and not key.endswith("/")


# (metric, value, milliseconds since 1970, step)
Point = tuple[str, float, int, int]


@dataclass(frozen=True)
class DataSet:
    """What a study trains on: MLflow's data set, known by its fingerprint. ``part``: of the published one."""

    name: str
    fingerprint: str
    part: bool


@dataclass
class Run:
    """One MLflow run. ``tags``, ``params``, ``points`` and ``data`` are those not handed over yet; ``parent``
    names the run that it stands under."""

    name: str
    attempt: int
    start_ms: int
    seen_ms: int
    status: str = "RUNNING"
    end_ms: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    data: DataSet | None = None
    parent: str | None = None

    def end(self, status: str, end_ms: int) -> None:
        self.status, self.end_ms = status, end_ms

    def told(self, points: int, params: Container[str], tags: Container[str]) -> None:
        """So many of the first points, and these parameters and tags, were handed over."""
        del self.points[:points]
        self.params = {key: value for key, value in self.params.items() if key not in params}
        self.tags = {key: value for key, value in self.tags.items() if key not in tags}
