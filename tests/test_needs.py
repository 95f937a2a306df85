"""What optimizers need of the rest of a trial: refused in one line, before anything runs, if not there."""

from __future__ import annotations

import pytest

from study.check import check
from study.components.datasets import DATASETS
from study.components.optimizers import OPTIMIZERS
from study.errors import StudyFileError
from study.needs import NEEDS
from study.spec import StudySpec
from tests.good_study import CLAIM, DECAY, WIDER_LR, spec_with

SGD = 'name = "sgd", momentum = 0.9'
ALL_CNN = 'name = "all_cnn_c", width = 0.125'
SIZE = "batch_size = 64"
SIZES = 'training.batch_size = ["full", 16]'
FULL = (SIZE, 'batch_size = "full"')
# Every trial of 1,000 images, without batch norm; nothing is decayed.
PLAIN = (
    ("model.batch_norm = [true, false]\n", ""),
    (f'[conditional."model.batch_norm=true"]\n{WIDER_LR}', ""),
    (DECAY, ""),
    (CLAIM, ""),
)


def study(optimizer: str, *changes: tuple[str, str]) -> StudySpec:
    return spec_with(*PLAIN, (SGD, optimizer), *changes)


# Of the digits' ten, where a tenth is held out.
TWO_CLASSES = round(DATASETS["digits"].train_examples * 2 / 10 * 9 / 10)
LBFGS = (FULL, ("epochs = 2", 'epochs = 2, precision = "fp32"'))
REFUSED = {
    "rprop on mini-batches": (
        study('name = "rprop"'),
        'and training.batch_size is 64; set training.batch_size = "full", or optimizer.mini_batches = true',
    ),
    "rprop on a batch that lacks one example": (
        study('name = "rprop"', (SIZE, "batch_size = 999")),
        "needs batches of all 1000 training examples, and training.batch_size is 999",
    ),
    "rprop on the default batch": (
        study('name = "rprop"', (f", {SIZE}", "")),
        "training.batch_size is 128",
    ),
    "rprop on some mini-batches": (
        study('name = "rprop"', (f", {SIZE}", ""), ("[nuisance]", f"[nuisance]\n{SIZES}")),
        "training.batch_size is 16",
    ),
    "rprop on less than two classes' images": (
        study('name = "rprop"', ("train_size = 1000", "classes = 2"), (SIZE, "batch_size = 200")),
        f"needs batches of all {TWO_CLASSES} training examples, and training.batch_size is 200",
    ),
    "rprop under a schedule": (
        study('name = "rprop"', FULL, ("[fixed]", '[fixed]\nschedule.name = "cosine"')),
        'so schedule cosine would do nothing; set schedule.name = "constant"',
    ),
    "rprop with its steps the wrong way round": (
        study('name = "rprop", smallest_step = 1.0, largest_step = 0.1', FULL),
        "smallest_step must not exceed its largest_step",
    ),
    "lbfgs on mini-batches": (
        study('name = "lbfgs"', LBFGS[1]),
        "lbfgs needs batches of all 1000 training examples",
    ),
    "lbfgs with dropout": (
        study('name = "lbfgs"', *LBFGS, ("width = 0.125", "width = 0.125, dropout = true")),
        "model.dropout = true draws anew at each evaluation; set model.dropout = false",
    ),
    "lbfgs with batch norm": (
        study('name = "lbfgs"', *LBFGS, ("width = 0.125", "width = 0.125, batch_norm = true")),
        "model.batch_norm = true keeps statistics of the weights that are only tried",
    ),
    "lbfgs with flips": (
        study('name = "lbfgs"', *LBFGS, ("[fixed]", "[fixed]\naugmentation.flip = true")),
        "augmentation.flip = true draws anew",
    ),
    "lbfgs with crops": (
        study('name = "lbfgs"', *LBFGS, ("[fixed]", "[fixed]\naugmentation.crop = 1")),
        "augmentation.crop = 1 draws anew at each step; set augmentation.crop = 0",
    ),
    "lbfgs in whatever precision there is": (
        study('name = "lbfgs"', FULL),
        'training.precision = "auto" may round losses to three digits; set training.precision = "fp32"',
    ),
    "sparse_adam on dense gradients": (
        study('name = "sparse_adam"'),
        "sparse_adam needs sparse gradients, and those of all_cnn_c are dense; choose adam",
    ),
    "muon on a linear model": (
        study('name = "muon"', (ALL_CNN, 'name = "linear"')),
        "muon is for weights between the first and the last layer, and linear has none; choose adamw",
    ),
    "muon on a single hidden layer": (
        study('name = "muon"', (ALL_CNN, 'name = "mlp", depth = 1')),
        "and mlp has none; choose adamw",
    ),
    "asgd that never averages": (
        study('name = "asgd", t0 = 1e6'),
        "asgd averages from step t0 = 1e+06 on, and a trial has 32; lower optimizer.t0",
    ),
    "asgd whose average would begin after the last step": (
        study('name = "asgd", t0 = 32'),
        "averages from step t0 = 32 on, and a trial has 32",
    ),
    "two averages": (
        study('name = "asgd", t0 = 1', ("epochs = 2", "epochs = 2, ema = 0.9")),
        "asgd is judged on its own average of the weights, so training.ema would do nothing",
    ),
    "nesterov without momentum": (
        study('name = "sgd", nesterov = true'),
        "nesterov needs momentum above 0 and dampening 0",
    ),
    "a batch size in words": (
        study(SGD, (SIZE, 'batch_size = "all"')),
        "fixed.training.batch_size: must be a whole number or 'full', not 'all'",
    ),
    "no batch": (
        study(SGD, (SIZE, "batch_size = 0")),
        "fixed.training.batch_size: must be at least 1 or 'full', not 0",
    ),
    "an average of the first weights alone": (
        study(SGD, ("epochs = 2", "epochs = 2, ema = 1.0")),
        "fixed.training.ema: must be below 1, not 1.0",
    ),
}


@pytest.mark.parametrize(("spec", "line"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_go_together_is_refused_in_one_line(spec: StudySpec, line: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        check(spec)
    said = str(caught.value)
    assert line in said
    assert "\n" not in said


RIGHT = {
    "rprop on the whole training set": study('name = "rprop"', FULL),
    "rprop on a batch as large as the training set": study('name = "rprop"', (SIZE, "batch_size = 1000")),
    "rprop on mini-batches, knowingly": study('name = "rprop", mini_batches = true'),
    "rprop on two classes' images": study(
        'name = "rprop"', ("train_size = 1000", "classes = 2"), (SIZE, f"batch_size = {TWO_CLASSES}")
    ),
    "lbfgs on a steady loss": study('name = "lbfgs"', *LBFGS),
    "asgd that averages the last step": study('name = "asgd", t0 = 31'),
    "an average of the weights": study(SGD, ("epochs = 2", "epochs = 2, ema = 0.999")),
    "muon": study('name = "muon"'),
    "muon on two hidden layers": study('name = "muon"', (ALL_CNN, 'name = "mlp"')),
}


@pytest.mark.parametrize("spec", RIGHT.values(), ids=RIGHT)
def test_what_goes_together_is_right(spec: StudySpec) -> None:
    check(spec)


def test_every_need_of_the_table_has_its_rule() -> None:
    assert {need for entry in OPTIMIZERS.values() for need in entry.needs} == NEEDS.keys()
