"""What trials train on when a study varies its data: shared, paired, and right in every part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from study.batches import Part, TrainingPart, divide
from study.choosing import restricted
from study.components.augmentation import Augmentation
from study.components.datasets import load_dataset
from study.components.routine import Routine
from study.running import load_data
from study.space import Scalar
from study.training import train
from study.trial import TrialConfig
from tests.good_study import CLAIM, changed, spec_of

DIGITS = load_dataset("digits", None)


def config(split_seed: int = 2, **dataset: Scalar) -> TrialConfig:
    held: dict[str, Scalar] = {"train_size": 60, "validation_size": 100, **dataset}
    named = {f"dataset.{name}": value for name, value in held.items()}
    return TrialConfig("study", "arm", "confirm", 0, named, 1, split_seed)


def divided(
    split_seed: int = 2, *, shared: Path | None = None, **dataset: Scalar
) -> tuple[TrainingPart, dict[str, Part]]:
    trial = config(split_seed, **dataset)
    data = restricted(DIGITS, trial.hyperparameters)
    routine = Routine(epochs=1, evaluation_size=60)
    return divide(trial, routine, Augmentation(), data, torch.device("cpu"), shared=shared)


def labels_of(part: Part | TrainingPart) -> list[int]:
    return part.source.targets[part.index].tolist()


def test_noise_changes_no_image_and_training_labels_alone() -> None:
    (plain, parts), (noisy, noisy_parts) = divided(), divided(label_noise=0.5)
    assert torch.equal(plain.index, noisy.index)
    assert labels_of(plain) != labels_of(noisy)
    for name in ("val", "test"):
        assert labels_of(noisy_parts[name]) == labels_of(parts[name])


def test_training_is_evaluated_on_the_labels_that_it_is_of() -> None:
    training, parts = divided(label_noise=0.5)
    trained = dict(zip(training.index.tolist(), labels_of(training), strict=True))
    assert labels_of(parts["train_eval"]) == [trained[index] for index in parts["train_eval"].index.tolist()]


def test_noise_leaves_the_data_set_as_it_was() -> None:
    before = DIGITS.train_targets.copy()
    divided(label_noise=0.5)
    np.testing.assert_array_equal(DIGITS.train_targets, before)


def test_selections_of_a_split_are_judged_on_the_same_images() -> None:
    plain, hard = (divided(selection=name)[1]["val"].index for name in ("random", "hard"))
    assert torch.equal(plain, hard)


@pytest.mark.parametrize("selection", ["easy", "hard", "diverse", "similar"])
def test_a_selection_takes_other_images_as_many_of_each_class(selection: str) -> None:
    plain, chosen = divided()[0], divided(selection=selection)[0]
    assert set(chosen.index.tolist()) != set(plain.index.tolist())
    assert np.bincount(labels_of(chosen)).tolist() == [6] * 10


@pytest.mark.parametrize("selection", ["hard", "similar"])
def test_a_replicate_draws_its_selection_anew(selection: str) -> None:
    one, two = (set(divided(seed, selection=selection)[0].index.tolist()) for seed in (2, 3))
    assert one != two


def test_what_is_selected_does_not_depend_on_noise() -> None:
    plain, noisy = (divided(selection="hard", label_noise=share)[0].index for share in (0.0, 0.4))
    assert torch.equal(plain, noisy)


def test_a_selection_is_left_for_other_trials_and_read_by_them(tmp_path: Path) -> None:
    first = divided(shared=tmp_path, selection="diverse")[0].index
    (kept,) = tmp_path.iterdir()
    np.save(kept, np.load(kept)[::-1])  # as if another had found another order
    second = divided(shared=tmp_path, selection="diverse", train_size=50)[0].index
    assert not torch.equal(first[:50], second)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
def test_a_selection_that_is_not_whole_is_made_anew(tmp_path: Path, content: bytes | None) -> None:
    expected = divided(shared=tmp_path, selection="diverse")[0].index
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-80] if content is None else content)
    assert torch.equal(divided(shared=tmp_path, selection="diverse")[0].index, expected)
    assert kept.read_bytes() == whole


def test_a_folder_that_is_not_there_is_done_without(tmp_path: Path) -> None:
    there, without = (
        divided(shared=shared, selection="diverse")[0].index for shared in (tmp_path / "no", None)
    )
    assert torch.equal(there, without)


@pytest.mark.parametrize(
    "other", [{"split_seed": 3}, {"selection": "similar"}, {"validation_size": 50}, {"classes": 5}]
)
def test_what_a_selection_depends_on_keeps_it_apart(tmp_path: Path, other: dict[str, Scalar]) -> None:
    divided(shared=tmp_path, selection="diverse")
    split_seed = int(other.pop("split_seed", 2))
    divided(split_seed, shared=tmp_path, **{"selection": "diverse", **other})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_study_of_some_classes_has_these_alone() -> None:
    spec = spec_of(
        changed((CLAIM, ""), ("train_size = 1000", "train_size = 100")), "fixed.dataset.classes=3+5"
    )
    data = load_data(spec, None)
    assert data.classes == ("3", "5")
    assert restricted(data, spec.held) is data


def test_a_trial_of_some_classes_needs_nothing_but_its_config() -> None:
    trial = config(classes="3+5")
    held: dict[str, Scalar] = {
        "model.name": "all_cnn_c",
        "model.width": 0.05,
        "activation.name": "relu",
        "optimizer.name": "sgd",
        "optimizer.lr": 0.01,
        "training.epochs": 1,
    }
    trial = replace(trial, hyperparameters={**trial.hyperparameters, **held})
    result = train(trial, DIGITS, threads=1)
    assert result.environment["worst"]["accuracy"] == pytest.approx(0.5, abs=0.02)
    assert result.environment["data"] == restricted(DIGITS, trial.hyperparameters).fingerprint
