"""A user's mistakes: each is one line that names place, rule and value, and nothing has happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command, assert_one_line
from tests.good_study import CLAIM, DECAY, GOOD, LR, WIDER_LR, changed

RANKING = 'ranking = ["relu+bn", "elu"]'
OBJECTIVE = 'metric = "val_accuracy"\ndirection = "maximize"'
LOSS = 'metric = "val_loss"\ndirection = "minimize"'
SMALL = "fixed.training.epochs = 1"
HUGE = "1" + "0" * 400

Change = tuple[str, str]


def add(section: str, line: str) -> Change:
    return f"[{section}]\n", f"[{section}]\n{line}\n"


# What is wrong, the change that makes it so, and words that the line must have beside the file's name.
BAD: dict[str, tuple[Change | list[Change], tuple[str, ...]]] = {
    # -- typos
    "a section's name": (("[search]", "[serach]"), ("serach: unknown key", "did you mean search?")),
    "question": (("question =", "qestion ="), ("qestion: unknown key", "question")),
    "an objective's key": (
        ("metric =", "metrik ="),
        ("objective.metrik: unknown key", "did you mean metric?"),
    ),
    "a search setting": (("trials_per_arm", "trials_per_amr"), ("search.trials_per_amr", "trials_per_arm?")),
    "a resource": (("cpus_per_trial", "cpu_per_trial"), ("resources.cpu_per_trial", "cpus_per_trial")),
    "a claim's key": (("source =", "sourc ="), ("claims[0].sourc: unknown key", "did you mean source?")),
    "a key inside a claim": (
        (RANKING, 'value = { arm = "elu", equals = 0.5, withn = 0.1 }'),
        ("claims[0].value.withn: unknown key", "did you mean within?"),
    ),
    "a range's key": (("low = 1e-4", "lo = 1e-4"), ("nuisance.optimizer.lr.lo: unknown key", "low")),
    "a component": (
        ("[nuisance]\noptimizer", "[nuisance]\noptimiser"),
        ("nuisance.optimiser: unknown component", "did you mean optimizer?"),
    ),
    "an argument that is held": (
        ("momentum", "momentun"),
        ("fixed.optimizer.momentun", "sgd has no argument 'momentun'", "did you mean momentum?"),
    ),
    "an argument that is tuned": (
        ("optimizer.weight_decay", "optimizer.weight_dacay"),
        ("nuisance.optimizer.weight_dacay", "did you mean weight_decay?"),
    ),
    "an argument without a table": (
        add("fixed", "augmentation.flp = true"),
        ("fixed.augmentation.flp", "did you mean flip?"),
    ),
    "the profiles": (("[profiles.", "[profile."), ("profile: unknown key", "did you mean profiles?")),
    # -- unknown names
    "an unknown data set": (
        ('"digits"', '"digit"'),
        ("fixed.dataset.name: unknown data set 'digit'", "digits?"),
    ),
    "an unknown selection": (
        ("train_size = 1000", 'train_size = 1000, selection = "hardest"'),
        ("fixed.dataset.selection", "'hard'", "'hardest'"),
    ),
    "an unknown class": (
        ("train_size = 1000", 'train_size = 100, classes = "3+x"'),
        ("fixed.dataset.classes", "no class is called 'x'", "join names by +"),
    ),
    "an unknown model": (('"all_cnn_c"', '"all_cnn"'), ("fixed.model.name: unknown model", "all_cnn_c")),
    "an unknown optimizer": (('"sgd"', '"sdg"'), ("fixed.optimizer.name: unknown optimizer 'sdg'", "sgd?")),
    "an unknown schedule": (
        add("fixed", 'schedule.name = "cosin"'),
        ("fixed.schedule.name: unknown schedule", "cosine?"),
    ),
    "an unknown loss": (
        add("fixed", 'loss.name = "crossentropy"'),
        ("fixed.loss.name: unknown loss 'crossentropy'", "did you mean cross_entropy"),
    ),
    "an unknown activation": (
        [('"elu"]\nmodel', '"selo"]\nmodel'), (CLAIM, "")],
        ("scientific.activation.name: unknown activation 'selo'", "selu"),
    ),
    "an unknown activation that a claim names": (
        ('"elu"]\nmodel', '"eluu"]\nmodel'),
        ("claims[0].ranking: no arm is called 'elu'", "did you mean", "eluu"),
    ),
    "an unknown sampler": (('"tpe"', '"tpee"'), ("search.sampler", "'cmaes'", "'tpee'", "did you mean tpe?")),
    "an unknown metric": (
        ('"val_accuracy"', '"val_acuracy"'),
        ("objective.metric", "'val_acuracy'", "did you mean val_accuracy or"),
    ),
    "a claim's unknown metric": (
        ('"test_accuracy"', '"test_acuracy"'),
        ("claims[0].metric: unknown metric 'test_acuracy'", "test_accuracy"),
    ),
    "an unknown direction": (
        ('"maximize"', '"maximise"'),
        ("objective.direction", "'minimize'", "'maximise'", "did you mean maximize"),
    ),
    # -- wrong types
    "a question that is a number": (
        (GOOD.splitlines()[0], "question = 3"),
        ("question: must be text, not 3",),
    ),
    "an empty question": ((GOOD.splitlines()[0], 'question = ""'), ("question", "at least 1 character")),
    "a number in quotes": (
        ("epochs = 2", 'epochs = "2"'),
        ("fixed.training.epochs: must be a whole number, not '2'",),
    ),
    "a fraction of an epoch": (("epochs = 2", "epochs = 2.5"), ("must be a whole number, not 2.5",)),
    "a switch for a number": (("epochs = 2", "epochs = true"), ("must be a whole number, not true",)),
    "a number for a switch": (
        ("width = 0.125", "width = 0.125, dropout = 1"),
        ("fixed.model.dropout: must be true or false, not 1",),
    ),
    "a word for a number": (
        ("width = 0.125", 'width = "wide"'),
        ("fixed.model.width", "a number, not 'wide'"),
    ),
    "a number for a name": (('name = "sgd"', "name = 1"), ("fixed.optimizer.name: unknown optimizer '1'",)),
    "a date": (("width = 0.125", "width = 2024-01-31"), ("fixed.model.width", "not 2024-01-31")),
    "a held list": (
        ("width = 0.125", "width = [0.1, 0.2]"),
        ("fixed.model.width: must be a single value", "0.1"),
    ),
    "a held range": (("width = 0.125", "width = { low = 0.1, high = 0.2 }"), ("single value", "[nuisance]")),
    "a tuned single value": (
        (LR, "optimizer.lr = 0.1"),
        ("nuisance.optimizer.lr: must be a range or a list to be tuned, not 0.1", "[fixed]"),
    ),
    "a compared single value": (
        ('["relu", "elu"]', '"relu"'),
        ("scientific.activation.name: must be a list", "not 'relu'"),
    ),
    "a compared range": (
        ('["relu", "elu"]', "{ low = 1, high = 2 }"),
        ("scientific.activation.name", "low = 1"),
    ),
    "a list in a list": ((LR, "optimizer.lr = [0.1, [0.2]]"), ("nuisance.optimizer.lr[1]", "[0.2]")),
    "a bound in quotes": (
        ("low = 1e-4", 'low = "1e-4"'),
        ("nuisance.optimizer.lr.low", "a number, not '1e-4'"),
    ),
    "a log that is a number": (
        ("log = true", "log = 1"),
        ("nuisance.optimizer.lr.log: must be true or false",),
    ),
    "a section that is a list": (("[search]", "[[search]]"), ("search: must be a table", "e.g. [search]")),
    "claims that are a table": (("[[claims]]", "[claims]"), ("claims: must be a list", "write [[claims]]")),
    "a component that is a number": (
        add("fixed", "schedule = 3"),
        ("fixed.schedule: must be a table, not 3", "e.g. schedule.name = ..."),
    ),
    "an underscore for a dot": (
        add("fixed", "training_epochs = 3"),
        ("fixed.training_epochs", "component.argument"),
    ),
    "a dotted key in quotes": (
        add("nuisance", '"optimizer.beta" = 3'),
        ('nuisance."optimizer.beta"', "without quotes"),
    ),
    "a whole range for a real number": (
        ("low = 1e-4, high = 1e-1", "low = 1, high = 10"),
        ("nuisance.optimizer.lr: is a real number", "not 1", "low = 1.0"),
    ),
    "a real range for a whole number": (
        add("nuisance", "augmentation.crop = { low = 1.0, high = 5.0 }"),
        ("nuisance.augmentation.crop: is a whole number", "not 1.0", "low = 1"),
    ),
    # -- ranges
    "an inverted range": (
        ("low = 1e-4, high = 1e-1", "low = 1e-1, high = 1e-4"),
        ("nuisance.optimizer.lr: low must not exceed high", "low = 0.1, high = 0.0001"),
    ),
    "a log range from 0": (("low = 1e-4", "low = 0.0"), ("low must be above 0 on a log range", "low = 0.0")),
    "a log range from below 0": (("low = 1e-4", "low = -1.0"), ("above 0 on a log range", "low = -1.0")),
    "a bound that is NaN": (
        ("low = 1e-4", "low = nan"),
        ("optimizer.lr.low: must be a finite number, not nan",),
    ),
    "an infinite bound": (
        ("high = 1e-1", "high = inf"),
        ("optimizer.lr.high: must be a finite number, not inf",),
    ),
    "a bound past every float": (("high = 1e-1", "high = 1e999"), ("optimizer.lr.high", "finite", "not inf")),
    "a whole number of 401 digits": (
        ("high = 1e-1", f"high = {HUGE}"),
        ("optimizer.lr.high: must be at most", "about 401 digits"),
    ),
    "a hexadecimal number of 5,000 digits": (
        ("high = 1e-1", f"high = 0x{'f' * 5000}"),
        ("optimizer.lr.high: must be at most", "about 6,021 digits"),
    ),
    "a decimal number of 5,000 digits": (
        ("high = 1e-1", f"high = {'9' * 5000}"),
        ("must be valid TOML", "4300 digits"),
    ),
    "a range with one end": (("low = 1e-4, high = 1e-1", "low = 1e-4"), ("optimizer.lr.high: is missing",)),
    "an empty list": (
        (LR, "optimizer.lr = []"),
        ("nuisance.optimizer.lr: must have at least 1 item, not []",),
    ),
    "a step of 0": (
        add("nuisance", "augmentation.crop = { low = 0, high = 8, step = 0 }"),
        ("nuisance.augmentation.crop.step: must be at least 1, not 0",),
    ),
    "a step past the end": (
        add("nuisance", "augmentation.crop = { low = 0, high = 8, step = 3 }"),
        ("nuisance.augmentation.crop: step must lead from low to high", "3 steps over high = 8"),
    ),
    "a step between real numbers": (
        ("high = 1e-1", "high = 1e-1, step = 2"),
        ("nuisance.optimizer.lr: step goes with a range of whole numbers",),
    ),
    "points between whole numbers": (
        add("nuisance", "augmentation.crop = { low = 0, high = 8, points = 3 }"),
        ("nuisance.augmentation.crop: points goes with a range of real numbers", "use step"),
    ),
    # -- values outside their domain
    "no width": (("width = 0.125", "width = 0"), ("fixed.model.width: must be above 0, not 0",)),
    "too much momentum": (
        ("momentum = 0.9", "momentum = 9"),
        ("fixed.optimizer.momentum: must be below 1, not 9",),
    ),
    "no epoch": (("epochs = 2", "epochs = 0"), ("fixed.training.epochs: must be at least 1, not 0",)),
    "an empty batch": (
        ("batch_size = 64", "batch_size = 0"),
        ("fixed.training.batch_size: must be at least 1",),
    ),
    "an unknown precision": (
        ("batch_size = 64", 'batch_size = 64, precision = "fp64"'),
        ("fixed.training.precision: must be 'auto', 'fp32', 'tf32' or 'bf16', not 'fp64'",),
    ),
    "a decay below 0": (
        (DECAY, "optimizer.weight_decay = { low = -1.0, high = 1.0 }"),
        ("nuisance.optimizer.weight_decay: must be at least 0, not -1.0",),
    ),
    "one bad choice of several": (
        (DECAY, "optimizer.weight_decay = [0.0, 0.1, -0.1]"),
        ("nuisance.optimizer.weight_decay: must be at least 0, not -0.1",),
    ),
    "a wide crop": (
        add("fixed", "augmentation.crop = 99"),
        ("fixed.augmentation.crop: must be at most 16, not 99",),
    ),
    "training images past the set": (
        ("train_size = 1000", "train_size = 5000"),
        ("fixed.dataset.train_size", "1437 images", "5000"),
    ),
    "validation images past the set": (
        ("train_size = 1000", "validation_size = 1437"),
        ("fixed.dataset.validation_size", "1437 images"),
    ),
    "no training image": (
        ("train_size = 1000", "train_size = 0"),
        ("fixed.dataset.train_size: must be at least 1",),
    ),
    "tuned training images past the set": (
        [(", train_size = 1000", ""), add("nuisance", "dataset.train_size = { low = 100, high = 1400 }")],
        ("nuisance.dataset.train_size", "1437 images", "1400"),
    ),
    "no trial": (
        ("trials_per_arm = 4", "trials_per_arm = 0"),
        ("search.trials_per_arm: must be at least 1, not 0",),
    ),
    "a negative seed": (add("search", "seed = -1"), ("search.seed: must be at least 0, not -1",)),
    "no processor": (
        ("cpus_per_trial = 1", "cpus_per_trial = 0"),
        ("resources.cpus_per_trial: must be at least 1",),
    ),
    "one and a half GPUs": (
        ("cpus_per_trial = 1", "gpus_per_trial = 1.5"),
        ("gpus_per_trial above 1 must be whole",),
    ),
    "a word for a number of GPUs": (
        ("cpus_per_trial = 1", 'gpus_per_trial = "atuo"'),
        ("resources.gpus_per_trial: must be 'auto', not 'atuo'", "did you mean auto?"),
    ),
    "less than no GPU": (
        ("cpus_per_trial = 1", "gpus_per_trial = -1"),
        ("resources.gpus_per_trial: must be at least 0, not -1",),
    ),
    "a label with a space": (
        ("cpus_per_trial = 1", "nodes = { team = 'two words' }"),
        ("resources.nodes.team: must be 1 to 63 letters, digits and ._-",),
    ),
    # -- what is missing
    "no question": ((GOOD.splitlines()[0], ""), ("question: is missing", 'e.g. question = "')),
    "no objective": ((f"[objective]\n{OBJECTIVE}", ""), ("objective: is missing", "e.g. [objective]")),
    "no metric": (
        ('metric = "val_accuracy"', ""),
        ("objective.metric: is missing", 'e.g. metric = "val_accuracy"'),
    ),
    "no direction": (('direction = "maximize"', ""), ("objective.direction: is missing", "maximize")),
    "no data set": (
        ('name = "digits", ', ""),
        ("fixed.dataset.name: is missing", "known: cifar10, cifar100, digits"),
    ),
    "no optimizer": (
        ('name = "sgd", ', ""),
        ("fixed.optimizer.name: is missing", "known: adadelta, adagrad, adam,"),
    ),
    "no learning rate": ((LR, ""), ("optimizer.lr: is missing", "[fixed] or [nuisance]")),
    "no epochs": (("epochs = 2, ", ""), ("training.epochs: is missing",)),
    "a schedule's argument alone": (
        add("fixed", "schedule.final = 0.1"),
        ("fixed.schedule.final: needs schedule.name",),
    ),
    # -- the objective
    "a test metric as objective": (
        ('"val_accuracy"', '"test_accuracy"'),
        ("objective.metric", "test split", "not 'test_accuracy'", "e.g. val_accuracy"),
    ),
    "a training metric as objective": (
        ('"val_accuracy"', '"train_eval_accuracy"'),
        ("objective.metric: must be a metric of the validation split", "train_eval_accuracy"),
    ),
    "a direction against the metric": (
        ('"maximize"', '"minimize"'),
        ("objective.direction: must be maximize for val_accuracy, not 'minimize'",),
    ),
    "a loss for numbers on a set of classes": (
        add("fixed", 'loss.name = "mse"'),
        ("loss (arm relu+bn): mse is for regression, and digits asks for classification", "cross_entropy"),
    ),
    "a metric of numbers on a set of classes": (
        [('"val_accuracy"', '"val_rmse"'), ('"maximize"', '"minimize"')],
        ("objective.metric: must be a metric of classification", "digits", "e.g. val_accuracy"),
    ),
    "a loss to be maximized": (
        ('"val_accuracy"', '"val_loss"'),
        ("objective.direction: must be minimize for val_loss",),
    ),
    "a loss that is compared, judged by the loss": (
        [(OBJECTIVE, LOSS), add("scientific", 'loss.name = ["cross_entropy"]'), (CLAIM, "")],
        ("objective.metric: must not depend on", "loss.name", "val_accuracy"),
    ),
    "a loss that is tuned, judged by the loss": (
        [(OBJECTIVE, LOSS), add("nuisance", 'loss.name = ["cross_entropy"]')],
        ("objective.metric: must not depend on", "loss.name", "not 'val_loss'", "val_accuracy"),
    ),
    "a loss that is tuned, claimed by the loss": (
        [('"test_accuracy"', '"test_loss"'), add("nuisance", 'loss.name = ["cross_entropy"]')],
        ("claims[0].metric: must not depend on", "loss.name", "test_accuracy"),
    ),
    # -- the same thing twice
    "a key fixed and tuned": (
        ("momentum = 0.9", "momentum = 0.9, lr = 0.1"),
        ("fixed.optimizer.lr: stands in [nuisance] too",),
    ),
    "a key compared and tuned": (
        add("nuisance", "model.batch_norm = [true, false]"),
        ("nuisance.model.batch_norm: stands in [scientific] too",),
    ),
    "a key twice": (add("search", 'sampler = "gp"'), ("must be valid TOML", "line", "given twice")),
    "a section twice": (("[search]", "[fixed]\n[search]"), ("must be valid TOML", "line", "given twice")),
    "a value twice": (
        ('["relu", "elu"]', '["relu", "relu"]'),
        ("scientific.activation.name: lists 'relu' twice",),
    ),
    "a number written in two ways": (
        (DECAY, "optimizer.weight_decay = [0, 0.0]"),
        ("nuisance.optimizer.weight_decay: lists 0.0 twice",),
    ),
    "an arm twice": (add("scientific", 'arms = ["relu", "relu"]'), ("arms: names 'relu' twice",)),
    "the arms at two places": (
        [("[objective]", 'arms = ["relu"]\n[objective]'), add("scientific", 'arms = ["relu"]')],
        ("arms: is given twice, at the top and under [scientific]",),
    ),
    # -- claims and arms
    "a claim that names no arm": (
        (RANKING, 'ranking = ["relu+bn", "ellu"]'),
        ("claims[0].ranking", "'ellu'", "elu"),
    ),
    "a difference to no arm": (
        (RANKING, 'difference = { arms = ["elu", "eluu"], at_least = 0.1 }'),
        ("claims[0].difference: no arm is called 'eluu'", "did you mean elu"),
    ),
    "a value of no arm": (
        (RANKING, 'value = { arm = "nope", at_least = 0.1 }'),
        ("claims[0].value: no arm is called 'nope'", "known: elu, elu+bn, relu, relu+bn"),
    ),
    "a ranking of one arm": (
        (RANKING, 'ranking = ["elu"]'),
        ("claims[0].ranking: must have at least 2 items",),
    ),
    "a ranking with an arm twice": (
        (RANKING, 'ranking = ["elu", "elu"]'),
        ("claims[0]: ranking names elu twice",),
    ),
    "a claim of no kind": ((RANKING, ""), ("claims[0]: needs exactly one of ranking", "it has none")),
    "a claim of two kinds": (
        (RANKING, f'{RANKING}\nvalue = {{ arm = "elu", at_least = 0.1 }}'),
        ("claims[0]: needs exactly one of", "it has ranking, value"),
    ),
    "a value without a tolerance": (
        (RANKING, 'value = { arm = "elu", equals = 0.5 }'),
        ("claims[0].value: equals and within go together",),
    ),
    "a claim by validation": (
        ('"test_accuracy"', '"val_accuracy"'),
        ("claims[0].metric", "e.g. test_accuracy"),
    ),
    "an unknown arm in arms": (
        add("scientific", 'arms = ["relu+bnn"]'),
        ("arms: no arm is called", "relu+bn"),
    ),
    "an unknown arm in exclude": (
        add("scientific", 'exclude = ["rel"]'),
        ("exclude: no arm is called 'rel'", "relu"),
    ),
    "an arm in arms and exclude": (
        add("scientific", 'arms = ["relu+bn", "elu"]\nexclude = ["elu"]'),
        ("arms: 'elu' is also in exclude",),
    ),
    "no arm left": (
        add("scientific", 'exclude = ["relu", "elu", "relu+bn", "elu+bn"]'),
        ("exclude: leaves no arm",),
    ),
    "no arm named": (add("scientific", "arms = []"), ("arms: must have at least 1 item",)),
    # -- conditions
    "a condition on an unknown key": (
        ("model.batch_norm=true", "model.batch_nrm=true"),
        ('conditional."model.batch_nrm=true"', "did you mean model.batch_norm"),
    ),
    "a condition that never holds": (
        ("model.batch_norm=true", "model.batch_norm=maybe"),
        ("model.batch_norm never has that value", "its values: true, false"),
    ),
    "a condition on a real number": (
        ('"model.batch_norm=true"', '"optimizer.weight_decay=0.001"'),
        ("optimizer.weight_decay is drawn from a range of real numbers", "0.001"),
    ),
    "a condition without a value": (
        ("model.batch_norm=true", "model.batch_norm"),
        ("conditional.'model.batch_norm'", "component.argument=value"),
    ),
    "a condition without quotes": (
        ('conditional."model.batch_norm=true"', "conditional.model.batch_norm"),
        ("conditional.'model'", "component.argument=value"),
    ),
    "a conditional typo": (
        (f"{WIDER_LR}\n", f"{WIDER_LR}\noptimizer.momentun = [0.5]\n"),
        ('conditional."model.batch_norm=true".optimizer.momentun', "did you mean momentum?"),
    ),
    "a conditional unknown component": (
        (f"{WIDER_LR}\n", "optimizr.lr = [0.5]\n"),
        ('conditional."model.batch_norm=true".optimizr: unknown component', "optimizer?"),
    ),
    "a compared key that is conditional": (
        (f"{WIDER_LR}\n", 'activation.name = ["relu"]\n'),
        ('conditional."model.batch_norm=true".activation.name: is compared',),
    ),
    "a key that decides and is conditional": (
        [
            (f"{WIDER_LR}\n", 'optimizer.name = ["sgd", "adam"]\n'),
            ("[fixed]\n", '[conditional."optimizer.name=adam"]\noptimizer.beta1 = 0.8\n[fixed]\n'),
        ],
        ('conditional."model.batch_norm=true".optimizer.name: decides a condition',),
    ),
    "an argument that only some trials have": (
        [
            (WIDER_LR, ""),
            (LR, 'model.dropout = [true, false]\n[conditional."model.dropout=true"]\noptimizer.lr = [0.1]\n'),
            (DECAY, ""),
        ],
        ("optimizer.lr: is missing",),
    ),
    "two conditions that disagree": (
        ("[fixed]\n", '[conditional."optimizer.name=sgd"]\noptimizer.lr = [0.1]\n[fixed]\n'),
        ('conditional."optimizer.name=sgd".optimizer.lr', "both can hold"),
    ),
    # -- contradictions
    "nesterov without momentum": (
        ("momentum = 0.9", "nesterov = true"),
        ("optimizer (arm relu+bn): nesterov needs momentum above 0",),
    ),
    "an argument of another optimizer": (
        ("momentum = 0.9", "momentum = 0.9, beta1 = 0.5"),
        ("fixed.optimizer.beta1: optimizer sgd has no argument 'beta1'", "known: dampening, lr, momentum"),
    ),
    "an argument of another activation": (
        add("fixed", "activation.alpha = 0.5"),
        ("fixed.activation.alpha: activation relu has no argument 'alpha'", "it takes none"),
    ),
    "pictures that are too small": (
        ("width = 0.125", "width = 0.125, pad7 = false"),
        (
            "model (arm relu+bn): all_cnn_c needs pictures of 9x9 pixels",
            "digits has 8x8",
            "model.pad7 = true",
        ),
    ),
    "a grid without points": (
        ('"tpe"', '"grid"'),
        ("nuisance.optimizer.lr: needs points for the grid sampler",),
    ),
    "more trials than the grid has points": (
        [('"tpe"', '"grid"'), (LR, "optimizer.lr = [0.1, 0.2, 0.3]"), (DECAY, ""), (WIDER_LR, "")],
        ("search.trials_per_arm: must not exceed the 3 points of the grid", "not 4", "set it to 3"),
    ),
    "a grid of a million points": (
        [
            ('"tpe"', '"grid"'),
            (LR, LR.replace("true", "true, points = 1000")),
            (DECAY, DECAY.replace("true", "true, points = 1000")),
            (WIDER_LR, ""),
        ],
        ("search.sampler: a grid has at most 100,000 points", "1000000"),
    ),
    "a grid of every whole number": (
        [
            ('"tpe"', '"grid"'),
            ("epochs = 2, ", ""),
            (LR, "training.epochs = { low = 1, high = 9_000_000_000_000_000 }"),
            (DECAY, "optimizer.lr = [0.1]"),
            (WIDER_LR, ""),
        ],
        ("search.sampler: a grid has at most 100,000 points",),
    ),
    "a condition in a grid": (
        [
            ('"tpe"', '"grid"'),
            (LR, "optimizer.lr = [0.1]\nmodel.dropout = [true, false]"),
            (DECAY, '[conditional."model.dropout=true"]\noptimizer.weight_decay = [0.1]'),
            (WIDER_LR, ""),
        ],
        ('conditional."model.dropout=true".optimizer.weight_decay: cannot be in a grid',),
    ),
    "cmaes with one range": (
        [('"tpe"', '"cmaes"'), (DECAY, "optimizer.weight_decay = [0.0, 0.1]")],
        ("search.sampler: cmaes needs at least two tuned ranges", "has 1", "e.g. tpe"),
    ),
    "bisection of two numbers": (
        ('"tpe"', '"bisect"'),
        (
            "search.sampler: bisect needs optimizer.lr, and only that",
            "arm relu+bn",
            "e.g. nuisance.optimizer.lr",
        ),
    ),
    "a grace as long as the training": (
        ('"tpe"', '"tpe"\nearly_stopping = "asha"\ngrace_epochs = 50'),
        ("search.grace_epochs: must be below training.epochs", "or nothing is ever stopped"),
    ),
    "bisection with early stopping": (
        [('"tpe"', '"bisect"\nearly_stopping = "asha"'), (DECAY, "")],
        ("search.early_stopping: must be none with bisect", "not 'asha'"),
    ),
    "many trials of nothing": (
        [(LR, ""), (DECAY, ""), (WIDER_LR, ""), ("momentum = 0.9", "lr = 0.1")],
        ("search.trials_per_arm: must be 1 where nothing is tuned", "not 4", "or set it to 1"),
    ),
    "two data sets": (
        [('name = "digits", ', ""), add("scientific", 'dataset.name = ["digits", "cifar10"]'), (CLAIM, "")],
        ("scientific.dataset.name: must be held", "[fixed]"),
    ),
    "too many arms": (
        [
            (CLAIM, ""),
            add(
                "scientific",
                f"augmentation.crop = {list(range(17))}\noptimizer.dampening = {[i / 20 for i in range(20)]}",
            ),
        ],
        ("scientific: makes 1360 arms, at most 1000",),
    ),
    "too many values": (
        (LR, f"optimizer.lr = {[1e-3 + i * 1e-6 for i in range(1001)]}"),
        ("nuisance.optimizer.lr: must have at most 1000 items",),
    ),
    "an arm's name that is a path": (
        [('"elu"]\nmodel', '"../../etc"]\nmodel'), (CLAIM, "")],
        ("scientific: makes an arm called '../../etc+bn'", "letters, digits and ._+-"),
    ),
    "an arm's name with a terminal's escapes": (
        [('"elu"]\nmodel', '"\\u001b[31m"]\nmodel'), (CLAIM, "")],
        ("scientific: makes an arm called", "letters, digits and ._+-"),
    ),
    "a tuned validation split": (
        add("nuisance", "dataset.validation_size = { low = 100, high = 200 }"),
        ("nuisance.dataset.validation_size: must be held",),
    ),
    # -- the file
    "a name": (
        ("question =", 'name = "x"\nquestion ='),
        ("name: a study is named by its file", "'x'", "remove"),
    ),
    "no value": (("question =", "question = ="), ("must be valid TOML: Invalid value (at line 1",)),
    "an open bracket": (("[fixed]", "[fixed"), ("must be valid TOML", "line 18")),
    "lists in lists in lists": (
        ("question =", f"a = {'[' * 5000}{']' * 5000}\nquestion ="),
        ("must not be nested deeper than",),
    ),
    "tables in tables in tables": (
        ("question =", f"a{'.a' * 30} = 1\nquestion ="),
        ("must not be nested deeper than",),
    ),
    "a key of 10,000 parts": (("question =", f"a{'.a' * 10_000} = 1\nquestion ="), ("keys of 64 parts",)),
    "a held value of many tables": (
        ("width = 0.125", f"width{'.a' * 40} = 1"),
        ("must not be nested deeper than",),
    ),
    "an invisible key": (
        ("question =", '"\\u202e\\u0000" = 1\nquestion ='),
        ('"\\u202e\\u0000": unknown key',),
    ),
    "a key in another script": (("question =", '"ключ" = 1\nquestion ='), ('"ключ": unknown key',)),
    "an empty key": (add("nuisance", '"".x = [1.0]'), ('nuisance."": unknown component', "optimizer")),
    "a key of Python's": (
        ("width = 0.125", "width = 0.125, __class__ = 1"),
        ("fixed.model.__class__: model all_cnn_c has no argument '__class__'",),
    ),
    "an argument of no name": (
        ("width = 0.125", 'width = 0.125, "" = 1'),
        ("fixed.model.\"\": model all_cnn_c has no argument ''", "known: batch_norm"),
    ),
    "a very long key": (("question =", f"{'k' * 100_000} = 1\nquestion ="), ("unknown key",)),
    "a long text": (
        ('"elu"]\nmodel', f'"{"x" * 300}"]\nmodel'),
        ("activation.name[1]: must have at most 200",),
    ),
    "profiles that are no tables": (
        (f"[profiles.small]\n{SMALL}", "[profiles]\nsmall = 3"),
        ("profiles: must be tables", "small = 3"),
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_study_file_is_refused_in_one_line(what: str, study: Command, folder: Path) -> None:
    changes, words = BAD[what]
    text = changed(*(changes if isinstance(changes, list) else [changes]))
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    assert_one_line(study("check", "./mine.toml"), "study: mine.toml", *words)
    assert [path.name for path in folder.iterdir()] == ["mine.toml"], "nothing was made"


@pytest.mark.parametrize("command", ["show", "check", "plan", "run", "trial"])
def test_every_command_refuses_a_bad_study_file(command: str, study: Command, folder: Path) -> None:
    (folder / "mine.toml").write_text(changed(("momentum = 0.9", "momentum = true, momentun = 1")), "utf-8")
    if command != "show":
        assert_one_line(study(command, "./mine.toml"), "mine.toml: fixed.optimizer.moment")
    (folder / "mine.toml").write_text(changed(("[search]", "[serach]")), "utf-8")
    assert_one_line(study(command, "./mine.toml"), "mine.toml: serach: unknown key")
    assert [path.name for path in folder.iterdir()] == ["mine.toml"], "nothing was made"


BAD_PROFILES = {
    "a section": ((SMALL, "fixd.training.epochs = 1"), ("fixd: unknown key", "did you mean fixed?")),
    "a component": ((SMALL, "fixed.trainin.epochs = 1"), ("fixed.trainin: unknown component", "training?")),
    "an argument": ((SMALL, "fixed.training.epoch = 1"), ("fixed.training.epoch", "did you mean epochs?")),
    "a value": ((SMALL, "fixed.training.epochs = 0"), ("fixed.training.epochs: must be at least 1, not 0",)),
    "a number for a table": ((SMALL, "fixed.training = 1"), ("fixed.training: must be a table, not 1",)),
    "a number for a section": ((SMALL, "fixed = 1"), ("fixed: must be a table, not 1",)),
    "a name": ((SMALL, 'name = "x"'), ("name: a study is named by its file",)),
    "a profile in a profile": ((SMALL, "profiles.x = {}"), ("profiles: a profile cannot hold",)),
    "an arm that is gone": ((SMALL, 'scientific.activation.name = ["relu"]'), ("no arm is called 'elu'",)),
}


@pytest.mark.parametrize("what", BAD_PROFILES)
def test_a_bad_profile_is_refused_by_its_name(what: str, study: Command, folder: Path) -> None:
    change, words = BAD_PROFILES[what]
    (folder / "mine.toml").write_text(changed(change), encoding="utf-8")
    assert_one_line(study("check", "./mine.toml"), "mine.toml (profile small): ", *words)


def test_an_unknown_profile_is_answered_with_the_nearest(study: Command) -> None:
    assert_one_line(study("check", "./mine.toml", "--profile", "smal"), "mine.toml", "'smal'", "small?")


def test_a_profile_of_a_file_without_profiles_is_refused(study: Command, folder: Path) -> None:
    (folder / "mine.toml").write_text(GOOD[: GOOD.index("[profiles")], encoding="utf-8")
    assert_one_line(study("check", "./mine.toml", "--profile", "small"), "'small'", "the file has none")


BAD_OVERRIDES = {
    "model.width=1": ("--set model.width=1: must start with a section", "fixed.model.width=1"),
    "width=1": ("--set width=1: must read section.key=value", "e.g. fixed.model.width=0.5"),
    "fixed.model.width": ("must read section.key=value",),
    "fixed..width=1": ("must read section.key=value",),
    "=": ("must read section.key=value",),
    "": ("must read section.key=value",),
    "a b.c=1": ("must read section.key=value",),
    "search.seed=1\nsearch.seed=2": ("must read section.key=value",),
    "fixed.model.widht=1": (
        "mine.toml (--set fixed.model.widht=1): fixed.model.widht",
        "did you mean width?",
    ),
    "fixd.model.width=1": ("fixd: unknown key", "did you mean fixed?"),
    "fixed.model=1": ("fixed.model: must be a table, not 1",),
    "fixed.model.width=": ("fixed.model.width: must be a number, not ''",),
    "fixed.model.width=wide": ("fixed.model.width: must be a number, not 'wide'",),
    "fixed.model.width=0": ("fixed.model.width: must be above 0, not 0",),
    "search.trials=1": ("search.trials: unknown key", "did you mean trials_per_arm?"),
    "search.sampler=[": ("search.sampler", "not '['"),
    "search.seed=x": ("search.seed: must be a whole number, not 'x'",),
    "name.x=1": ("name: a study is named by its file",),
    "profiles.small.x=1": ("profiles: a profile cannot hold or change profiles",),
    f"fixed.model.width={HUGE}": ("fixed.model.width: must be at most", "digits"),
    f"fixed.model.width{'.a' * 100}=1": ("keys of 64 parts",),
}


@pytest.mark.parametrize("override", BAD_OVERRIDES, ids=lambda text: repr(text[:30]))
def test_a_bad_override_is_refused_in_one_line(override: str, study: Command) -> None:
    assert_one_line(study("check", "./mine.toml", "--set", override), *BAD_OVERRIDES[override])


def test_a_study_that_is_not_there_is_answered_with_the_nearest(study: Command) -> None:
    assert_one_line(
        study("check", "cifar10-act"), "'cifar10-act'", "did you mean cifar10-acts", "./mine.toml"
    )


@pytest.mark.parametrize("path", ["./nope.toml", "nope/mine.toml", "./", f"{'x' * 300}.toml", "mine.toml/x"])
def test_a_path_where_no_file_is_is_refused(path: str, study: Command) -> None:
    assert_one_line(study("check", path), path[:20], "there is no such study file")


def test_a_study_file_that_is_too_large_is_refused(study: Command, folder: Path) -> None:
    (folder / "mine.toml").write_text(GOOD + "#" * 1_000_000, encoding="utf-8")
    assert_one_line(study("check", "./mine.toml"), "mine.toml: must be at most 1,000,000 bytes")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80\x04\x95", GOOD.encode("utf-16")])
def test_a_study_file_that_is_not_text_is_refused(content: bytes, study: Command, folder: Path) -> None:
    (folder / "mine.toml").write_bytes(content)
    assert_one_line(study("check", "./mine.toml"), "mine.toml: must be UTF-8 text; byte 0 is not")


@pytest.mark.parametrize(
    "name", ["..toml", "...toml", ".toml", "a b.toml", "a\nb.toml", "-x.toml", "ü.toml", f"{'x' * 65}.toml"]
)
def test_a_study_file_whose_name_is_no_name_is_refused(name: str, study: Command, folder: Path) -> None:
    (folder / name).write_text(GOOD, encoding="utf-8")
    assert_one_line(study("check", f"./{name}"), "a study's name has 1 to 64", "rename the file")


@pytest.mark.parametrize(
    "name",
    ["../x", "..", ".", "a/b", "x" * 65, "*", "a b", "mine\n", "\x1b[31m", "nope", "nope@123", "@", ""],
)
def test_a_record_that_is_not_there_is_refused(name: str, study: Command) -> None:
    assert_one_line(study("status", name), "study")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], ("there is no command 'chek'", "did you mean check", "study --help")),
        (["zzz"], ("there is no command 'zzz'", "known: ", "check, clean")),
        (["--nope"], ("'--nope'", "study --help")),
        (["check"], ("NAME|FILE", "study check --help")),
        (["check", "a", "b"], ("(b)", "study check --help")),
        (["check", "a", "--profil", "x"], ("'--profil'", "'--profile'", "study check --help")),
        (["plan", "a", "--max-concurrent", "0"], ("--max-concurrent", "0 is not in the range")),
        (["run", "a", "--max-concurrent", "two"], ("--max-concurrent", "'two' is not a valid integer")),
        (["run", "a", "--seed", "-1"], ("--seed", "-1 is not in the range")),
        (["run", "a", "--seed", "4294967296"], ("--seed", "4294967296 is not in the range")),
        (["run", "a", "--time-budget", "5x"], ("--time-budget", "'5x'", "such as 90s, 30m or 2h")),
        (["run", "a", "--time-budget", "0"], ("--time-budget", "above 0")),
        (["status", "--out", "./mine.toml"], ("--out", "is a file")),
        (["schema", "--to", "./nowhere/schema.json"], ("nowhere/schema.json: cannot be written", "--to")),
        (["schema", "--to", "."], ("--to", "is a directory")),
        (["trial", "./mine.toml", "--threads", "0"], ("--threads", "0 is not in the range")),
        (["trial", "./mine.toml", "--seed", "x"], ("--seed", "'x' is not a valid integer")),
        (["trial", "./mine.toml", "--device", "tpu"], ("device: must be cpu, cuda or cuda:N, not 'tpu'",)),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_bad_argument_is_refused_in_one_line(
    arguments: list[str], words: tuple[str, ...], study: Command
) -> None:
    assert_one_line(study(*arguments), *words)


def test_a_study_whose_data_is_not_there_says_how_to_get_it(study: Command, folder: Path) -> None:
    said = study("trial", "cifar10-acts", "--data-dir", folder / "empty")
    assert_one_line(said, "cifar10", "empty", "study data fetch cifar10", "--data-dir", "STUDY_DATA_DIR")


@pytest.mark.parametrize("where", ["before", "after"])
def test_debug_shows_the_traceback(where: str, study: Command) -> None:
    words = ["check", "nope"]
    said = study("--debug", *words) if where == "before" else study(*words, "--debug")
    assert said.code == 2
    assert said.err.startswith("Traceback")
    assert "UnknownName" in said.err
    assert said.err.splitlines()[-1].startswith("study: no bundled study is called 'nope'")
