"""The embedded digits: real, whole, and the same for everyone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from study.components.datasets import DATASETS, LoadedData, load_dataset
from study.components.datasets.checking import channel_statistics


@pytest.fixture(scope="module")
def digits() -> LoadedData:
    return load_dataset("digits", None)


def test_they_are_split_once_and_for_all(digits: LoadedData) -> None:
    assert digits.train_inputs.shape == (1437, 8, 8, 1)
    assert digits.test_inputs.shape == (360, 8, 8, 1)
    assert np.bincount(digits.test_targets).tolist() == [36] * 10
    assert digits.fingerprint == "cd1c644d07f438ad850a47a5df831ca25e42412d2839c32e4ad1ed5583ad5f4e"


def test_their_grey_levels_fill_a_byte(digits: LoadedData) -> None:
    assert digits.train_inputs.dtype == np.uint8
    assert np.unique(digits.train_inputs).tolist() == [round(level * 255 / 16) for level in range(17)]


def test_the_table_has_their_statistics() -> None:
    info = DATASETS["digits"]
    mean, std = channel_statistics(info.load(None).train_inputs)
    assert info.mean == (round(float(mean[0]), 8),)
    assert info.std == (round(float(std[0]), 8),)


def test_no_folder_is_looked_in(tmp_path: Path) -> None:
    assert load_dataset("digits", tmp_path / "nowhere").origin == "embedded in scikit-learn"
