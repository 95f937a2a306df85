"""`study trial`: one trial in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study.space import Categorical, Distribution, Float, Int, Scalar
from study.typical import example, middle
from tests.cli.conftest import Command, assert_one_line
from tests.good_study import spec_of

QUICK = (
    *("--set", "fixed.dataset.train_size=64", "--set", "dataset.validation_size=40"),
    *("--set", "model.width=0.0625", "--set", "training.epochs=1"),
)


def train(study: Command, *arguments: str) -> dict[str, Any]:
    said = study("trial", "./mine.toml", *QUICK, *arguments, "--json")
    assert (said.code, said.err) == (0, "")
    result: dict[str, Any] = json.loads(said.out)
    return result


def test_a_trial_is_of_the_first_arm_with_the_middle_of_what_is_tuned(study: Command) -> None:
    result = train(study)
    values = result["config"]["hyperparameters"]
    assert result["config"]["arm"] == "relu+bn"
    assert result["verdict"]["status"] == "ok"
    assert values["optimizer.lr"] == pytest.approx(1e-2)
    assert values["optimizer.weight_decay"] == pytest.approx(1e-4)
    assert values["model.width"] == 0.0625
    assert len(result["curve"]) == 1


def test_what_is_compared_picks_the_arm(study: Command) -> None:
    result = train(study, "--set", "activation.name=elu", "--set", "model.batch_norm=false")
    assert result["config"]["arm"] == "elu"
    assert result["config"]["hyperparameters"]["model.batch_norm"] is False


def test_what_is_tuned_can_be_set_in_every_arm(study: Command) -> None:
    """Of an arm with batch norm the file's condition tunes the learning rate, which must not win."""
    for arm in ("true", "false"):
        result = train(study, "--set", f"model.batch_norm={arm}", "--set", "optimizer.lr=0.03")
        assert result["config"]["hyperparameters"]["optimizer.lr"] == 0.03


def test_all_that_is_tuned_can_be_set(study: Command) -> None:
    result = train(study, "--set", "optimizer.lr=0.03", "--set", "optimizer.weight_decay=0.0")
    assert result["config"]["hyperparameters"]["optimizer.weight_decay"] == 0.0


def test_a_bare_key_and_one_with_its_section_are_the_same(study: Command) -> None:
    bare = train(study, "--set", "optimizer.momentum=0.5")
    full = train(study, "--set", "fixed.optimizer.momentum=0.5")
    assert bare["config"] == full["config"]
    assert bare["metrics"] == full["metrics"]


def test_an_argument_of_one_arm_alone_can_be_set(study: Command) -> None:
    result = train(study, "--set", "activation.name=elu", "--set", "activation.alpha=0.5")
    assert result["config"]["hyperparameters"]["activation.alpha"] == 0.5


def test_a_trial_that_diverges_is_a_result(study: Command) -> None:
    result = train(study, "--set", "model.batch_norm=false", "--set", "optimizer.lr=1e30")
    assert result["verdict"]["status"] == "diverged"
    assert result["error"] is None


def test_the_test_split_is_scored_when_asked_for(study: Command) -> None:
    assert "test_accuracy" in train(study, "--test")["metrics"]
    assert "test_accuracy" not in train(study)["metrics"]


def test_the_seed_decides_the_numbers(study: Command) -> None:
    first, again, other = (train(study, "--seed", seed)["metrics"] for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_a_trial_is_readable(study: Command) -> None:
    lines = study("trial", "./mine.toml", *QUICK).out.splitlines()
    assert lines[0].startswith("relu+bn/tune/0  ")
    assert "model.batch_norm=true" in lines[0].split()
    assert lines[1].split()[:2] == ["epoch", "train_loss"]
    assert lines[2].split()[0] == "1"
    assert lines[3] == "ok"
    assert "val_accuracy" in lines[4]
    assert "gradient evaluations" in lines[5]


def test_a_trial_makes_no_folder(study: Command, folder: Path) -> None:
    study("trial", "./mine.toml", *QUICK)
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("activation.name=tanh", ("--set activation.name: is compared", "'tanh'", "known: 'relu', 'elu'")),
        ("model.batch_norm=maybe", ("--set model.batch_norm: is compared", "'maybe'", "known: true, false")),
        ("model.widht=1.0", ("fixed.model.widht", "did you mean width?")),
        ("modle.width=1.0", ("modle: unknown key",)),
        ("model.width", ("must read section.key=value",)),
        ("model=3", ("must start with a section",)),
        ("activation.alpha=0.5", ("activation relu has no argument 'alpha'",)),
        ("optimizer.lr=0", ("fixed.optimizer.lr: must be above 0, not 0",)),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(override: str, words: tuple[str, ...], study: Command) -> None:
    assert_one_line(study("trial", "./mine.toml", "--set", override), *words)


def test_an_arm_that_is_excluded_is_not_there(study: Command) -> None:
    words = ("--set", "activation.name=elu", "--set", "model.batch_norm=true", "--profile", "small")
    exclude = 'exclude = ["elu+bn"]'
    said = study("trial", "./mine.toml", *words, "--set", f"scientific.{exclude}")
    assert_one_line(said, "no arm of the study has these values", "study show mine")


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        (Float(1e-4, 1e-2, log=True), 1e-3),
        (Float(0.0, 1.0), 0.5),
        (Int(0, 8, step=4), 4),
        (Categorical(("sgd", "adam")), "sgd"),
    ],
)
def test_the_middle_of_a_range(distribution: Distribution, value: Scalar) -> None:
    assert middle(distribution) == pytest.approx(value) if isinstance(value, float) else value


def test_an_example_is_complete() -> None:
    spec = spec_of()
    for arm in spec.arms():
        config = example(spec, arm, 3)
        assert set(config.hyperparameters) >= {"optimizer.lr", "optimizer.weight_decay", "activation.name"}
        assert (config.seed, config.phase) == (3, "tune")
