"""P4: what a trial costs beside its training: trials that do nothing over the real way, and over Tune as it
ships (a process a trial, loggers that write five files each)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.speed.contestants import slots, timed
from tests.benchmarks.speed.driven import Drive, Driven, NoWork, driven
from tests.benchmarks.speed.lines import Bound, Line, Spread
from tests.benchmarks.speed.sizes import Bench

# By cProfile over 1,000 trials. Tune's own, a trial: 7 actor calls, a placement group made and removed, and
# 5 look-ups of the trainable. Ours: two fsyncs, the proposal and the messages, a seventh of the CPU.
LIMIT = "Tune's own turn takes most of it: actor calls, a placement group and five look-ups a trial"
SHIPPED = """
from ray import tune
tune.Tuner(
    lambda config: tune.report({{"score": config["x"]}}),
    param_space={{"x": tune.uniform(0, 1)}},
    tune_config=tune.TuneConfig(num_samples={trials}),
    run_config=tune.RunConfig(storage_path={folder!r}),
).fit()
"""


def measure(bench: Bench) -> list[Line]:
    work = NoWork(epochs=1)
    runs = {trials: driven(bench.folder, Drive(trials, work)) for trials in bench.size.orchestrated}
    fewest, most = runs[min(runs)], runs[max(runs)]
    lines = [line for trials, run in runs.items() for line in costs(trials, run)]
    growth = Line(
        f"wall at {max(runs):,} trials, beside {min(runs):,}",
        Spread.of([most.wall_ms / fewest.wall_ms]),
        "x",
        Bound("<=", 1.2),
        "the machine, which is not as fast at all times",
    )
    return [*lines, growth, shipped(bench)]


def costs(trials: int, run: Driven) -> list[Line]:
    ends = f"{run.start_s:.1f} s until the first had ended; {run.end_s:.1f} s from the last to Tune's own end"
    wall, cpu = Spread.of([run.wall_ms]), Spread.of([run.cpu_ms])
    return [
        Line(f"{trials:,} trials, wall", wall, " ms/trial", Bound("<=", 30), LIMIT, ends),
        Line(f"{trials:,} trials, driver's CPU", cpu, " ms/trial", Bound("<=", 15), LIMIT),
    ]


def shipped(bench: Bench) -> Line:
    """From its command to its end, less what one trial takes so."""
    seconds = []
    for trials in (slots(), bench.size.shipped + slots()):
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            script = Path(folder) / "shipped.py"
            script.write_text(SHIPPED.format(trials=trials, folder=folder))
            seconds.append(timed([str(script)])[1])
    each_ms = 1e3 * (seconds[1] - seconds[0]) / bench.size.shipped
    return Line(f"Tune as shipped, {bench.size.shipped} trials, wall", Spread.of([each_ms]), " ms/trial")
