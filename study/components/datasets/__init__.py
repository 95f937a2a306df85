"""The data sets: what is known of each, and its arrays, checked when they are read."""

from __future__ import annotations

from pathlib import Path

from study.components.datasets.cifar import CIFAR
from study.components.datasets.digits import DIGITS
from study.components.datasets.fashion import FASHION_MNIST
from study.components.datasets.generated import GENERATED
from study.components.datasets.info import DatasetInfo, LoadedData
from study.components.datasets.own import OWN
from study.components.datasets.splits import Split, check_sizes, default_validation_size, split
from study.registry import Registry

__all__ = [
    "DATASETS",
    "DatasetInfo",
    "LoadedData",
    "Split",
    "check_sizes",
    "default_validation_size",
    "load_dataset",
    "split",
]


def load_dataset(name: str, data_dir: Path | None, path: str = "") -> LoadedData:
    """The data set ``name``, whole or a class-balanced part, read from ``data_dir`` and checked; ``path``
    is a user's own file in it.

    ``data_dir`` is the only place looked in; None is the user's data folder. UnknownName for a name that
    is not in DATASETS; DataError where the data is missing, damaged, or not what it is said to be.
    """
    info = DATASETS[name]
    return info.load_file(path, data_dir) if info.load_file else info.load(data_dir)


DATASETS: Registry[DatasetInfo] = Registry(
    "data set",
    cifar10=CIFAR["cifar10"],
    cifar100=CIFAR["cifar100"],
    digits=DIGITS,
    fashion_mnist=FASHION_MNIST,
    **GENERATED,
    **OWN,
)
