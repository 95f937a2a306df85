"""How large the rows are: `make bench` (an hour), `make bench-quick` (minutes), and the smallest there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """Trials of ALL-CNN-C, a quarter of its width, with batch norm, on so many CIFAR-10 pictures."""

    trials: int
    replicates: int
    epochs: int
    train_size: int
    validation_size: int = 1000


@dataclass(frozen=True)
class Size:
    """``short`` and ``long`` are the trials of P1 and P2, ``compared`` those of P3; the others are numbers of
    trials, reports, steps or epochs. ``shipped`` are the trials given to Tune as it ships. ``one_ray``: P3's
    peers that run on Ray start it once for all of them."""

    rounds: int
    short: Load
    long: Load
    compared: Load
    one_ray: bool
    orchestrated: tuple[int, ...]
    shipped: int
    reports: int
    tracked: int
    tracked_epochs: int
    known: int
    proposed: int
    steps: int
    batch: int
    widths: tuple[float, ...]
    epochs_of_data: int
    stopping: tuple[str, ...]
    same: int
    watched_rounds: int
    recorded: int


@dataclass(frozen=True)
class Bench:
    """One run of the table: how large, where its files go, where CIFAR-10 is."""

    size: Size
    folder: Path
    data_dir: Path | None


# A trial of `short` takes about 10 s here in bf16, of `long` nearly 60 s, of `compared` 6 s in fp32.
FULL = Size(
    rounds=3,
    short=Load(trials=8, replicates=2, epochs=4, train_size=2000),
    long=Load(trials=2, replicates=2, epochs=22, train_size=2000),
    compared=Load(trials=8, replicates=0, epochs=2, train_size=1500, validation_size=500),
    one_ray=False,
    orchestrated=(100, 1000, 10_000),
    shipped=100,
    reports=1000,
    tracked=1000,
    tracked_epochs=30,
    known=900,
    proposed=100,
    steps=10,
    batch=128,
    widths=(0.25, 1.0),
    epochs_of_data=3,
    stopping=("--profile", "demo"),
    same=3,
    watched_rounds=4,
    recorded=10_000,
)
# Start and stop weigh far more here. One load for P1's two lines: it is run once.
SECONDS = Load(trials=4, replicates=2, epochs=2, train_size=384, validation_size=200)
QUICK = Size(
    rounds=1,
    short=SECONDS,
    long=SECONDS,
    compared=Load(trials=2, replicates=0, epochs=1, train_size=256, validation_size=100),
    one_ray=True,
    orchestrated=(50, 100),
    shipped=2,
    reports=200,
    tracked=20,
    tracked_epochs=30,
    known=950,
    proposed=10,
    steps=2,
    batch=64,
    widths=(0.25, 1.0),
    epochs_of_data=1,
    stopping=(
        *("--profile", "demo", "--set", "scientific.arms=['relu+bn','elu']"),
        *("--set", "search.trials_per_arm=6", "--set", "search.replicates=2"),
        *("--set", "fixed.dataset.train_size=100", "--max-concurrent", "1"),
    ),
    same=2,
    watched_rounds=1,
    recorded=300,
)
# For trying whether a row runs: its numbers mean nothing.
TINY = Size(
    rounds=1,
    short=Load(trials=2, replicates=1, epochs=1, train_size=200, validation_size=100),
    long=Load(trials=2, replicates=1, epochs=2, train_size=200, validation_size=100),
    compared=Load(trials=2, replicates=0, epochs=1, train_size=200, validation_size=100),
    one_ray=True,
    orchestrated=(10, 20),
    shipped=1,
    reports=20,
    tracked=5,
    tracked_epochs=3,
    known=20,
    proposed=6,
    steps=1,
    batch=32,
    widths=(0.125,),
    epochs_of_data=1,
    stopping=(
        *("--profile", "demo", "--set", "scientific.arms=['relu+bn','elu']"),
        *("--set", "search.trials_per_arm=3", "--set", "search.replicates=2"),
        *("--set", "fixed.dataset.train_size=100", "--set", "fixed.dataset.validation_size=50"),
        *("--set", "fixed.training.evaluation_size=50", "--set", "fixed.training.epochs=3"),
    ),
    same=2,
    watched_rounds=1,
    recorded=40,
)
SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}
