"""CIFAR's published layouts, written here from any images, and the crafted files that imitate them."""

from __future__ import annotations

import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from study.components.datasets.cifar import CIFAR, LAYOUTS, Batch, Layout


@dataclass(frozen=True)
class Pickler2:
    """Writes as Python 2's cPickle wrote the published files; ``memo``: with its memo operations."""

    memo: bool = True

    def dump(self, entries: dict[str, object]) -> bytes:
        body = b"".join(self.text(key) + self.value(value) for key, value in entries.items())
        return b"\x80\x02}" + self.put(1) + b"(" + body + b"u."

    def put(self, index: int) -> bytes:
        return b"q" + bytes([index % 256]) if self.memo else b""

    def text(self, text: str) -> bytes:
        raw = text.encode("latin-1")
        return b"U" + bytes([len(raw)]) + raw + self.put(2)

    def value(self, value: object) -> bytes:
        match value:
            case str():
                return self.text(value)
            case int():
                return self.integer(value)
            case list():
                return b"]" + self.put(3) + b"(" + b"".join(map(self.value, value)) + b"e"
            case np.ndarray():
                return self.array(value)
        raise TypeError(type(value))

    def integer(self, value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        return b"M" + struct.pack("<H", value) if 0 <= value < 2**16 else b"J" + struct.pack("<i", value)

    def array(self, array: NDArray[np.generic]) -> bytes:
        head = b"cnumpy.core.multiarray\n_reconstruct\n" + self.put(7) + b"cnumpy\nndarray\n" + self.put(8)
        dtype = (b"cnumpy\ndtype\n" + self.text(array.dtype.str[1:]) + b"K\x00K\x01\x87R" + self.put(11)) + (
            b"(K\x03" + self.text(array.dtype.str[0]) + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
        )
        fortran = b"\x88" if array.flags.fnc else b"\x89"
        raw = array.tobytes(order="A")
        shape = b"(" + b"".join(map(self.integer, array.shape)) + b"t"
        state = b"(K\x01" + shape + dtype + fortran + b"T" + struct.pack("<i", len(raw)) + raw + b"tb"
        return head + b"K\x00\x85U\x01b\x87R" + self.put(9) + state


def files_of(name: str, layout: Layout, batches: dict[str, Batch]) -> dict[str, bytes]:
    """The published files of ``layout`` with the images of ``batches`` (by the stem of their file)."""
    classes = CIFAR[name].classes
    if layout.names.endswith(".txt"):
        files = {layout.names: "\n".join([*classes, ""]).encode()}
        return files | {file: binary_batch(name, batches[Path(file).stem]) for file in data_files(layout)}
    key = "fine_label_names" if name == "cifar100" else "label_names"
    files = {layout.names: Pickler2().dump({key: list(classes)})}
    return files | {file: python_batch(name, batches[file]) for file in data_files(layout)}


def data_files(layout: Layout) -> tuple[str, ...]:
    return (*layout.train, *layout.test)


def python_batch(name: str, batch: Batch) -> bytes:
    labels = batch.labels.tolist()
    keyed = {"labels": labels}
    if name == "cifar100":
        keyed = {"fine_labels": labels, "coarse_labels": [label // 5 for label in labels]}
    return Pickler2().dump({"batch_label": "a batch", **keyed, "data": batch.planes})


def binary_batch(name: str, batch: Batch) -> bytes:
    labels = batch.labels[:, None].astype(np.uint8)
    columns = [labels // 5, labels] if name == "cifar100" else [labels]
    return np.concatenate([*columns, batch.planes], axis=1).tobytes()


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(archive: Path, folder: Path) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(folder, folder.name)
    return archive


def layouts(name: str) -> tuple[Layout, ...]:
    return LAYOUTS[name]


def noise(name: str, images_per_class: int = 2, seed: int = 0) -> dict[str, Batch]:
    """Random images, as many of each class in each file, by the stem of the file's name."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CIFAR[name].classes)), images_per_class)
    return {
        file: Batch(generator.integers(0, 256, (len(labels), 3072), np.uint8), generator.permutation(labels))
        for file in data_files(LAYOUTS[name][0])
    }


def photographs(name: str, images_per_class: int = 10, seed: int = 0) -> dict[str, Batch]:
    """Like ``noise``, but smooth and with the published channel means and deviations: they pass as a part."""
    generator = np.random.default_rng(seed)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (CIFAR[name].mean, CIFAR[name].std))
    batches = {}
    for file, batch in noise(name, images_per_class, seed).items():
        patches = generator.choice([-1, 1], (len(batch.labels), 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)
        pixels = np.rint(255 * (mean + std * patches)).astype(np.uint8)
        batches[file] = Batch(pixels.reshape(len(pixels), 3072), batch.labels)
    return batches
