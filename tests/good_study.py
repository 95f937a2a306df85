"""A study file that breaks no rule, to be changed in one place by each test."""

from __future__ import annotations

from pathlib import Path

from study import studyfile
from study.spec import StudySpec

GOOD = """\
question = "Which activation, with or without batch norm, reads digits best?"

[objective]
metric = "val_accuracy"
direction = "maximize"

[scientific]
activation.name = ["relu", "elu"]
model.batch_norm = [true, false]

[nuisance]
optimizer.lr = { low = 1e-4, high = 1e-1, log = true }
optimizer.weight_decay = { low = 1e-6, high = 1e-2, log = true }

[conditional."model.batch_norm=true"]
optimizer.lr = { low = 1e-4, high = 1.0, log = true }

[fixed]
dataset = { name = "digits", train_size = 1000 }
model = { name = "all_cnn_c", width = 0.125 }
optimizer = { name = "sgd", momentum = 0.9 }
training = { epochs = 2, batch_size = 64 }

[search]
sampler = "tpe"
trials_per_arm = 4
replicates = 3

[resources]
cpus_per_trial = 1

[[claims]]
source = "a hunch"
metric = "test_accuracy"
ranking = ["relu+bn", "elu"]

[profiles.small]
fixed.training.epochs = 1
"""
LR = "optimizer.lr = { low = 1e-4, high = 1e-1, log = true }"
DECAY = "optimizer.weight_decay = { low = 1e-6, high = 1e-2, log = true }"
WIDER_LR = "optimizer.lr = { low = 1e-4, high = 1.0, log = true }"
CLAIM = GOOD[GOOD.index("[[claims]]") : GOOD.index("[profiles")]


def changed(*changes: tuple[str, str]) -> str:
    """The good study file with each (old, new) change made at the first place where old stands."""
    text = GOOD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def spec_of(text: str = GOOD, *overrides: str, profile: str | None = None) -> StudySpec:
    """The study file's text, resolved; its name is ``mine``."""
    table = studyfile.parse(text, "mine.toml")
    return studyfile.resolve(table, Path("mine.toml"), profile, overrides)


def spec_with(*changes: tuple[str, str]) -> StudySpec:
    return spec_of(changed(*changes))
