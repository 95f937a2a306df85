"""A study against the tables: what is right passes, in every arm, quickly, and without any data."""

from __future__ import annotations

import math
import time

import pytest

from study.arguments import argument_types, required_arguments
from study.arm_checks import MAX_COMBINATIONS
from study.check import check, worst_value
from study.components.activations import ACTIVATIONS
from study.components.datasets import DATASETS
from study.components.metrics import of_task
from study.components.models import MODELS
from study.components.optimizers import OPTIMIZERS, Need
from study.components.schedules import SCHEDULES
from study.errors import StudyFileError
from study.space import Scalar
from study.spec import SAMPLERS
from tests.good_study import CLAIM, DECAY, LR, WIDER_LR, changed, spec_of, spec_with

# They need nothing of the rest of the trial.
ANYWHERE = sorted(name for name, each in OPTIMIZERS.items() if not each.needs)


def test_a_good_study_is_right() -> None:
    check(spec_of())


@pytest.mark.parametrize(
    ("section", "argument", "name"),
    [
        *(("activation", "name", name) for name in ACTIVATIONS),
        *(("schedule", "name", name) for name in SCHEDULES),
        *(("dataset", "name", name) for name, info in DATASETS.items() if len(info.shape) == 3),
    ],
)
def test_every_entry_of_every_table_can_be_named(section: str, argument: str, name: str) -> None:
    check(spec_of(changed((CLAIM, "")), f'fixed.{section}.{argument}="{name}"'))


@pytest.mark.parametrize("name", [name for name, info in DATASETS.items() if len(info.shape) != 3])
def test_every_set_of_vectors_can_be_named(name: str) -> None:
    classes = DATASETS[name].task == "classification"
    changes = [
        (CLAIM, ""),
        ('name = "all_cnn_c", width = 0.125', 'name = "mlp", width = 8'),
        ('name = "digits"', f'name = "{name}"' + (', path = "mine.npz"' if DATASETS[name].load_file else "")),
    ]
    judge = [('"val_accuracy"', '"val_rmse"'), ('"maximize"', '"minimize"')]
    check(spec_with(*changes, *([] if classes else judge)))


# What the good study must have for an optimizer that its table entry says to need it.
GIVEN: dict[Need, tuple[tuple[str, str], ...]] = {
    "full_batch": (("batch_size = 64", 'batch_size = "full"'),),
    "steady_loss": (
        ("model.batch_norm = [true, false]", ""),
        (f'[conditional."model.batch_norm=true"]\n{WIDER_LR}', ""),
        (CLAIM, ""),
        ("epochs = 2", 'epochs = 2, precision = "fp32"'),
    ),
    "steps_to_average": (("epochs = 2", "epochs = 10"),),
}


@pytest.mark.parametrize(
    "name", [name for name, each in OPTIMIZERS.items() if "sparse_gradients" not in each.needs]
)
def test_every_optimizer_can_be_named(name: str) -> None:
    given = [change for need in OPTIMIZERS[name].needs for change in GIVEN.get(need, ())]
    decay = [] if "weight_decay" in argument_types(OPTIMIZERS[name].build) else [(DECAY, "")]
    check(spec_with(('name = "sgd", momentum = 0.9', f'name = "{name}"'), *decay, *given))


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not model.vectors])
def test_every_convolutional_model_can_be_named(name: str) -> None:
    check(spec_of(changed((CLAIM, "")), f'fixed.model.name="{name}"'))


@pytest.mark.parametrize("depth", ["21", "[8, 21]"])
def test_a_depth_that_no_residual_network_has_is_refused(depth: str) -> None:
    section = "scientific" if "[" in depth else "fixed"
    with pytest.raises(StudyFileError, match=r"model.depth: must be 6n \+ 2, such as 8, 14, 20.* 21"):
        check(spec_of(changed((CLAIM, "")), 'fixed.model.name="resnet"', f"{section}.model.depth={depth}"))


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("grid", "bisect")])
def test_every_sampler_can_be_named(sampler: str) -> None:
    check(spec_with(('"tpe"', f'"{sampler}"')))


def test_a_grid_is_right_where_every_range_says_how_many_points() -> None:
    grid = changed(
        ('"tpe"', '"grid"'),
        (LR, LR.replace("true", "true, points = 4")),
        (DECAY, "optimizer.weight_decay = [0.0, 1e-4]"),
        (WIDER_LR, WIDER_LR.replace("true", "true, points = 4")),
        ("trials_per_arm = 4", "trials_per_arm = 8"),
    )
    check(spec_of(grid))
    with pytest.raises(StudyFileError, match="must not exceed the 8 points of the grid"):
        check(spec_of(grid, "search.trials_per_arm=9"))


def test_nothing_to_tune_is_right_with_one_trial() -> None:
    check(
        spec_of(
            changed((LR, ""), (DECAY, ""), (WIDER_LR, ""), ("momentum", "lr = 0.1, momentum")),
            "search.trials_per_arm=1",
        )
    )


def test_a_mistake_in_the_last_arm_is_found() -> None:
    with pytest.raises(StudyFileError, match=r"^mine\.toml: optimizer \(arm elu\+nesterov\): nesterov needs"):
        check(
            spec_with(
                ("model.batch_norm = [true, false]", "optimizer.nesterov = [false, true]"),
                ("momentum = 0.9", "momentum = 0.0"),
                ("[scientific]\n", '[scientific]\narms = ["relu", "elu", "elu+nesterov"]\n'),
                (f'[conditional."model.batch_norm=true"]\n{WIDER_LR}', ""),
                (CLAIM, ""),
            )
        )


def test_a_mistake_at_the_far_end_of_a_range_is_found() -> None:
    with pytest.raises(StudyFileError, match=r"nuisance\.optimizer\.momentum: must be below 1, not 1\.5"):
        check(
            spec_with(
                ("momentum = 0.9", "dampening = 0.0"),
                (DECAY, "optimizer.momentum = { low = 0.0, high = 1.5 }"),
            )
        )


def test_a_mistake_under_a_condition_of_the_trial_is_found() -> None:
    conditional = '[conditional."optimizer.name=adam"]\noptimizer.momentum = [0.5]'
    joint = changed(
        (DECAY, f'optimizer.name = ["sgd", "adam"]\n{conditional}'),
        ('name = "sgd", momentum = 0.9', "weight_decay = 0.0"),
    )
    place = r'conditional\."optimizer\.name=adam"\.optimizer\.momentum: optimizer adam has no argument'
    with pytest.raises(StudyFileError, match=place):
        check(spec_of(joint))


def test_a_combination_that_a_trial_could_draw_is_found() -> None:
    drawn = changed(
        ("momentum = 0.9", "nesterov = true"), (DECAY, "optimizer.momentum = { low = 0.0, high = 0.9 }")
    )
    with pytest.raises(StudyFileError, match="nesterov needs momentum above 0"):
        check(spec_of(drawn))


def test_a_switch_is_not_mistaken_for_the_number_one() -> None:
    with pytest.raises(StudyFileError, match=r"scientific\.model\.batch_norm: must be true or false, not 1"):
        check(spec_with(("[true, false]", "[true, 1]"), (CLAIM, "")))


def test_a_line_names_the_place_it_is_given() -> None:
    with pytest.raises(StudyFileError, match=r"^mine\.toml \(profile small\): fixed\.model\.width: "):
        check(spec_with(("width = 0.125", "width = 0.0")), "mine.toml (profile small)")


@pytest.mark.parametrize(
    ("change", "examples"),
    [
        (("batch_size = 64", "batch_size = 1001"), "1,000"),
        (("train_size = 1000", "train_size = 63"), "63"),
        (("train_size = 1000", "validation_size = 1400"), "37"),  # 1,437 digits to train with
    ],
)
def test_a_batch_larger_than_the_training_set_is_refused(change: tuple[str, str], examples: str) -> None:
    rule = rf"must not exceed the {examples} training examples \(arm relu\+bn\), not \d+; lower it, or set it"
    with pytest.raises(StudyFileError, match=rf"fixed\.training\.batch_size: {rule} to \"full\"$"):
        check(spec_with(change))


@pytest.mark.parametrize(
    "size",
    [
        ("batch_size = 64", "batch_size = 1000"),
        ("batch_size = 64", 'batch_size = "full"'),
        (", batch_size = 64", ""),
    ],
    ids=["as large", "full", "the default"],
)
def test_a_batch_may_be_the_whole_training_set(size: tuple[str, str]) -> None:
    check(spec_with(size))
    check(spec_with((", batch_size = 64", ""), ("train_size = 1000", "train_size = 100")))


@pytest.mark.parametrize(
    ("key", "values"), [("dataset.classes", "[2, 3]"), ("dataset.validation_size", "[100, 200]")]
)
def test_what_trials_are_judged_on_is_held(key: str, values: str) -> None:
    varied = changed((CLAIM, ""), ("train_size = 1000", "train_size = 100"), (LR, f"{LR}\n{key} = {values}"))
    with pytest.raises(StudyFileError, match=rf"nuisance\.{key}: must be held: .*; put it under \[fixed\]"):
        check(spec_of(varied))


def test_selecting_all_images_is_no_selection() -> None:
    whole = ("train_size = 1000 }", 'selection = "hard" }')
    with pytest.raises(StudyFileError, match=r"fixed\.dataset\.selection: selects nothing where all images"):
        check(spec_with(whole))


def test_images_are_counted_in_the_classes_that_are_left() -> None:
    with pytest.raises(StudyFileError, match="digits's training set of 2 classes: it has 287 images"):
        check(spec_of(changed((CLAIM, "")), "fixed.dataset.classes=2"))


def test_selections_and_noise_are_compared_by_name() -> None:
    spec = spec_with(
        (
            "model.batch_norm = [true, false]",
            'dataset.selection = ["hard", "random"]\ndataset.label_noise = [0.0, 0.2]',
        ),
        (f'[conditional."model.batch_norm=true"]\n{WIDER_LR}', ""),
        (CLAIM, ""),
    )
    check(spec)
    assert "elu+hard+noise0.2" in [arm.name for arm in spec.arms()]


def test_no_data_is_needed() -> None:
    check(spec_of(changed((CLAIM, "")), "fixed.dataset.name=cifar10", "fixed.dataset.train_size=45000"))


def test_a_thousand_arms_are_checked_in_seconds() -> None:
    many = spec_with(
        (CLAIM, ""),
        ('["relu", "elu"]', str(sorted(set(ACTIVATIONS) - {"crelu", "selu"}))),
        ("[scientific]\n", f"[scientific]\ntraining.batch_size = {list(range(1, 63))}\n"),
        (", batch_size = 64", ""),
        (
            DECAY,
            f"optimizer.weight_decay = {{ low = 0.0, high = 0.1 }}\noptimizer.name = {ANYWHERE}",
        ),
        ('name = "sgd", momentum = 0.9', ""),
    )
    assert len(many.arms()) == 992
    began = time.process_time()
    check(many)
    assert time.process_time() - began < 20, "seconds of processor time"


def test_a_space_of_a_million_combinations_is_checked_in_seconds() -> None:
    choices = [round(0.0001 * step, 4) for step in range(1, 1001)]
    wide = spec_with(
        (LR, f"optimizer.lr = {choices}"),
        (DECAY, f"optimizer.weight_decay = {choices}\noptimizer.dampening = {choices}"),
    )
    assert len(choices) ** 3 > MAX_COMBINATIONS
    began = time.process_time()
    check(wide)
    assert time.process_time() - began < 10, "seconds of processor time"


@pytest.mark.parametrize(
    ("metric", "classes", "value"),
    [
        ("val_accuracy", 10, 0.1),
        ("val_error", 10, 0.9),
        ("val_loss", 10, math.log(10)),
        ("val_accuracy", 100, 0.01),
    ],
)
def test_a_trial_that_learned_nothing_scores_as_the_best_constant(
    metric: str, classes: int, value: float
) -> None:
    assert worst_value(metric, range(classes)) == pytest.approx(value)


def test_the_worst_is_finite_for_every_metric_of_classes() -> None:
    for name in of_task("classification"):
        worst = worst_value(f"val_{name}", range(10))
        assert worst is not None
        assert math.isfinite(worst)


def build(positional: int, *, rate: float, switch: bool = False, **rest: Scalar) -> None:
    """Stands for an entry of a table."""


def test_hyperparameters_are_the_keyword_only_parameters() -> None:
    assert set(argument_types(build)) == {"rate", "switch"}
    assert required_arguments(build) == {"rate"}


LAYERWISE_CLAIM = CLAIM.replace("test_accuracy", "end_bias_shift")


def test_a_claim_about_layers_is_right_where_every_replicate_measures_them() -> None:
    check(spec_of(changed((CLAIM, LAYERWISE_CLAIM)), "fixed.training.layerwise=3"))


@pytest.mark.parametrize("overrides", [[], ["fixed.training.layerwise=2"]])
def test_a_claim_about_layers_that_are_not_measured_is_refused(overrides: list[str]) -> None:
    with pytest.raises(StudyFileError, match=r"metric: needs training.layerwise to be at least .* 3"):
        check(spec_of(changed((CLAIM, LAYERWISE_CLAIM)), *overrides))


# -- trends -------------------------------------------------------------------------------------------

TREND = CLAIM.replace(
    'ranking = ["relu+bn", "elu"]', 'trend = { of = "OF", along = "ALONG", direction = "increasing" }'
)
WIDTHS = ("model.batch_norm = [true, false]", "dataset.train_size = [100, 200]\nmodel.width = [0.125, 0.25]")


def with_trend(of: str, along: str) -> str:
    text = changed(WIDTHS, (CLAIM, TREND.replace("OF", of).replace("ALONG", along)))
    text = text.replace(", train_size = 1000", "").replace(", width = 0.125", "")
    start = text.index("[conditional.")
    return text[:start] + text[text.index("[fixed]") :]


@pytest.mark.parametrize(
    ("of", "along"),
    [
        ("test_accuracy", "dataset.train_size"),
        ("model.width", "dataset.train_size"),
        ("test_accuracy", "model.width"),
    ],
)
def test_a_trend_runs_along_what_is_compared(of: str, along: str) -> None:
    check(spec_of(with_trend(of, along)))


@pytest.mark.parametrize(
    ("of", "along", "place"),
    [
        ("test_accuracy", "optimizer.lr", "along"),
        ("test_accuracy", "activation.name", "along"),
        ("test_loss", "model.width", "of"),
        ("optimizer.lr", "model.width", "of"),
        ("model.width", "model.width", "of"),
    ],
)
def test_a_trend_of_or_along_anything_else_is_refused(of: str, along: str, place: str) -> None:
    with pytest.raises(StudyFileError, match=rf"claims\[0\].trend.{place}"):
        check(spec_of(with_trend(of, along)))
