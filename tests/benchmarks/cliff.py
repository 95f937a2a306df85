"""How much of a search is wasted beyond a cliff, by what the sampler is told of a diverged trial.

    python -m tests.benchmarks.cliff
    python -m tests.benchmarks.cliff --samplers tpe --seeds 10

The toy: the learning rate is searched on a log scale in 1e-4..1e-1; the loss falls towards 3e-3 and is NaN
above it, so the best rate lies just under the cliff, as it does in training. cmaes, which needs two
ranges, also searches a weight decay that matters a little. 40 trials, one after another, an arm's budget.
Printed is the share of trials beyond the cliff, its mean and 95 % t interval over the seeds, of all 40
trials and of the last 20, and how far the best loss found lies above the best there is.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from study.analysis.intervals import Interval, mean_interval
from study.samplers import ArmSearch
from study.seeding import derive_seed
from study.spec import StudySpec
from study.studyfile import validate
from study.trial import Row, TrialConfig, TrialResult, Verdict

TRIALS = 40
LAST = 20
LOW, CLIFF, HIGH = 1e-4, 3e-3, 1e-1
DECAYS = (1e-6, 1e-2)
EPOCHS = 5
# The loss at the cliff, and of the best constant prediction over ten classes.
BEST, WORST = 0.3, math.log(10)
NOISE = 0.02

Tell = Callable[[optuna.Study, optuna.Trial], None]


def toy(lr: float, decay: float, noise: float) -> float:
    """The loss after training; NaN beyond the cliff."""
    if lr > CLIFF:
        return math.nan
    slope = 0.4 * math.log10(CLIFF / lr)
    return BEST + slope + 0.02 * (math.log10(decay) + 4) ** 2 + NOISE * abs(noise)


# -- what Optuna may be told of a diverged trial ------------------------------------------------------


def fail(study: optuna.Study, trial: optuna.Trial) -> None:
    study.tell(trial, state=TrialState.FAIL)


def leave_running(study: optuna.Study, trial: optuna.Trial) -> None:
    """As Ray's OptunaSearch does after it has logged a warning."""


def infinite(study: optuna.Study, trial: optuna.Trial) -> None:
    study.tell(trial, math.inf)


def pruned(study: optuna.Study, trial: optuna.Trial) -> None:
    study.tell(trial, state=TrialState.PRUNED)


def pruned_with_nan(study: optuna.Study, trial: optuna.Trial) -> None:
    trial.report(math.nan, 1)
    study.tell(trial, state=TrialState.PRUNED)


def worst(study: optuna.Study, trial: optuna.Trial) -> None:
    study.tell(trial, WORST)


def infeasible(study: optuna.Study, trial: optuna.Trial) -> None:
    """``constrained`` says of the others that they are feasible."""
    trial.set_constraint("stable", 1.0)
    study.tell(trial, WORST)


WAYS: Mapping[str, Tell] = {
    "FAIL": fail,
    "left RUNNING": leave_running,
    "+inf": infinite,
    "PRUNED, no report": pruned,
    "PRUNED, NaN report": pruned_with_nan,
    "finite worst": worst,
    "violated constraint": infeasible,
}
SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, n_startup_trials=10, warn_independent_sampling=False),
}


# -- the searches -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Search:
    """One search's losses in order, NaN beyond the cliff."""

    losses: tuple[float, ...]

    def wasted(self, last: int = TRIALS) -> float:
        return sum(math.isnan(loss) for loss in self.losses[-last:]) / last

    @property
    def gap(self) -> float:
        """How far the best loss lies above the best there is."""
        return min((loss for loss in self.losses if not math.isnan(loss)), default=WORST) - BEST


def by_optuna(sampler: str, way: str, seed: int) -> Search:
    build = SAMPLERS.get(sampler, RandomSampler)
    study = optuna.create_study(sampler=build(derive_seed("cliff", sampler, seed)))
    draw, losses = random.Random(derive_seed("cliff noise", seed)), []
    for _ in range(TRIALS):
        trial = study.ask()
        lr = trial.suggest_float("lr", LOW, HIGH, log=True)
        decay = trial.suggest_float("decay", *DECAYS, log=True) if sampler == "cmaes" else 1e-4
        losses.append(toy(lr, decay, draw.gauss(0, 1)))
        if math.isnan(losses[-1]):
            WAYS[way](study, trial)
            continue
        for epoch in range(1, EPOCHS + 1):
            trial.report(falling(losses[-1], epoch), epoch)
        if way == "violated constraint":
            trial.set_constraint("stable", 0.0)
        study.tell(trial, losses[-1])
    return Search(tuple(losses))


def by_study(sampler: str, seed: int) -> Search:
    """The study's own search, end to end: what it asks, and what it makes of the results."""
    spec = a_study(sampler, seed)
    (arm,) = spec.arms()
    search = ArmSearch(spec, arm)
    draw, losses = random.Random(derive_seed("cliff noise", seed)), []
    for index in range(TRIALS):
        tuned = search.ask(index)
        decay = float(tuned.get("optimizer.weight_decay", 1e-4))
        losses.append(toy(float(tuned["optimizer.lr"]), decay, draw.gauss(0, 1)))
        config = TrialConfig(spec.name, arm.name, "tune", index, arm.complete(tuned), 0, 0)
        if math.isnan(losses[-1]):
            result = TrialResult(config, Verdict("diverged", "nonfinite_loss", step=3, epoch=1))
        else:
            curve = tuple(
                Row(epoch=epoch, val_loss=falling(losses[-1], epoch)) for epoch in range(1, EPOCHS + 1)
            )
            result = TrialResult(config, Verdict("ok"), curve, {"val_loss": losses[-1]})
        search.tell(result, WORST)
    return Search(tuple(losses))


def falling(loss: float, epoch: int) -> float:
    """A learning curve that ends at ``loss``."""
    return loss + (WORST - loss) * (1 - epoch / EPOCHS)


def a_study(sampler: str, seed: int) -> StudySpec:
    tuned = {"lr": {"low": LOW, "high": HIGH, "log": True}}
    if sampler == "cmaes":
        tuned["weight_decay"] = {"low": DECAYS[0], "high": DECAYS[1], "log": True}
    table = {
        "question": "Where is the cliff?",
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "nuisance": {"optimizer": tuned},
        "search": {"sampler": sampler, "trials_per_arm": TRIALS, "seed": seed},
    }
    return validate(table, "cliff", "cliff")


# -- the table ----------------------------------------------------------------------------------------


def row(name: str, searches: list[Search]) -> str:
    shares = [mean_interval([search.wasted(last) for search in searches]) for last in (TRIALS, LAST)]
    gap = mean_interval([search.gap for search in searches])
    return f"  {name:<22}{percent(shares[0]):>14}{percent(shares[1]):>14}{gap.mean or 0:>11.3f}"


def percent(share: Interval) -> str:
    return f"{100 * (share.mean or 0):.0f} ± {100 * (share.half_width or 0):.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--seeds", type=int, default=30)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # What GPSampler makes of an infinite value is what is measured here.
    warnings.filterwarnings("ignore", message=".*non-finite values.*")
    warnings.filterwarnings("ignore", message=".*CmaEsSampler will not use them.*")
    seeds = range(options.seeds)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    say(f"{TRIALS} trials, {options.seeds} seeds; Optuna {optuna.__version__}")
    say(f"  {'diverged trials told as':<22}{'beyond cliff':>14}{f'last {LAST}':>14}{'best loss':>11}")
    say(row("(random search)", [by_optuna("random", "FAIL", seed) for seed in seeds]))
    for sampler in options.samplers:
        began = time.perf_counter()
        say(sampler)
        for way in WAYS:
            say(row(way, [by_optuna(sampler, way, seed) for seed in seeds]))
        say(row("study (ours)", [by_study(sampler, seed) for seed in seeds]))
        say(f"  {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
