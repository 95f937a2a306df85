"""All that a report says about a record, taken from one reading of its journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from study.analysis.causes import Cause, causes
from study.analysis.edge import ArmEdge, edges
from study.analysis.outcomes import Results, ended
from study.analysis.ranking import Ranking, ranking
from study.analysis.selection import replicates_expected
from study.analysis.stopping import EarlyStopping, early_stopping
from study.analysis.verdicts import ClaimVerdict, judge_all
from study.analysis.wording import counted
from study.packing import Packing, read_packings
from study.record import Event, StudyRecord, read_results
from study.spec import StudySpec
from study.trial import PHASES, STATUSES, Phase


@dataclass(frozen=True)
class Criterion:
    """The hash of the claims, metrics, margins and tests as they stand in the study file, when the journal
    first had it (unix time; None for an empty journal), and whether that was before the first trial and is
    still so."""

    sha256: str
    stored: float | None
    before_the_first_trial: bool
    unchanged: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "stored": self.stored,
            "before_the_first_trial": self.before_the_first_trial,
            "unchanged": self.unchanged,
        }


@dataclass(frozen=True)
class Findings:
    """A study, what came of it so far, and under which circumstances.

    ``edges`` are the arms' largest stable learning rates (none unless the study bisects), ``sessions``
    the starts of the study, ``faults`` what went wrong around the trials, and ``as_of`` the unix time of
    the last event (None for an empty journal), ``first_trial`` that of the first proposal. ``packings`` say
    how many trials of each arm shared a GPU, where that was measured.
    """

    spec: StudySpec
    digest: str
    results: Results
    ranking: Ranking
    claims: tuple[ClaimVerdict, ...]
    sessions: tuple[Event, ...]
    faults: tuple[str, ...]
    early_stopping: EarlyStopping | None
    edges: tuple[ArmEdge, ...]
    finished: bool
    as_of: float | None
    first_trial: float | None = None
    packings: tuple[Packing, ...] = ()

    @property
    def ranked(self) -> bool:
        """Whether there is a ranking, or is to be: a study that bisects may do without replicates."""
        return bool(self.spec.search.replicates) or not self.edges

    def phases(self) -> dict[Phase, dict[str, int]]:
        """How many trials of each phase ended with which status."""
        counts = Counter((each.config.phase, each.verdict.status) for each in self.results.values())
        return {
            phase: {status: counts[phase, status] for status in STATUSES if counts[phase, status]}
            for phase in PHASES
        }

    def causes(self) -> tuple[Cause, ...]:
        """How the trials ended; every one is counted once."""
        return causes(self.results.values())

    def missing(self) -> dict[Phase, tuple[int, int]]:
        """Of each phase, how many trials have ended and how many there will be."""
        spec, results = self.spec, self.results
        names = [arm.name for arm in spec.arms()]
        done = {phase: sum(len(ended(results, name, phase)) for name in names) for phase in PHASES}
        replicates = sum(replicates_expected(spec, results, name) for name in names)
        return {
            "tune": (done["tune"], spec.search.trials_per_arm * len(names)),
            "confirm": (done["confirm"], replicates),
        }

    def notices(self) -> tuple[str, ...]:
        """What stands between the reader and a final answer, a sentence each."""
        found = []
        (tuned, to_tune), (confirmed, to_confirm) = self.missing().values()
        if tuned < to_tune or confirmed < to_confirm:
            found.append(
                f"The study is unfinished: {tuned} of {counted(to_tune, 'tuning trial')} and {confirmed} of "
                f"{counted(to_confirm, 'replicate')} have ended. Run it again to go on."
            )
        if confirmed == 0 and self.ranked:
            why = "There is no replicate yet" if to_confirm else "No replicate was asked for"
            found.append(f"{why}, so there is no ranking: tuning values favour whoever was lucky.")
        failed = sum(each.verdict.status == "failed" for each in self.results.values())
        if failed:
            found.append(
                f"Failed, and so not counted: {counted(failed, 'trial')}. Run the study again to retry."
            )
        if not self.criterion().unchanged:
            found.append(
                "The claims in study.toml are not those that stood there when the study was started."
            )
        return tuple(found)

    def criterion(self) -> Criterion:
        """What the claims are judged by, and since when that stands. Sessions of older records, which have
        no hash, say nothing."""
        mine = self.spec.criterion
        stored = next((each.get("time") for each in self.sessions if each.get("criterion") == mine), None)
        before = stored is not None and (self.first_trial is None or stored <= self.first_trial)
        unchanged = all(each.get("criterion", mine) == mine for each in self.sessions)
        return Criterion(mine, stored, before, unchanged)

    def places(self) -> dict[str, str]:
        """On what the trials ran: the distinct values of device, precision and the like."""
        kinds: dict[str, dict[str, None]] = {}
        for result in self.results.values():
            for key, value in result.environment.items():
                if isinstance(value, str | int | float) and key != "data":
                    kinds.setdefault(key, {})[str(value)] = None
        return {key: ", ".join(values) for key, values in kinds.items()}

    def circumstances(self) -> dict[str, str]:
        """The last session's environment, flat: versions, code, hardware."""
        return _flat(self.sessions[-1].get("environment", {})) if self.sessions else {}


def read_findings(record: StudyRecord) -> Findings:
    """Read the record once, and judge it. Raises RecordError for a journal that cannot be read."""
    events = list(record.events())
    results = read_results(iter(events))
    return Findings(
        spec=record.spec,
        digest=record.digest,
        results=results,
        ranking=ranking(record.spec, results),
        claims=judge_all(record.spec, results),
        sessions=tuple(event for event in events if event["event"] == "session"),
        faults=tuple(str(event.get("what", "")) for event in events if event["event"] == "fault"),
        early_stopping=early_stopping(
            record.spec, results, {event["trial"] for event in events if event["event"] == "spared"}
        ),
        edges=edges(record.spec, results),
        finished=any(event["event"] == "finished" for event in events),
        as_of=events[-1].get("time") if events else None,
        first_trial=next((each.get("time") for each in events if each["event"] == "asked"), None),
        packings=tuple(read_packings(events).values()),
    )


def _flat(table: Mapping[str, Any]) -> dict[str, str]:
    return {key: _words(value) for key, value in table.items() if value is not None}


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in value.items() if inner is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)
