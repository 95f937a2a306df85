"""Distributed hyperparameter studies that say which is better, and whether it really is.

    import study

    record = study.run("cifar10-acts", profile="demo")
    print(record)                                        # the ranking, as `study run` prints it
    record.ranking().arms[0].arm, record.trials()        # numbers, tables
    study.train(study.config("cifar10-acts", "relu+bn", profile="demo"))      # one trial, right here

Nothing heavy is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

__all__ = [
    "Monitor",
    "Record",
    "StudyError",
    "StudyInterrupted",
    "StudyUnfinished",
    "TrialConfig",
    "TrialResult",
    "Verdict",
    "config",
    "latest",
    "load",
    "run",
    "train",
]

# Each name and the module that it is loaded from; their types stand in __init__.pyi.
HOMES = {
    "Monitor": "divergence",
    "Record": "face",
    "StudyError": "errors",
    "StudyInterrupted": "errors",
    "StudyUnfinished": "errors",
    "TrialConfig": "trial",
    "TrialResult": "trial",
    "Verdict": "trial",
    "config": "face",
    "latest": "face",
    "load": "face",
    "run": "face",
    "train": "face",
}


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
