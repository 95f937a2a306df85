"""What judges a study fits what it judges: each rule, in the line that a user reads."""

from __future__ import annotations

import pytest

from study.check import check
from study.errors import StudyFileError
from tests.good_study import spec_of

GOOD = """\
question = "Which loss finds the curve?"

[objective]
metric = "val_mae"
direction = "minimize"

[scientific]
loss.name = ["mse", "quantiles"]

[nuisance]
optimizer.lr = { low = 1e-3, high = 1e-2, log = true }

[conditional."loss.name=quantiles"]
loss.levels = "0.05-0.95"

[fixed]
dataset = { name = "sinc", train_size = 100 }
model = { name = "mlp", width = 8 }
activation.name = "tanh"
optimizer.name = "adam"
training.epochs = 2

[search]
trials_per_arm = 2

[[claims]]
source = "a hunch"
metric = "test_mae"
ranking = ["mse", "quantiles"]
"""
Changes = tuple[tuple[str, str], ...]
LR = "optimizer.lr = { low = 1e-3, high = 1e-2, log = true }"
ARMS = 'loss.name = ["mse", "quantiles"]'
LEVELS = '[conditional."loss.name=quantiles"]\nloss.levels = "0.05-0.95"\n'
CLAIM = GOOD[GOOD.index("[[claims]]") :]
HELD_HUBER = ("training.epochs", 'loss.name = "huber"\ntraining.epochs')
NORMALISED = 'loss = { name = "huber", normalise = true }'
BIAS = 'metric = "test_bias"\nvalue = { arm = "mse", at_most = 1.0 }'
# Huber's loss, whose delta is compared at a single learning rate.
HUBER: Changes = (
    (ARMS, "loss.delta = [1.0, 2.0]"),
    (LEVELS, ""),
    (CLAIM, ""),
    (LR, ""),
    ('optimizer.name = "adam"', 'optimizer = { name = "adam", lr = 0.01 }\nloss.name = "huber"'),
    ("trials_per_arm = 2", "trials_per_arm = 1"),
)


def changed(*changes: tuple[str, str]) -> str:
    text = GOOD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


RIGHT: dict[str, Changes] = {
    "as it is": (),
    "noise-free targets": (('"val_mae"', '"val_clean_rmse"'),),
    "quantiles beside a centre, at the levels of its interval": (('"val_mae"', '"val_pinball"'),),
    "what only describes, in a claim": (
        (
            'metric = "test_mae"\nranking = ["mse", "quantiles"]',
            BIAS,
        ),
    ),
    "a loss of one kind, judged by itself": (
        (ARMS, 'activation.name = ["relu", "elu"]'),
        (LEVELS, ""),
        ('activation.name = "tanh"\n', ""),
        (CLAIM, ""),
        ('"val_mae"', '"val_loss"'),
    ),
    "delta with the learning rate tuned beside it": (
        (ARMS, "loss.delta = [1.0, 2.0]"),
        (LEVELS, ""),
        HELD_HUBER,
        (CLAIM, ""),
    ),
    "delta of a normalised loss": (
        *HUBER,
        ('loss.name = "huber"', NORMALISED),
    ),
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT)
def test_it_is_right(changes: Changes) -> None:
    check(spec_of(changed(*changes)))


WRONG: dict[str, tuple[Changes, str]] = {
    "a metric of classes": (
        (('"val_mae"', '"val_error"'),),
        r"objective\.metric: must be a metric of regression.*sinc asks for, not 'val_error'; e\.g\. val_rmse",
    ),
    "a claim of classes": (
        (('"test_mae"', '"test_accuracy"'),),
        r"claims\[0\]\.metric: must be a metric of regression.*e\.g\. test_rmse",
    ),
    "noise-free targets of data that has none": (
        (('name = "sinc"', 'name = "npz_regression", path = "mine.npz"'), ('"val_mae"', '"val_clean_mae"')),
        r"objective\.metric: must be of targets with their noise, for npz_regression.*val_mae",
    ),
    "a judge that only describes": (
        (('"val_mae"', '"val_width"'),),
        r"objective\.metric: must say what is better, and this only describes, not 'val_width'.*val_rmse",
    ),
    "the loss itself, where it varies": (
        (('"val_mae"', '"val_loss"'),),
        r"objective\.metric: must not depend on what the study varies, and loss\.name.*e\.g\. val_rmse",
    ),
    "an interval of a single quantile": (
        (('"quantiles"]', '"quantile"]'), (LEVELS, ""), (CLAIM, ""), ('"val_mae"', '"val_coverage_error"')),
        r"objective\.metric: is of intervals, and the loss of arm quantile estimates a single quantile",
    ),
    "quantiles at other levels than another arm's": (
        (('"0.05-0.95"', '"0.1-0.9"'), ('"val_mae"', '"val_pinball"')),
        r"must be those of all arms: \(0\.05, 0\.95\) in arm mse, \(0\.1, 0\.9\) in arm",
    ),
    "quantiles whose levels are tuned": (
        (
            (ARMS, 'activation.name = ["relu"]'),
            (LEVELS, "loss.gamma = [0.1, 0.9]\n"),
            ("training.epochs", 'loss.name = "quantile"\ntraining.epochs'),
            ('activation.name = "tanh"\n', ""),
            (CLAIM, ""),
            ('"val_mae"', '"val_pinball"'),
        ),
        r"objective\.metric: must not depend on what is tuned, and loss\.gamma changes its levels",
    ),
    "delta at one learning rate": (
        HUBER,
        r"loss\.delta: also scales the gradient.*to vary the learning rate .*normalise = true",
    ),
    "a loss for classes": (
        ((ARMS, 'loss.name = ["cross_entropy"]'), (LEVELS, ""), (CLAIM, "")),
        r"loss \(arm cross_entropy\): cross_entropy is for classification, and sinc.*e\.g\. mse",
    ),
    "a model for pictures": (
        (('name = "mlp", width = 8', 'name = "all_cnn_c", width = 0.5'),),
        r"model \(arm mse\): all_cnn_c needs pictures, and sinc has vectors of 1; e\.g\. mlp",
    ),
    "pictures' augmentation": (
        (("training.epochs", "augmentation.flip = true\ntraining.epochs"),),
        r"fixed\.augmentation\.flip: is for pictures, and sinc has vectors of 1; leave it out",
    ),
    "another data set's argument": (
        (("train_size = 100", 'spread = "growing"'),),
        r"fixed\.dataset\.spread: dataset sinc has no argument 'spread'",
    ),
    "levels that fall": (
        (('"0.05-0.95"', '"0.95-0.05"'),),
        r"loss\.levels: must be levels between 0 and 1 that rise, such as 0\.05-0\.95",
    ),
    "an own file without its path": (
        (('name = "sinc"', 'name = "npz_regression"'),),
        r"dataset\.path: is missing",
    ),
}


@pytest.mark.parametrize(("changes", "line"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_answered_in_a_line(changes: Changes, line: str) -> None:
    with pytest.raises(StudyFileError, match=line):
        check(spec_of(changed(*changes)))
