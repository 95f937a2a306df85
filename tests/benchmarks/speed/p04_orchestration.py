"""P4: what a trial costs beside its training: trials that do nothing over the real way, and over Tune as it
ships (a process a trial, loggers that write five files each)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.benchmarks.speed.contestants import slots, timed
from tests.benchmarks.speed.driven import Changing, Drive, Driven, NoWork, driven
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.sizes import Bench

# By cProfile over 1,000 trials. Tune's own, a trial: 7 actor calls, a placement group made and removed, and
# 5 look-ups of the trainable. Ours: two fsyncs, the proposal and the messages, a seventh of the CPU.
LIMIT = "Tune's own turn takes most of it: actor calls, a placement group and five look-ups a trial"
# All slots have their workers within this time.
WORKERS_S = 1.0
SHIPPED = """
import json, time
from ray import tune

def seconds(trials):
    began = time.monotonic()
    tune.Tuner(
        lambda config: tune.report({{"score": config["x"]}}),
        param_space={{"x": tune.uniform(0, 1)}},
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(storage_path={folder!r}),
    ).fit()
    return time.monotonic() - began

seconds({few})  # Ray starts
json.dump(seconds({many}), open({result!r}, "w"))
"""


def measure(bench: Bench) -> list[Line]:
    run = largest(bench)
    fewest, most = min(bench.size.orchestrated), max(bench.size.orchestrated)
    lines = [line for trials in bench.size.orchestrated for line in costs(trials, run)]
    growth = Line(
        f"wall of {most:,} trials, beside the first {fewest:,}",
        Spread.of([run.wall_ms(most) / run.wall_ms(fewest)]),
        "x",
        Bound("<=", 1.2),
        "the machine, which is not as fast at all times",
        f"{run.start_s:.1f} s until any had ended; {run.end_s:.1f} s from the last to Tune's own end",
    )
    return [*lines, growth, shipped(bench)]


def largest(bench: Bench) -> Driven:
    """One study for all lines, counted until so many of its trials have ended. Each slot's first trial does
    not count, and lasts until the other slots have their workers too: else all might be done by one."""
    work = Changing(slots(), NoWork(1, pause_s=WORKERS_S), NoWork(1))
    return driven(bench.folder, Drive(slots() + max(bench.size.orchestrated), work))


def costs(trials: int, run: Driven) -> list[Line]:
    wall, cpu = Spread.of([run.wall_ms(trials)]), Spread.of([run.cpu_ms(trials)])
    return [
        Line(f"the first {trials:,} trials, wall", wall, " ms/trial", Bound("<=", 30), LIMIT),
        Line(f"the first {trials:,} trials, driver's CPU", cpu, " ms/trial", Bound("<=", 15), LIMIT),
    ]


def shipped(bench: Bench) -> Line:
    """A Tuner's run, once Ray has started."""
    trials = bench.size.shipped
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        script, result = Path(folder) / "shipped.py", Path(folder) / "seconds.json"
        script.write_text(SHIPPED.format(few=slots(), many=trials, folder=folder, result=str(result)))
        timed([str(script)])
        found = Spread.of([1e3 * json.loads(result.read_text()) / trials])
    return Line(f"Tune as shipped, {trials} trials, wall", found, " ms/trial")
