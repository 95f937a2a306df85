"""The conductor: decides which trial comes next, and keeps account of every one in the record.

Pure accounting over the journal: it knows neither Ray nor torch. Whatever it decides is written to
the journal before it is acted on, so a study that is started again replays the journal and goes on
where it was: trials that ended are not run again, trials that were cut short are, with the same
hyperparameters and seeds.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

from study.analysis.selection import to_confirm
from study.arm_progress import ArmProgress, arms_of
from study.early_stopping import Stop, spared
from study.errors import one_line
from study.packing import Shares
from study.record import FROM_THE_START, Event, JournalWriter, StudyRecord
from study.seeding import derive_seed
from study.silence import Silence
from study.space import Scalar
from study.spec import Arm, StudySpec
from study.trial import PHASES, Phase, Row, TrialConfig, TrialResult, Verdict, interned

# As many failures in a row as this, and the code or the machine is broken: going on wastes money.
FAILURES_IN_A_ROW = 3

# A sampler that takes longer than this over a proposal is told of, once an arm: nothing starts meanwhile.
SLOW_PROPOSAL_S = 5.0


@dataclass
class Running:
    """A trial that was handed out and has not ended."""

    config: TrialConfig
    since: float
    rows: list[Row] = field(default_factory=list)
    token: str | None = None


class Conductor:
    """A TrialSource (see study.tuning.attempt) over one study's record."""

    def __init__(
        self,
        record: StudyRecord,
        journal: JournalWriter,
        *,
        worst: float,
        concurrent: int = 1,
        deadline: float | None = None,
        watch: Callable[[Conductor], None] = lambda conductor: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``worst`` is the objective's value for a trial that learned nothing (chance, or the loss of
        the best constant); ``deadline`` is a moment of ``now`` after which no trial is started.
        ``watch`` is called when something has happened; it finds trials that ended in ``news``."""
        self.spec: StudySpec = record.spec
        self.journal = journal
        self.worst, self.concurrent, self.deadline, self.watch = worst, concurrent, deadline, watch
        self.ahead = 0  # trials to be asked for beyond those that run
        self._now = now
        self.arms = {progress.arm.name: progress for progress in arms_of(self.spec, worst)}
        self.running: dict[str, Running] = {}
        self.attempts: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        self.failures: list[TrialResult] = []
        self.stop_requested = False
        self.out_of_time = False
        self.sampler_failure: str | None = None
        self.interrupted: deque[TrialConfig] = deque()
        self.done: dict[str, TrialResult] = {}
        self.wall_seconds: list[float] = []
        self.news: deque[TrialResult] = deque()
        self.spared: set[str] = set()
        self.faults: set[tuple[str, str]] = set()
        self.shares = Shares()
        self._crowded: set[str] = set()  # trials that have run out of the machine's memory once
        self._saved: dict[str, int] = {}
        self._silence = Silence(self.spec.resources.silence_s, now)
        self._replay(record)

    # -- what others ask ---------------------------------------------------------------------------

    def next_trial(self) -> TrialConfig | None:
        if self.exhausted() or len(self.running) >= self.concurrent + self.ahead:
            return None
        config = self._interrupted() or self._next_confirm() or self._next_tune()
        if config is not None:
            self.running[config.id] = Running(config, self._now())
            self.watch(self)
        return config

    def exhausted(self) -> bool:
        # With nothing left to be started, nothing is cut short.
        if self.deadline is not None and self._now() > self.deadline and self.missing() > len(self.running):
            self.out_of_time = True
        cut_short = self.stopping() or self.out_of_time or self.sampler_failure is not None
        return cut_short or not self.missing()

    def stopping(self) -> bool:
        return self.stop_requested or self.broken

    def gpus(self, trial: TrialConfig) -> float:
        return self.shares.of(trial)

    @property
    def under_way(self) -> bool:
        """Whether trials run, and none of those that there is room for is still to start."""
        started = sum(each.token is not None for each in self.running.values())
        at_once = min(len(self.running), self.concurrent)
        return 0 < at_once <= started or any(each.rows for each in self.running.values())

    @property
    def broken(self) -> bool:
        """Whether so many trials failed in a row that going on makes no sense."""
        return len(self.failures) >= FAILURES_IN_A_ROW

    def missing(self) -> int:
        """How many trials have not ended yet. An arm of which every tuning trial failed has nothing to
        confirm, so its replicates are not waited for."""
        return sum(
            self.spec.search.trials_per_arm - len(progress.ended["tune"]) + self._replicates_missing(progress)
            for progress in self.arms.values()
        )

    @property
    def complete(self) -> bool:
        """Whether every trial has ended for good; one that failed is tried again by the next run."""
        return not self.missing() and all(each.verdict.status != "failed" for each in self.done.values())

    # -- what others tell --------------------------------------------------------------------------

    def started(self, trial: TrialConfig, token: str, epoch: int = 0) -> None:
        running = self.running.get(trial.id)
        if running is None:
            return
        if running.token is None:
            running.since = self._now()  # what was asked for ahead has waited
        running.token, running.rows = token, []
        self._silence.began(trial.id)
        self.attempts[trial.id] = self.attempts.get(trial.id, 0) + 1
        self.tokens[token] = self.attempts[trial.id]
        self.journal.started(trial.id, self.tokens[token], epoch)
        if epoch < self._saved.get(trial.id, 0):
            lost = f"the checkpoint of epoch {self._saved[trial.id]} is not there any more"
            self.faulted(trial, f"{lost}; goes on from epoch {epoch}" if epoch else f"{lost}; starts over")
        self.watch(self)

    def reported(self, trial: TrialConfig, token: str, row: Row, saved: bool = False) -> bool:
        running = self.running.get(trial.id)
        if running is None or running.token != token or _epoch(row) != len(running.rows) + 1:
            return running is None  # late, doubled or out of order: from an attempt that was given up
        running.rows.append(interned(row))
        self._silence.spoke(trial.id, row)
        if _epoch(row) >= int(trial.hyperparameters.get("training.epochs", 1)):
            self._silence.finishes(trial.id)
        self.journal.epoch(trial.id, self.tokens[token], row, saved)
        if saved:
            self._saved[trial.id] = _epoch(row)
        stop = self._judge(trial, row)
        if stop is not None:
            self._prune(running, stop)
        self.watch(self)
        return stop is not None

    def faulted(self, trial: TrialConfig, what: str) -> None:
        """Write down, once, what went wrong although the trial goes on."""
        if (trial.id, what) not in self.faults:
            self.faults.add((trial.id, what))
            self.journal.append("fault", trial=trial.id, what=what)

    def lost(self, trial: TrialConfig) -> None:
        """Until it has begun again it cannot speak, and is not blamed for that."""
        self._silence.ended(trial.id)

    def cut_off(self, trial: TrialConfig) -> None:
        self._silence.excuse(trial.id)
        self.faulted(trial, "its node did not answer, or it waited to be heard: it was cut off for a while")

    def room(self, trials: int) -> None:
        self.concurrent, self.ahead = max(1, trials - len(self._crowded)), 0

    def overdue(self) -> list[tuple[TrialConfig, float]]:
        return [(self.running[trial].config, silent_s) for trial, silent_s in self._silence.overdue()]

    def ended(self, result: TrialResult, token: str | None) -> None:
        running = self.running.get(result.config.id)
        if running is None or (token is not None and running.token != token):
            return
        del self.running[result.config.id]
        self._silence.ended(result.config.id)
        out_of_memory = result.verdict.kind == "oom"
        if out_of_memory and (self._given_more(result.config) or self._given_room(result.config)):
            return
        result = self._sound(result.with_curve(tuple(running.rows)))
        self.journal.result(result.config.id, max(1, self.attempts.get(result.config.id, 0)), result)
        self._account(result)
        self.wall_seconds.append(self._now() - running.since)
        self.news.append(result)
        failed = result.verdict.status == "failed"
        self.failures = [*self.failures, result] if failed else []
        self.watch(self)

    def _sound(self, result: TrialResult) -> TrialResult:
        """The result, with finite numbers alone; a tuning trial that ended ok has the objective's, or else
        the code that trained it is at fault."""
        metrics = {name: value for name, value in result.metrics.items() if math.isfinite(value)}
        metric = self.spec.objective.metric
        if result.verdict.status == "ok" and result.config.phase == "tune" and metric not in metrics:
            got = f"; it has {', '.join(sorted(metrics))}" if metrics else ""
            reason = f"ended ok without a finite {metric}{got}"
            return replace(
                result, metrics={}, verdict=Verdict("failed", "crash", reason=reason), error=reason
            )
        return replace(result, metrics=metrics)

    def _given_more(self, trial: TrialConfig) -> bool:
        """Whether a trial that ran out of memory beside others goes on with more of a GPU: that it shared
        one says nothing of it, so this is no end and no failure."""
        had, gpus = self.shares.of(trial), self.shares.widen(trial)
        if gpus is None:
            return False
        what = f"{trial.id} ran out of memory on {had:g} of a GPU, and goes on with {gpus:g}"
        self.faults.add((trial.id, what))
        self.journal.append("fault", trial=trial.id, what=what, gpus=gpus)
        self.interrupted.append(trial)
        self.watch(self)
        return True

    def _given_room(self, trial: TrialConfig) -> bool:
        """Whether a trial that ran out of the machine's memory is tried once more, beside fewer others: one
        trial fewer runs at once from now on."""
        if self.shares.of(trial) or trial.id in self._crowded or self.concurrent == 1:
            return False
        self._crowded.add(trial.id)
        self.concurrent, self.ahead = self.concurrent - 1, 0
        self.faulted(
            trial,
            f"{trial.id} ran out of memory, and is tried once more; {self.concurrent} at once from now on",
        )
        self.interrupted.append(trial)
        self.watch(self)
        return True

    # -- early stopping ----------------------------------------------------------------------------

    def _judge(self, trial: TrialConfig, row: Row) -> Stop | None:
        """Whether the arm's rule ends this tuning trial now. Replicates are never judged."""
        if trial.phase != "tune":
            return None
        stop = self._observe(trial, row)
        if stop is None or not spared(self.spec.search, trial.arm, trial.index):
            return stop
        if trial.id not in self.spared:
            self.spared.add(trial.id)
            verdict = stop.verdict(int(row["step"] or 0))
            self.journal.append("spared", trial=trial.id, verdict=asdict(verdict))
        return None

    def _observe(self, trial: TrialConfig, row: Row) -> Stop | None:
        value = row.get(self.spec.objective.metric)
        rule = self.arms[trial.arm].stopping
        return rule.observe(trial.index, _epoch(row), None if value is None else float(value))

    def _prune(self, running: Running, stop: Stop) -> None:
        row = running.rows[-1]
        step = int(row["step"] or 0)
        seconds = float(row["seconds"] or 0)
        verdict = stop.verdict(step)
        taken = int(row.get("gradient_evaluations") or step)
        result = TrialResult(running.config, verdict, seconds=seconds, gradient_evaluations=taken)
        self.ended(result, running.token)

    # -- deciding ----------------------------------------------------------------------------------

    def _interrupted(self) -> TrialConfig | None:
        """A trial that an earlier session handed out and that had not ended."""
        return self.interrupted.popleft() if self.interrupted else None

    def _next_confirm(self) -> TrialConfig | None:
        """The next replicate of an arm whose tuning is done: the lowest replicate first, so that the
        arms that are ready fill their blocks together."""
        ready = [
            (len(progress.asked["confirm"]), number, progress)
            for number, progress in enumerate(self.arms.values())
            if progress.chosen and len(progress.asked["confirm"]) < self.spec.search.replicates
        ]
        if not ready:
            return None
        index, _, progress = min(ready, key=lambda entry: entry[:2])
        assert progress.chosen is not None
        # A failed trial that ended well when it was tried again must not change what is being confirmed.
        others = progress.asked["confirm"].values()
        chosen = progress.chosen.config.hyperparameters
        hyperparameters = next((other.hyperparameters for other in others), chosen)
        seed = derive_seed(self.spec.name, self.spec.search.seed, "confirm", index)
        return self._ask(
            progress, "confirm", index, hyperparameters=hyperparameters, seed=seed, split_seed=seed
        )

    def _next_tune(self) -> TrialConfig | None:
        """The next trial of the arm that has had the fewest, so that arms advance together."""
        ready = [progress for progress in self.arms.values() if progress.may_ask()]
        if not ready:
            return None
        behind = min(ready, key=lambda progress: len(progress.asked["tune"]))
        index = len(behind.asked["tune"])
        began = self._now()
        try:
            tuned = behind.ask()
        except Exception as error:  # noqa: BLE001 -- a sampler's bug must not take the running trials with it
            self.sampler_failure = one_line(f"{type(error).__name__}: {error}")
            what = f"the sampler failed at {behind.arm.name}: {self.sampler_failure}"
            self.journal.append("fault", arm=behind.arm.name, what=what)
            return None
        self._told_if_slow(behind.arm, index, self._now() - began)
        hyperparameters = behind.arm.complete(tuned)
        seed = derive_seed(self.spec.name, self.spec.search.seed, "tune", index)
        split_seed = derive_seed(self.spec.name, self.spec.search.seed, "tune", "split")
        return self._ask(
            behind, "tune", index, hyperparameters=hyperparameters, seed=seed, split_seed=split_seed
        )

    def _told_if_slow(self, arm: Arm, index: int, seconds: float) -> None:
        slow = f"the sampler {self.spec.search.sampler} is slow at {arm.name}"
        if seconds > SLOW_PROPOSAL_S and (arm.name, slow) not in self.faults:
            self.faults.add((arm.name, slow))
            waited = f"{seconds:.0f} s for trial {index}, in which no trial could start"
            self.journal.append("fault", arm=arm.name, what=f"{slow}: {waited}")

    def _ask(
        self,
        progress: ArmProgress,
        phase: Phase,
        index: int,
        *,
        hyperparameters: Mapping[str, Scalar],
        seed: int,
        split_seed: int,
    ) -> TrialConfig:
        config = TrialConfig(
            self.spec.name,
            progress.arm.name,
            phase,
            index,
            dict(hyperparameters),
            seed,
            split_seed,
        )
        self.journal.asked(config)
        progress.asked[phase][index] = config
        return config

    def _replicates_missing(self, progress: ArmProgress) -> int:
        if progress.tuned and progress.chosen is None:
            return 0
        return self.spec.search.replicates - len(progress.ended["confirm"])

    # -- accounting --------------------------------------------------------------------------------

    def _account(self, result: TrialResult) -> None:
        self.done[result.config.id] = result
        progress = self.arms[result.config.arm]
        progress.account(result)
        if result.config.phase == "tune" and progress.tuned:
            ended = {each.config.id: each for each in progress.ended["tune"].values()}
            progress.chosen = to_confirm(self.spec, ended, result.config.arm)

    def _replay(self, record: StudyRecord) -> None:
        """Bring arms and samplers to where the journal left them, in the order it was written.

        A failed trial is not an end: it is tried again.
        """
        ended = record.results().values()
        results = {each.config.id: each for each in ended if each.verdict.status != "failed"}
        asked = record.asked()
        numbered = enumerate(record.events())
        last = {event["trial"]: number for number, event in numbered if event["event"] == "result"}
        for number, event in enumerate(record.events()):
            trial = event.get("trial", "")
            if event["event"] == "result" and event["result"]["verdict"].get("kind") in FROM_THE_START:
                self._saved.pop(trial, None)
                if asked[trial].phase == "tune":
                    self.arms[asked[trial].arm].stopping.forget(asked[trial].index)
            if event["event"] == "asked":
                config = TrialConfig.from_json(event["config"])
                self.arms[config.arm].repeat(config)
            elif event["event"] == "started":
                self.attempts[trial] = event["attempt"]
            elif event["event"] == "spared":
                self.spared.add(trial)
            elif event["event"] == "fault" and "gpus" in event:
                self.shares.widened(trial, event["gpus"])
            elif event["event"] == "epoch":
                self._replay_epoch(asked[trial], event)
            elif last.get(trial) == number and trial in results:
                self._account(results[trial])
        self.interrupted.extend(
            config
            for progress in self.arms.values()
            for phase in PHASES
            for config in progress.asked[phase].values()
            if config.id not in results
        )

    def _replay_epoch(self, config: TrialConfig, event: Event) -> None:
        self._silence.learn(config.id, event["row"])
        if event.get("saved"):
            self._saved[config.id] = _epoch(event["row"])
        if config.phase == "tune":
            self._observe(config, event["row"])


def _epoch(row: Row) -> int:
    return int(row["epoch"] or 0)
