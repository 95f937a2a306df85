"""CIFAR-10 and CIFAR-100, in the layouts that they are published in, checked by their content.

Each is published as a folder of Python pickles and as a folder of binary records, and each folder as a
tar.gz archive: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.assembling import ReadSplit, Statistics, assemble
from study.components.datasets.checking import check_labels
from study.components.datasets.info import DatasetInfo, Images, Labels, LoadedData, refusal
from study.components.datasets.sources import read_archive, read_folder, user_data_folder
from study.components.datasets.unpickling import read_pickle
from study.errors import DataError, shorten

SIDE = 32
PIXELS = 3 * SIDE * SIDE


class Batch(NamedTuple):
    """One file's images, uint8 (n, 3072), a red, a green and a blue plane each, and its labels (n,)."""

    planes: NDArray[np.uint8]
    labels: Labels


@dataclass(frozen=True)
class Layout:
    """One published form of a data set: its folder, the archive of that folder, and its files."""

    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    read_batch: Callable[[bytes, str], Batch]
    read_names: Callable[[bytes, str], list[str]]


@dataclass(frozen=True)
class Source:
    """A layout found on disk: as its folder, or as the archive of it."""

    layout: Layout
    path: Path
    archived: bool

    def files(self) -> Iterator[tuple[str, str, bytes]]:
        names = (*self.layout.train, *self.layout.test, self.layout.names)
        if self.archived:
            return read_archive(self.path, self.layout.folder, names)
        return read_folder(self.path, names)

    def place(self, name: str) -> str:
        return f"{self.path}:{self.layout.folder}/{name}" if self.archived else str(self.path / name)


# One file --------------------------------------------------------------------------------------------


def read_python_batch(label_key: str, data: bytes, place: str) -> Batch:
    """A pickled batch: ``data`` uint8 (n, 3072) and a list of n labels under ``label_key``."""
    content = read_pickle(data, place)
    planes, labels = content.get("data"), content.get(label_key)
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape[1:] != (PIXELS,):
        found = f"{planes.dtype} {planes.shape}" if isinstance(planes, np.ndarray) else "none"
        raise refusal(place, f"images are an array 'data' of uint8 (n, {PIXELS}), not {found}")
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu":
        labels = labels.tolist()
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise refusal(place, f"labels are a list {label_key!r} of whole numbers")
    if len(labels) != len(planes):
        raise refusal(place, f"each image has a label, not {len(planes)} images and {len(labels)} labels")
    try:
        return Batch(planes, np.array(labels, np.int64))
    except OverflowError:
        raise refusal(place, f"labels are class numbers, not {shorten(max(labels, key=abs))}") from None


def read_binary_batch(label_bytes: int, data: bytes, place: str) -> Batch:
    """Records of ``label_bytes`` label bytes, of which the last is used (the fine one), and 3072 pixels."""
    size = label_bytes + PIXELS
    if not data or len(data) % size:
        raise refusal(
            place,
            f"a whole number of records of {size} bytes, not {len(data)} bytes",
            "it is cut short or of another layout: fetch it again",
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    return Batch(records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64))


def read_python_names(key: str, data: bytes, place: str) -> list[str]:
    """The class names in a pickled ``meta`` file."""
    names = read_pickle(data, place).get(key)
    if not isinstance(names, list) or not all(isinstance(name, (bytes, str)) for name in names):
        raise refusal(place, f"class names are a list {key!r} of text")
    return [name.decode("latin-1") if isinstance(name, bytes) else name for name in names]


def read_text_names(data: bytes, place: str) -> list[str]:
    """The class names in a text file, one a line."""
    return data.decode("latin-1").split()


# The folder or archive -------------------------------------------------------------------------------


def find(name: str, data_dir: Path | None) -> Source | None:
    """Where ``load`` reads: a published folder in ``data_dir``, ``data_dir`` itself, or an archive in it."""
    folder = data_dir or user_data_folder()
    try:
        return _find(folder, LAYOUTS[name])
    except OSError as error:
        raise refusal(folder, f"cannot be read: {error.strerror}") from None


def _find(folder: Path, layouts: Sequence[Layout]) -> Source | None:
    for layout in layouts:
        if (folder / layout.folder).is_dir():
            return Source(layout, folder / layout.folder, archived=False)
    for layout in layouts:
        if any((folder / file).is_file() for file in (*layout.train, *layout.test)):
            return Source(layout, folder, archived=False)
    for layout in layouts:
        if (folder / layout.archive).is_file():
            return Source(layout, folder / layout.archive, archived=True)
    return None


def locate(name: str, data_dir: Path | None) -> str | None:
    """The folder or archive that ``load`` reads, or None where there is none."""
    source = find(name, data_dir)
    return None if source is None else str(source.path)


def load(name: str, data_dir: Path | None) -> LoadedData:
    """The data set, read and checked. DataError where it is missing, damaged, or something else."""
    source = find(name, data_dir)
    if source is None:
        raise _missing(name, data_dir)
    info = CIFAR[name]
    batches = read_batches(source, info.classes)
    train, test = (
        {source.place(file): batches[file] for file in files}
        for files in (source.layout.train, source.layout.test)
    )
    return assemble(info, _split(train), _split(test), str(source.path), TEST_STATISTICS.get(name))


def _missing(name: str, data_dir: Path | None) -> DataError:
    folder = data_dir or user_data_folder()
    layouts = LAYOUTS[name]
    looked = ", ".join([layout.folder for layout in layouts] + [layout.archive for layout in layouts])
    return refusal(
        f"{name} was not found in {folder}{'' if folder.is_dir() else ' (no such folder)'}",
        f"looked for {looked}",
        f"get it with `study data fetch {name}`, or say where it is: `--data-dir DIR`, `STUDY_DATA_DIR=DIR`",
    )


def read_batches(source: Source, classes: Sequence[str]) -> dict[str, Batch]:
    """Every training and test file by name, its labels checked. DataError where one is missing."""
    layout, batches = source.layout, dict[str, Batch]()
    for name, place, data in source.files():
        if name == layout.names:
            _check_names(layout.read_names(data, place), classes, place)
        else:
            batch = layout.read_batch(data, place)
            check_labels(batch.labels, len(classes), place)
            batches[name] = batch
    for name in (*layout.train, *layout.test):
        if name not in batches:
            raise refusal(
                source.place(name),
                f"missing; the published {layout.folder} has {', '.join((*layout.train, *layout.test))}",
                "fetch it again",
            )
    return batches


def _check_names(found: list[str], classes: Sequence[str], place: str) -> None:
    for index, (name, published) in enumerate(zip(found, classes, strict=False)):
        if name != published:
            raise refusal(place, f"class {index} is {published!r}, not {shorten(name)}")
    if len(found) != len(classes):
        raise refusal(place, f"{len(classes)} classes, not {len(found)}")


# The arrays ------------------------------------------------------------------------------------------


def _split(batches: dict[str, Batch]) -> ReadSplit:
    """The images of some files (by place)."""
    labels = np.concatenate([batch.labels for batch in batches.values()])
    sizes = {place: len(batch.labels) for place, batch in batches.items()}
    return ReadSplit(images_of(list(batches.values())), labels, sizes)


def images_of(batches: list[Batch]) -> Images:
    """The batches' images as one array (n, 32, 32, 3)."""
    images = np.empty((sum(len(batch.planes) for batch in batches), SIDE * SIDE, 3), np.uint8)
    start = 0
    for batch in batches:
        planes = batch.planes.reshape(-1, 3, SIDE * SIDE)
        # As many as a processor's cache holds, channel by channel: three times as fast as a transposed copy.
        for first in range(0, len(planes), 64):
            some = planes[first : first + 64]
            for channel in range(3):
                images[start : start + len(some), :, channel] = some[:, channel]
            start += len(some)
    return images.reshape(-1, SIDE, SIDE, 3)


# Published facts -------------------------------------------------------------------------------------

_CIFAR10_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cifar10": (
        Layout(
            folder="cifar-10-batches-py",
            archive="cifar-10-python.tar.gz",
            train=_CIFAR10_TRAIN,
            test=("test_batch",),
            names="batches.meta",
            read_batch=partial(read_python_batch, "labels"),
            read_names=partial(read_python_names, "label_names"),
        ),
        Layout(
            folder="cifar-10-batches-bin",
            archive="cifar-10-binary.tar.gz",
            train=tuple(f"{name}.bin" for name in _CIFAR10_TRAIN),
            test=("test_batch.bin",),
            names="batches.meta.txt",
            read_batch=partial(read_binary_batch, 1),
            read_names=read_text_names,
        ),
    ),
    "cifar100": (
        Layout(
            folder="cifar-100-python",
            archive="cifar-100-python.tar.gz",
            train=("train",),
            test=("test",),
            names="meta",
            read_batch=partial(read_python_batch, "fine_labels"),
            read_names=partial(read_python_names, "fine_label_names"),
        ),
        Layout(
            folder="cifar-100-binary",
            archive="cifar-100-binary.tar.gz",
            train=("train.bin",),
            test=("test.bin",),
            names="fine_label_names.txt",
            read_batch=partial(read_binary_batch, 2),  # the coarse label, then the fine one
            read_names=read_text_names,
        ),
    ),
}

_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
_LICENCE = "none stated; the authors ask to be cited"
_SOURCE = (
    "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,"
    " https://www.cs.toronto.edu/~kriz/cifar.html"
)

CIFAR: dict[str, DatasetInfo] = {
    "cifar10": DatasetInfo(
        name="cifar10",
        task="classification",
        classes=tuple(_CIFAR10_CLASSES.split()),
        shape=(SIDE, SIDE, 3),
        train_examples=50_000,
        test_examples=10_000,
        licence=_LICENCE,
        source=_SOURCE,
        downloadable=True,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
        load=partial(load, "cifar10"),
        locate=partial(locate, "cifar10"),
    ),
    "cifar100": DatasetInfo(
        name="cifar100",
        task="classification",
        classes=tuple(_CIFAR100_CLASSES.split()),
        shape=(SIDE, SIDE, 3),
        train_examples=50_000,
        test_examples=10_000,
        licence=_LICENCE,
        source=_SOURCE,
        downloadable=True,
        mean=(0.50707516, 0.48654887, 0.44091784),
        std=(0.26733429, 0.25643846, 0.27615047),
        load=partial(load, "cifar100"),
        locate=partial(locate, "cifar100"),
    ),
}

# Of the test set, where two published values agree: CIFAR-100's do not, so its test set is only checked
# against the training set's, as a sample of this size.
TEST_STATISTICS: dict[str, Statistics] = {
    "cifar10": ((0.49421428, 0.48513139, 0.45040909), (0.24665252, 0.24289226, 0.26159238)),
}
