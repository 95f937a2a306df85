"""Ray Tune: one experiment whose searcher is the study's own source of trials."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune import Callback, Stopper
from ray.tune.execution import class_cache
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from study.errors import one_line
from study.trial import TrialConfig, TrialResult, Verdict
from study.tuning.attempt import Keeping, Training, TrialSource, deliver
from study.tuning.group import on_nodes_with
from study.tuning.hanging import put_down
from study.tuning.session import Slots, resources_of
from study.tuning.trainable import run_trial

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from study.components.datasets import LoadedData

# How often a trial is tried again after its worker or node died before it got any further than it had been;
# its own exceptions are not retried.
WORKER_DEATHS = 2

# How many silences in a row are laid to the network, where they may be its doing.
SPARED = 3

# What Tune itself asks of a trial's last result.
KEPT = frozenset({"trial_id", "training_iteration", "done", "node_ip", "pid"})

# Where Tune's controller keeps trials that have ended.
MEMORIES = ("_stopped_trials", "_failed_trials", "_trials_to_cache")

# How often a cluster is asked whether nodes have come or gone.
LOOK_EVERY_S = 5.0


def spread(
    source: TrialSource, data: LoadedData, slots: Slots, keeping: Keeping, train: Training | None = None
) -> None:
    """Run the source's trials until it is exhausted or stopping. The data set goes to the object
    store once; workers on a node map the same memory, and a warm one takes any trial that asks for as much
    of a GPU. ``train`` stands in for study.training.train."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trainable = tune.with_resources(
        tune.with_parameters(run_trial, data=data, threads=slots.cpus, keeping=keeping, train=train),
        partial(_asks_for, slots),
    )
    with tempfile.TemporaryDirectory(prefix="study-ray-") as scratch:
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_Asker(source),
                scheduler=_FirstComeFirstServed(),  # type: ignore[no-untyped-call]
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=scratch,
                verbose=0,
                stop=_Stop(source),
                callbacks=[_Listener(source, slots), _SilentTrials()],
                failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                progress_reporter=_Silent(),
            ),
        ).fit()


def _asks_for(slots: Slots, config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Tune reserves for a trial, and on which nodes."""
    return tune.PlacementGroupFactory(
        [{"CPU": slots.cpus, "GPU": config["gpus"]}], **on_nodes_with(slots.nodes)
    )


def _name(trial: Trial) -> str:
    return str(trial.trial_id)


def _config(trial: Trial) -> TrialConfig:
    return TrialConfig.from_json(json.loads(trial.config["trial"]))


class _OfSource:
    """Stands beside the source in the driver. Tune pickles its parts for snapshots that are never read,
    so the source, which holds files and locks, stays out of them."""

    _source: TrialSource

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_source"}


class _Asker(_OfSource, Searcher):
    """Hands out the source's trials. What came of them reaches the source through the listener."""

    def __init__(self, source: TrialSource) -> None:
        super().__init__(metric=None, mode=None)
        self._source = source

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        config = self._source.next_trial()
        if config is not None:
            return {"trial": json.dumps(config.to_json()), "gpus": self._source.gpus(config)}
        return Searcher.FINISHED if self._source.exhausted() else None

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        return None

    def save(self, checkpoint_path: str) -> None:
        return None

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a study resumes from its record, never from Tune's snapshots")


class _Stop(_OfSource, Stopper):
    """Passes rows on to the source and stops the trials that it has given up."""

    def __init__(self, source: TrialSource) -> None:
        self._source = source

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        if "row" not in result or result.get("done"):
            return False
        trial = TrialConfig.from_json(json.loads(result["config"]["trial"]))
        return deliver(self._source, trial, result)

    def stop_all(self) -> bool:
        return self._source.stopping()


class _Listener(_OfSource, Callback):
    """Passes starts, results and deaths on to the source, in the driver, in the order they arrive."""

    def __init__(self, source: TrialSource, slots: Slots) -> None:
        self._source, self._slots = source, slots
        self._places: dict[str, dict[str, Any]] = {}
        self._furthest: dict[str, int] = {}
        self._spared: Counter[str] = Counter()  # silences in a row that were no hang for sure
        self._looked = 0.0

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self._slots.elastic and time.monotonic() - self._looked > LOOK_EVERY_S:
            self._looked = time.monotonic()
            self._source.room(self._slots.asked_for(resources_of(self._slots.nodes)))
        for config, silent_s in self._source.overdue():
            self._end_hanging(config, silent_s, trials)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "started" in result:
            self._places[_config(trial).id] = result["started"]
            # Its last attempt had got as far as its checkpoint, whatever of that was told.
            self._renew(trial, max((int(row["epoch"]) for row in result["rows"]), default=0))
        if "row" in result:
            self._renew(trial, int(result["row"]["epoch"]))
            self._spared.pop(_config(trial).id, None)
        else:
            deliver(self._source, _config(trial), result)
        # Tune keeps the result, and a history of every number in it, until the last trial has ended; ours is
        # in the record. Callbacks may change it.
        for key in result.keys() - KEPT:
            del result[key]

    def _renew(self, trial: Trial, epoch: int) -> None:
        """Whoever gets further has all tries again: on machines that come and go, deaths are no sign that
        the trial kills its workers."""
        if epoch > self._furthest.get(trial.trial_id, 0):
            self._furthest[trial.trial_id] = epoch
            trial.max_failures = trial.num_failures + WORKER_DEATHS

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._source.lost(_config(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        text = _error_text(trial)
        # Ray kills the process that fills the node's memory, and says so by this error.
        kind = "oom" if "OutOfMemoryError" in text else "worker_death"
        said = next((line for line in reversed(text.splitlines()) if "Error" in line), "no word from it")
        reason = one_line(f"its worker died {WORKER_DEATHS + 1} times without getting further: {said}")[:300]
        self._source.ended(
            TrialResult(_config(trial), Verdict("failed", kind, reason=reason), error=text), None
        )

    def _end_hanging(self, config: TrialConfig, silent_s: float, trials: list[Trial]) -> None:
        """Kill the process of a trial that hangs; the result says where it stood. Ray need not try again:
        the next run of the study does."""
        end = put_down(self._places[config.id], spare=self._spared[config.id] < SPARED)
        if end is None:
            self._spared[config.id] += 1
            self._source.cut_off(config)
            return
        for trial in trials:
            if not trial.is_finished() and _config(trial).id == config.id:
                trial.max_failures = 0
        reason = f"silent for {silent_s:.0f} s, many times as long as an epoch takes; {end.how}"
        verdict = Verdict("failed", "hang", reason=reason)
        self._source.ended(TrialResult(config, verdict, error=end.stack or reason), None)


class _FirstComeFirstServed(FIFOScheduler):
    """Lets Tune forget the trials that have ended. It would look through all of them at every turn, hold
    40 kB of each, and write down the state of each at the end, for a snapshot that is never read."""

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        trials = tune_controller.get_trials()
        ended = [each for each in trials if each.is_finished()]
        if len(ended) > 1:
            live = [each for each in trials if not each.is_finished()]
            trials[:] = [ended[-1], *live]  # none at all would be looked for on disk
            for name in MEMORIES:
                getattr(tune_controller, name, set[Any]()).difference_update(ended[:-1])
        chosen: Trial | None = super().choose_trial_to_run(tune_controller)
        return chosen


def _error_text(trial: Trial) -> str:
    """What Ray wrote down of a trial's end."""
    path = trial.error_file
    return Path(path).read_text(encoding="utf-8", errors="replace") if path and Path(path).is_file() else ""


class _SilentTrials(TrialProgressCallback):
    """In the place of Tune's own, which prints each trial's end and keeps something of each."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        pass

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        pass

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        pass


class _Silent(tune.ProgressReporter):
    def should_report(self, trials: list[Trial], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Trial], done: bool, *sys_info: Any) -> None:
        return None


# By default trials ask for a variable in their environment (of PyTorch Lightning's), and so for other
# processes than those that Ray has ready.
class_cache.DEFAULT_ENV_VARS.clear()
os.environ.setdefault("TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "1000000")
