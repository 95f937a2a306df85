"""Studies, results and records with planted numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from study import studyfile
from study.record import JournalWriter, StudyRecord
from study.seeding import derive_seed
from study.space import Scalar
from study.spec import StudySpec
from study.trial import Phase, Row, Status, TrialConfig, TrialResult, Verdict

CHANCE = {"accuracy": 0.1, "error": 0.9, "loss": math.log(10)}
LR = {"low": 1e-4, "high": 1e-1, "log": True}


def planted_spec(
    *arms: str,
    replicates: int = 0,
    trials: int = 1,
    objective: str = "val_accuracy",
    claims: Sequence[Mapping[str, Any]] = (),
    **changes: Any,
) -> StudySpec:
    """A study that compares ``arms`` as activations and tunes the learning rate."""
    table = {
        "question": "Which arm is best?",
        "objective": {
            "metric": objective,
            "direction": "maximize" if objective.endswith("accuracy") else "minimize",
        },
        "scientific": {"activation": {"name": list(arms)}},
        "nuisance": {"optimizer": {"lr": LR}},
        "fixed": {"dataset": {"name": "digits"}, "model": {"name": "all_cnn_c"}},
        "search": {"trials_per_arm": trials, "replicates": replicates},
        "claims": [dict(claim) for claim in claims],
        **changes,
    }
    return studyfile.validate(table, "planted", "planted.toml")


def renamed(spec: StudySpec, name: str) -> StudySpec:
    """The study with its first arm called ``name``, which reading a study file would refuse: what comes
    after it must not rely on that."""
    _, *others = spec.scientific["activation"]["name"]
    return spec.model_copy(update={"scientific": {"activation": {"name": [name, *others]}}})


def claim(*arms: str, metric: str = "test_accuracy", margin: float = 0.0) -> dict[str, Any]:
    return {"source": "L1", "metric": metric, "ranking": list(arms), "margin": margin}


def trial(
    arm: str,
    phase: Phase,
    index: int,
    metrics: Mapping[str, float] | None = None,
    *,
    status: Status = "ok",
    kind: str | None = None,
    lr: float = 0.01,
    curve: tuple[Row, ...] = (),
    reason: str = "",
) -> TrialResult:
    """A trial as training leaves it: no metrics unless it ended ok."""
    seed = derive_seed("planted", phase, index)
    settings: dict[str, Scalar] = {"activation.name": arm, "optimizer.lr": lr, "dataset.name": "digits"}
    return TrialResult(
        config=TrialConfig("planted", arm, phase, index, settings, seed, seed),
        verdict=Verdict(status, kind, 3 if kind else None, 1 if kind else None, reason),
        metrics=metrics or {},
        seconds=10.0,
        gradient_evaluations=100,
        environment={"device": "cpu", "precision": "fp32", "worst": CHANCE},
        curve=curve,
    )


def diverged(arm: str, phase: Phase, index: int, lr: float = 0.01) -> TrialResult:
    reason = "the loss is not finite"
    return trial(arm, phase, index, status="diverged", kind="nonfinite_loss", lr=lr, reason=reason)


def scores(arm: str, *values: float | None, metric: str = "test_accuracy") -> list[TrialResult]:
    """One replicate a value; None for one that diverged."""
    return [
        diverged(arm, "confirm", index) if value is None else trial(arm, "confirm", index, {metric: value})
        for index, value in enumerate(values)
    ]


def by_id(*groups: Iterable[TrialResult]) -> dict[str, TrialResult]:
    return {result.config.id: result for group in groups for result in group}


def planted_record(
    root: Path, spec: StudySpec, results: Mapping[str, TrialResult], finished: bool = True
) -> StudyRecord:
    """A record of these results, written as a study writes it."""
    record = StudyRecord.create(root, spec)
    with JournalWriter(record) as journal:
        environment = {"python": "3.11", "packages": {"torch": "2.13", "ray": None}, "cpu": "a processor"}
        journal.session(environment, ["study", "run", f"{spec.name}.toml"])
        for result in results.values():
            journal.asked(result.config)
            journal.started(result.config.id, 1)
            for row in result.curve:
                journal.epoch(result.config.id, 1, row)
            journal.result(result.config.id, 1, result)
        if finished:
            journal.append("finished")
    return record


def simulated(
    spec: StudySpec, levels: Mapping[str, float], seed: int = 0, noise: float = 0.01
) -> dict[str, TrialResult]:
    """A whole study whose arms have these accuracies, with curves, noise that arms share by replicate,
    and learning rates that diverge at the upper end."""
    draw = random.Random(seed)
    blocks = [draw.gauss(0, noise) for _ in range(spec.search.replicates)]
    results = []
    for arm, level in levels.items():
        for index in range(spec.search.trials_per_arm):
            lr = 10 ** draw.uniform(-4, -1)
            score = level - 0.06 * abs(math.log10(lr / 0.01)) + draw.gauss(0, noise)
            bad = lr > 0.05 and index % 2 == 0
            results.append(
                diverged(arm, "tune", index, lr) if bad else finished(arm, "tune", index, score, lr)
            )
        for index, block in enumerate(blocks):
            score = level + block + draw.gauss(0, noise / 3)
            results.append(finished(arm, "confirm", index, score))
    return by_id(results)


def finished(arm: str, phase: Phase, index: int, score: float, lr: float = 0.01) -> TrialResult:
    """A trial that ended ok with this accuracy, and whose curves led there in eight epochs."""
    curve = tuple(
        Row(
            epoch=epoch,
            step=100 * epoch // 8,
            val_accuracy=0.1 + (score - 0.1) * (1 - math.exp(-0.7 * epoch)),
            val_loss=2.3 * math.exp(-0.3 * epoch * score),
        )
        for epoch in range(1, 9)
    )
    metrics = {"val_accuracy": score, "val_loss": 2 - score, "val_error": 1 - score}
    if phase == "confirm":
        metrics |= {"test_accuracy": score - 0.01, "test_loss": 2.01 - score, "test_error": 1.01 - score}
    return trial(arm, phase, index, metrics, lr=lr, curve=curve)


SIZES = (250, 500, 1000, 2000, 4000)
WIDTHS = (0.03125, 0.0625, 0.125)


def size_spec(replicates: int = 4, **scientific: Any) -> StudySpec:
    """A study that compares training-set sizes and widths on CIFAR-10, tuning nothing."""
    held = {"dataset": {"name": "cifar10"}, "model": {"name": "all_cnn_c"}, "activation": {"name": "relu"}}
    return planted_spec(
        replicates=replicates,
        objective="val_error",
        scientific={"dataset": {"train_size": list(SIZES)}, "model": {"width": list(WIDTHS)}, **scientific},
        nuisance={},
        fixed={part: table for part, table in held.items() if part not in scientific},
    )


def size_results(spec: StudySpec, seed: int = 0) -> dict[str, TrialResult]:
    """Replicates whose test errors fall with the data, from a floor that is lower for wider networks, and
    whose best width grows with the data; gaps are 0.4 (n / 250)^-0.6 times a power of the width."""
    draw = random.Random(seed)
    blocks = [draw.gauss(0, 0.01) for _ in range(spec.search.replicates)]
    results = []
    for arm in spec.arms():
        n, width = int(arm.values["dataset.train_size"]), float(arm.values["model.width"])
        for index, block in enumerate(blocks):
            fitted = 0.15 + 5 * n**-0.45 + 0.04 * (0.125 / width) ** 0.5 + 0.2 * 8 * width * 250 / n
            test = min(0.9, fitted) + block + draw.gauss(0, 0.004)
            gap = 0.4 * (n / 250) ** -0.6 * (width / 0.0625) ** 0.3 * (1 + draw.gauss(0, 0.03))
            metrics = {"test_error": test, "train_eval_error": test - gap, "val_error": test}
            complexity = {
                "parameters": 1e5 * width,
                "spectral_log_product": 3 + width,
                "stable_rank_sum": 10.0,
                "margin_10": -n * width,
                "margin_50": 1.0,
                "sharpness": 10 * gap,
                "flat_sigma": 0.01 / gap,
            }
            one = trial(arm.name, "confirm", index, metrics)
            config = replace(one.config, hyperparameters=arm.complete({}))
            environment = {**one.environment, "complexity": complexity}
            results.append(replace(one, config=config, environment=environment))
    return by_id(results)
