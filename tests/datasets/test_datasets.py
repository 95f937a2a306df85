"""The table of data sets, and what it costs to look into it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from study.components.datasets import DATASETS, DatasetInfo, load_dataset
from study.errors import UnknownName

EVERY = pytest.mark.parametrize("info", DATASETS.values(), ids=DATASETS.keys())


@EVERY
def test_an_entry_goes_by_its_own_name(info: DatasetInfo) -> None:
    assert DATASETS[info.name] is info


@EVERY
def test_an_entry_says_what_a_model_needs(info: DatasetInfo) -> None:
    assert len(set(info.classes)) == len(info.classes) != 1
    assert (len(info.classes) > 1) == (info.task == "classification") or info.load_file
    assert len(info.mean) == len(info.std) == (info.shape[-1] if info.shape else 0)
    assert bool(info.shape) == bool(info.train_examples) == (info.load_file is None)
    assert info.source
    assert info.licence


@EVERY
def test_pixels_are_normalised_on_the_unit_interval(info: DatasetInfo) -> None:
    if len(info.shape) == 3:
        assert all(0 < value < 1 for value in (*info.mean, *info.std))


def test_classes_are_the_published_ones() -> None:
    assert DATASETS["cifar10"].classes[:4] == ("airplane", "automobile", "bird", "cat")
    assert len(DATASETS["cifar100"].classes) == 100
    assert list(DATASETS["cifar100"].classes) == sorted(DATASETS["cifar100"].classes)


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="unknown data set 'cifar-10'; did you mean cifar10 or cifar100"):
        load_dataset("cifar-10", Path())


def test_the_table_costs_no_heavy_import() -> None:
    code = "import sys; import study.components.datasets; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"torch", "sklearn", "requests", "ray", "mlflow", "pickle5"} & set(done.stdout.split())


def test_a_workers_copy_has_the_same_content() -> None:
    data = load_dataset("digits", None)
    copy = pickle.loads(pickle.dumps(data))
    assert copy.fingerprint == data.fingerprint
    assert copy.train_inputs.tobytes() == data.train_inputs.tobytes()


def test_data_sets_are_compared_by_identity_and_not_array_by_array() -> None:
    data = load_dataset("digits", None)
    assert data != replace(data)
