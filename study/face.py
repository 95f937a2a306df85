"""The Python API: what ``import study`` offers, loaded when it is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study import studyfile
from study.analysis.findings import Findings, read_findings
from study.analysis.ranking import Ranking, ranking
from study.analysis.verdicts import ClaimVerdict
from study.check import check
from study.components.datasets import LoadedData, load_dataset
from study.errors import StudyFileError, UnknownName
from study.places import default_data_dir, default_root
from study.record import StudyRecord
from study.registry import nearest
from study.report import ReportFiles, print_ranking, summary, write_report
from study.running import Options, run_study
from study.serial import Train
from study.space import Scalar
from study.spec import StudySpec
from study.trial import Row, TrialConfig, TrialResult
from study.typical import example

if TYPE_CHECKING:
    import pandas as pd

    from study.own import Model as OwnModel
    from study.own import Step

Name = str | Path | StudySpec
"""A bundled study's name, a study file's path, or what ``load`` returned."""


@dataclass(frozen=True)
class Record:
    """A study that has run, or is running: what it found. Printed, it shows its ranking.

    Everything is read anew from the record's folder at each call, so it is as of then.
    """

    stored: StudyRecord

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def digest(self) -> str:
        return self.stored.digest

    @property
    def folder(self) -> Path:
        return self.stored.folder

    @property
    def spec(self) -> StudySpec:
        """The study as it was resolved: profile and overrides applied."""
        return self.stored.spec

    @property
    def finished(self) -> bool:
        """Whether every trial has ended for good."""
        return self.stored.finished

    def results(self) -> dict[str, TrialResult]:
        """The last result of every trial that ended, by its id: ``relu+bn/tune/3``."""
        return self.stored.results()

    def findings(self) -> Findings:
        """All that a report says, from one reading."""
        return read_findings(self.stored)

    def ranking(self, metric: str | None = None) -> Ranking:
        """The arms, best first, by the test metric of the objective or another one, with 95 % intervals
        and paired leads; from the confirm phase alone."""
        return ranking(self.spec, self.results(), metric)

    def claims(self) -> tuple[ClaimVerdict, ...]:
        """What became of the study's claims."""
        return self.findings().claims

    def trials(self) -> pd.DataFrame:
        """One row a trial: how it ended, its metrics, its hyperparameters."""
        from study.analysis.frames import trials

        return trials(self.results())

    def curves(self) -> pd.DataFrame:
        """One row an epoch of a trial."""
        from study.analysis.frames import curves

        return curves(self.results())

    def report(self) -> ReportFiles:
        """Write report.html, tables and figures into the record's folder; where they are."""
        return write_report(self.stored)

    def summary(self) -> dict[str, Any]:
        """As ``study report --json``: plain JSON types."""
        return summary(self.stored)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=100)
        print_ranking(self.stored, console)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()


def load(name: Name, *, profile: str | None = None, overrides: Iterable[str] = ()) -> StudySpec:
    """The study, resolved and checked. ``overrides`` read ``"fixed.model.width=0.5"``; raises StudyError."""
    if isinstance(name, StudySpec):
        if profile or tuple(overrides):
            raise StudyFileError(name.name, "is resolved already; give profile and overrides to load")
        return name
    given = tuple(overrides)
    spec = studyfile.load(str(name), profile, given)
    check(spec, studyfile.place(studyfile.find(str(name)), profile, given))
    return spec


def run(
    name: Name,
    *,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    address: str | None = None,
    max_concurrent: int | None = None,
    time_budget_s: float | None = None,
    fresh: bool = False,
    train: Train | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """Run what is missing of a study, as ``study run`` does, and return its record.

    ``out`` is the folder of the records (STUDY_HOME or ./runs), ``data_dir`` that of the data sets.
    ``train(config, data, report)`` is your own way to train a trial; with it, trials run one by one in
    this process, and everything else (arms, seeds, verdicts, record, ranking) is as ever. ``say`` is
    given lines for people; try ``say=print``.

    Raises StudyError for what is wrong before anything runs; StudyUnfinished and StudyInterrupted where
    the study could not be finished: running it again goes on.
    """
    spec = load(name, profile=profile, overrides=overrides)
    options = Options(
        root=default_root() if out is None else Path(out),
        data_dir=default_data_dir(None if data_dir is None else Path(data_dir)),
        tracking_uri=tracking_uri,
        address=address,
        max_concurrent=max_concurrent,
        time_budget_s=time_budget_s,
        fresh=fresh,
        command=("study.run", spec.name),
        train=train,
    )
    return Record(run_study(spec, options, say=say).record)


def latest(name: str, *, out: str | Path | None = None) -> Record:
    """The newest record of a study, or that of NAME@DIGEST. Raises RecordError where there is none."""
    return Record(StudyRecord.latest(default_root() if out is None else Path(out), name))


def config(
    name: Name,
    arm: str | None = None,
    *,
    profile: str | None = None,
    overrides: Iterable[str] = (),
    seed: int = 0,
    test: bool = False,
    hyperparameters: Mapping[str, Scalar] | None = None,
) -> TrialConfig:
    """The config of one trial of ``arm`` (by default the first), as ``study trial`` makes it: what is tuned
    is in the middle of its range, unless ``hyperparameters`` say otherwise. ``test``: to be scored on the
    test split too."""
    spec = load(name, profile=profile, overrides=overrides)
    arms = {each.name: each for each in spec.arms()}
    chosen = next(iter(arms)) if arm is None else arm
    if chosen not in arms:
        raise UnknownName(f"{spec.name} has no arm {chosen!r}; {nearest(chosen, arms)}")
    made = example(spec, arms[chosen], seed, test)
    unknown = sorted((hyperparameters or {}).keys() - made.hyperparameters.keys())
    if unknown:
        raise UnknownName(
            f"{spec.name} does not set {unknown[0]!r}; {nearest(unknown[0], made.hyperparameters)}"
        )
    values = {**made.hyperparameters, **(hyperparameters or {})}
    return TrialConfig(**{**made.to_json(), "hyperparameters": values})


def train(
    config: TrialConfig,
    data: LoadedData | None = None,
    *,
    model: OwnModel | None = None,
    step: Step | None = None,
    report: Callable[[Row], None] | None = None,
    data_dir: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> TrialResult:
    """Train one trial in this process: the same as in a study, with its verdict.

    ``data`` is what the study hands out, by default the config's data set. ``model`` is your own network:
    a module, which is copied and starts from its weights, or a function ``model(config)`` that makes one,
    whose random numbers come from the config's seed, so that arms stay paired. ``step(model, inputs,
    targets)`` is your own way from a batch to ``(loss, outputs)``: the mean loss, with its graph, and the
    outputs, (n, classes) logits or (n, k) numbers. Optimizer, schedule, data, seeds, divergence monitor
    and evaluation are the config's.
    """
    from study import training

    place = default_data_dir(None if data_dir is None else Path(data_dir))
    return training.train(
        config,
        data or load_dataset(str(config.hyperparameters["dataset.name"]), place),
        report=report,
        device=device,
        threads=threads,
        model=model,
        step=step,
    )
