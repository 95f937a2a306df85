"""Fashion-MNIST: pictures of clothes in 28x28 levels of grey, in the files that they are published in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from study.components.datasets.assembling import ReadSplit, assemble
from study.components.datasets.checking import check_labels
from study.components.datasets.idx import read_idx
from study.components.datasets.info import DatasetInfo, LoadedData, refusal
from study.components.datasets.sources import read_folder, user_data_folder

SIDE = 28
# Where `study data fetch` puts the files, and where torchvision does.
FOLDERS = ("fashion-mnist", "FashionMNIST/raw")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def find(data_dir: Path | None) -> dict[str, Path] | None:
    """The four files by their published names: in one of FOLDERS in ``data_dir``, or in ``data_dir``
    itself; each as it is published (.gz) or unpacked. None where no folder has them all."""
    top = data_dir or user_data_folder()
    for folder in (*(top / name for name in FOLDERS), top):
        files = dict(_files(folder))
        if len(files) == len(FILES):
            return files
    return None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for name in FILES:
        for path in (folder / f"{name}.gz", folder / name):
            if path.is_file():
                yield name, path
                break


def locate(data_dir: Path | None) -> str | None:
    """The folder that ``load`` reads, or None where there is none."""
    files = find(data_dir)
    return None if files is None else str(files[FILES[0]].parent)


def load(data_dir: Path | None) -> LoadedData:
    """The data set, read and checked. DataError where it is missing, damaged, or something else."""
    files = find(data_dir)
    if files is None:
        folder = data_dir or user_data_folder()
        raise refusal(
            f"fashion_mnist was not found in {folder}{'' if folder.is_dir() else ' (no such folder)'}",
            f"looked for {', '.join(f'{name}(.gz)' for name in FILES)} there and in {', '.join(FOLDERS)}",
            "get it with `study data fetch fashion_mnist`, or say where it is: `--data-dir DIR`,"
            " `STUDY_DATA_DIR=DIR`",
        )
    train, test = (_read_split(files[images], files[labels]) for images, labels in (FILES[:2], FILES[2:]))
    return assemble(FASHION_MNIST, train, test, str(files[FILES[0]].parent))


def _read_split(images_file: Path, labels_file: Path) -> ReadSplit:
    images, labels = read_idx(*_content(images_file, 3)), read_idx(*_content(labels_file, 1)).astype(np.int64)
    if images.shape[1:] != (SIDE, SIDE):
        raise refusal(
            images_file, f"pictures of {SIDE}x{SIDE} pixels, not {images.shape[1]}x{images.shape[2]}"
        )
    if len(labels) != len(images):
        raise refusal(
            labels_file, f"each image has a label, not {len(images)} images and {len(labels)} labels"
        )
    check_labels(labels, len(FASHION_MNIST.classes), str(labels_file))
    return ReadSplit(images[..., np.newaxis], labels, {str(images_file): len(images)})


def _content(path: Path, dimensions: int) -> tuple[bytes, int, str]:
    ((_, place, data),) = read_folder(path.parent, [path.name])
    return data, dimensions, place


FASHION_MNIST = DatasetInfo(
    name="fashion_mnist",
    task="classification",
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    shape=(SIDE, SIDE, 1),
    train_examples=60_000,
    test_examples=10_000,
    licence="MIT",
    source=(
        "H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, 2017, https://arxiv.org/abs/1708.07747,"
        " https://github.com/zalandoresearch/fashion-mnist"
    ),
    downloadable=True,
    mean=(0.28604060,),
    std=(0.35302424,),
    load=load,
    locate=locate,
)
