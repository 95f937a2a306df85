"""The resident data set: normalisation, augmentation, order, and which examples are in which part."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from study.batches import Examples, Part, TrainingPart, cuts, divide, resident, seeded
from study.components.augmentation import Augmentation
from study.components.datasets import LoadedData, load_dataset
from study.components.routine import Routine
from study.trial import TrialConfig

CPU = torch.device("cpu")
DIGITS = load_dataset("digits", None)


def noise(number: int = 12, height: int = 5, width: int = 6, channels: int = 3) -> LoadedData:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (number, height, width, channels), dtype=np.uint8)
    labels = np.arange(number, dtype=np.int64) % 3
    mean, std = (0.1, 0.5, 0.9)[:channels], (0.2, 0.25, 0.3)[:channels]
    return LoadedData(
        "noise", ("a", "b", "c"), images, labels, images, labels, mean, std, "", False, "nowhere"
    )


def on_cpu(data: LoadedData) -> Examples:
    return resident(data.train_inputs, data.train_targets, data, CPU)


def by_hand(data: LoadedData) -> Tensor:
    """The training images as (n, c, h, w), normalised in float64."""
    scaled = (data.train_inputs / 255 - np.array(data.mean)) / np.array(data.std)
    return torch.from_numpy(scaled).permute(0, 3, 1, 2)


def epoch(data: LoadedData, augmentation: Augmentation, seed: int = 0, batch_size: int = 4) -> Tensor:
    """One epoch's images, in its order."""
    return torch.cat([images for images, _ in training(data, augmentation, seed, batch_size).epoch()])


def training(data: LoadedData, augmentation: Augmentation, seed: int, batch_size: int) -> TrainingPart:
    index = torch.arange(len(data.train_targets))
    order, moves = seeded(seed, "order"), seeded(seed, "augmentation")
    return TrainingPart(on_cpu(data), index, batch_size, augmentation, order, moves)


# -- what a batch is


def test_pixels_are_normalised_per_channel() -> None:
    data = noise()
    ((images, labels),) = Part(on_cpu(data), torch.arange(12))
    torch.testing.assert_close(images.double(), by_hand(data), rtol=1e-5, atol=1e-5)
    assert labels.tolist() == data.train_targets.tolist()


def test_normalisation_is_two_roundings_a_byte_whatever_the_layout() -> None:
    data = noise()
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) * 255 for each in (data.mean, data.std))
    expected = (torch.tensor(data.train_inputs).permute(0, 3, 1, 2).float() - mean) * (1 / std)
    assert torch.equal(on_cpu(data).batch(torch.arange(12))[0], expected)


def test_a_batch_is_channels_last_float32() -> None:
    ((images, _),) = Part(on_cpu(noise()), torch.arange(12))
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_images_on_the_cpu_are_shared_even_when_they_cannot_be_written() -> None:
    data = noise()
    data.train_inputs.flags.writeable = False
    assert on_cpu(data).inputs.data_ptr() == data.train_inputs.ctypes.data


def test_batches_leave_the_data_as_it_was() -> None:
    data = noise()
    before = data.train_inputs.copy()
    epoch(data, Augmentation(flip=True, crop=2))
    assert np.array_equal(data.train_inputs, before)


# -- augmentation


def moved(data: LoadedData, augmentation: Augmentation, move: tuple[int, int, int]) -> Tensor:
    pictures = on_cpu(data)
    index = torch.tensor([7])
    pixels, inside = augmentation.gather(pictures.inputs, index, torch.tensor([move]))
    images = pictures.normalised(pixels)
    return (images if inside is None else images * inside.unsqueeze(1))[0].double()


@pytest.mark.parametrize("mirrored", [0, 1])
@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (0, -1), (-2, 2)])
def test_a_crop_shifts_in_the_mean_colour_and_a_flip_mirrors_that(
    mirrored: int, down: int, right: int
) -> None:
    data = noise()
    padded = torch.nn.functional.pad(by_hand(data)[7], (2, 2, 2, 2))
    expected = padded[:, 2 - down : 7 - down, 2 - right : 8 - right]
    found = moved(data, Augmentation(flip=True, crop=2), (mirrored, down, right))
    torch.testing.assert_close(found, expected.flip(2) if mirrored else expected, rtol=1e-5, atol=1e-5)


def test_half_of_the_flips_flip() -> None:
    mirrored = Augmentation(flip=True).draw(10_000, seeded(0, "augmentation"))[:, 0]
    assert mirrored.float().mean().item() == pytest.approx(0.5, abs=0.02)  # 4 standard deviations


def test_shifts_are_even_over_their_range() -> None:
    draws = Augmentation(crop=2).draw(10_000, seeded(0, "augmentation"))
    for shift in (draws[:, 1], draws[:, 2]):
        values, counts = shift.unique(return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        assert counts.min() > 1_800
    assert not draws[:, 0].any()


def test_shifts_are_the_same_with_and_without_flips() -> None:
    both, one = (Augmentation(flip, crop=3).draw(50, seeded(1, "augmentation")) for flip in (True, False))
    assert torch.equal(both[:, 1:], one[:, 1:])


def test_no_augmentation_gives_the_images_themselves() -> None:
    data = noise()
    rows = {tuple(image.flatten().tolist()) for image in epoch(data, Augmentation())}
    assert rows == {
        tuple(image.flatten().tolist()) for image in next(iter(Part(on_cpu(data), torch.arange(12))))[0]
    }


# -- order


def test_an_epoch_sees_every_example_once() -> None:
    labels = [label for _, labels in training(noise(), Augmentation(), 0, 5).epoch() for label in labels]
    assert sorted(int(label) for label in labels) == sorted(noise().train_targets.tolist())


def test_epochs_differ_in_order_and_seeds_repeat_it() -> None:
    part = training(noise(), Augmentation(), 3, 4)
    first, second = (torch.cat([images for images, _ in part.epoch()]) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, epoch(noise(), Augmentation(), seed=3))


@pytest.mark.parametrize(
    ("number", "size", "sizes"),
    [
        (10, 5, [5, 5]),
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),  # a single one joins the batch before it
        (3, 128, [3]),
        (1, 128, [1]),
        (3, 1, [1, 1, 1]),
        (129, 128, [129]),
    ],
)
def test_batches_drop_nothing_and_leave_no_single_example(number: int, size: int, sizes: list[int]) -> None:
    found = cuts(number, size)
    assert [end - start for start, end in found] == sizes
    assert [start for start, _ in found] == [sum(sizes[:i]) for i in range(len(sizes))]


def test_steps_are_the_batches_of_an_epoch() -> None:
    part = training(noise(), Augmentation(), 0, 5)
    assert part.steps == len(list(part.epoch())) == 3


# -- parts


ROUTINE = Routine(epochs=1, evaluation_size=50)


def divided(
    phase: Literal["tune", "confirm"] = "tune",
    seed: int = 1,
    split_seed: int = 2,
    routine: Routine = ROUTINE,
    **sizes: int,
) -> tuple[TrainingPart, dict[str, Part]]:
    hyperparameters = {f"dataset.{name}": value for name, value in sizes.items()}
    config = TrialConfig("study", "arm", phase, 0, hyperparameters, seed, split_seed)
    return divide(config, routine, Augmentation(), DIGITS, CPU)


def test_test_examples_are_there_in_the_confirm_phase_alone() -> None:
    assert set(divided("tune")[1]) == {"train_eval", "val"}
    assert set(divided("confirm")[1]) == {"train_eval", "val", "test"}


def test_no_validation_example_is_trained_on() -> None:
    part, parts = divided(train_size=300, validation_size=200)
    assert len(part.index) == 300
    assert len(parts["val"].index) == 200
    assert not set(part.index.tolist()) & set(parts["val"].index.tolist())


def test_a_tenth_is_held_out_by_default() -> None:
    part, parts = divided()
    assert (len(part.index), len(parts["val"].index)) == (1294, 143)


def test_the_evaluated_training_examples_are_trained_on_and_fixed() -> None:
    part, parts = divided(train_size=300)
    fixed = parts["train_eval"].index
    assert len(set(fixed.tolist())) == 50
    assert set(fixed.tolist()) <= set(part.index.tolist())
    assert torch.equal(fixed, divided(train_size=300, seed=9)[1]["train_eval"].index)


def test_a_small_training_set_is_evaluated_whole() -> None:
    assert len(divided(train_size=20)[1]["train_eval"].index) == 20


def test_another_split_seed_draws_other_examples() -> None:
    first, second = (divided(split_seed=seed)[1]["val"].index for seed in (2, 3))
    assert not torch.equal(first.sort().values, second.sort().values)


def test_the_test_part_is_the_published_test_set() -> None:
    part = divided("confirm")[1]["test"]
    labels = torch.cat([labels for _, labels in part])
    assert labels.tolist() == DIGITS.test_targets.tolist()


def test_validation_images_are_normalised_with_the_published_statistics() -> None:
    shifted = replace(DIGITS, mean=(0.0,), std=(1.0,))
    images = torch.cat(
        [
            images
            for images, _ in Part(
                resident(shifted.test_inputs, shifted.test_targets, shifted, CPU), torch.arange(9)
            )
        ]
    )
    assert images.min() == 0
    assert images.max() == pytest.approx(1, abs=1e-6)


def test_evaluated_examples_come_in_the_batches_asked_for() -> None:
    routine = Routine(1, evaluation_size=101, evaluation_batch=50)
    _, parts = divided(routine=routine)
    assert [len(labels) for _, labels in parts["train_eval"]] == [50, 51]


ORDERS: tuple[Literal["stored", "by_class"], ...] = ("stored", "by_class")


def test_by_class_sorts_what_is_judged_and_not_what_is_trained_on() -> None:
    stored, sorted_ = (divided("confirm", routine=Routine(1, evaluation_order=order))[1] for order in ORDERS)
    for name in ("val", "test"):
        labels = torch.cat([labels for _, labels in sorted_[name]])
        assert bool((labels.diff() >= 0).all())
        assert sorted(sorted_[name].index.tolist()) == sorted(stored[name].index.tolist())
    assert torch.equal(sorted_["train_eval"].index, stored["train_eval"].index)
