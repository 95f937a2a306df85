"""Fashion-MNIST from IDX files that are written here, as published: whole, plain, gzipped, damaged."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from study.components.datasets import load_dataset
from study.components.datasets.fashion import FASHION_MNIST, FILES, FOLDERS
from study.components.datasets.fetching import PUBLICATIONS
from study.components.datasets.idx import read_idx
from study.errors import DataError

Bytes = NDArray[np.uint8]


def idx(array: Bytes) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def clothes(per_class: int, seed: int) -> tuple[Bytes, Bytes]:
    """Smooth pictures with the published mean and deviation, as many of each class."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
    (mean,), (std,) = FASHION_MNIST.mean, FASHION_MNIST.std
    bright = 1 / (1 + (std / mean) ** 2)  # of so many patches, the others black
    patches = generator.random((len(labels), 4, 4)) < bright
    images = np.rint(patches.repeat(7, axis=1).repeat(7, axis=2) * 255 * mean / bright).astype(np.uint8)
    return images, labels


def published(per_class: int = 20) -> dict[str, bytes]:
    train, test = clothes(per_class, 0), clothes(per_class // 2, 1)
    return dict(zip(FILES, map(idx, (*train, *test)), strict=True))


def write(folder: Path, files: dict[str, bytes], *zipped: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if name in zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("zipped", [FILES, (), FILES[:1]], ids=["gz", "plain", "mixed"])
@pytest.mark.parametrize("folder", [*FOLDERS, ""])
def test_published_files_are_read_where_they_lie(
    tmp_path: Path, folder: str, zipped: tuple[str, ...]
) -> None:
    place = write(tmp_path / folder, published(), *zipped)
    data = load_dataset("fashion_mnist", tmp_path)
    images, labels = clothes(20, 0)
    np.testing.assert_array_equal(data.train_inputs[..., 0], images)
    np.testing.assert_array_equal(data.train_targets, labels)
    assert (data.train_inputs.shape, data.test_inputs.shape) == ((200, 28, 28, 1), (100, 28, 28, 1))
    assert data.train_inputs.flags.c_contiguous
    assert data.train_inputs.flags.writeable
    assert data.part
    assert data.origin == str(place)


def test_a_folder_without_all_files_is_not_there_yet(tmp_path: Path) -> None:
    write(tmp_path / FOLDERS[0], dict(list(published().items())[:3]))
    assert FASHION_MNIST.locate(tmp_path) is None
    with pytest.raises(
        DataError, match=r"fashion_mnist was not found in .* `study data fetch fashion_mnist`"
    ):
        load_dataset("fashion_mnist", tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "complaint"),
    [
        (0, lambda raw: raw[:-1], "header says 200x28x28 bytes, and it has 156799; it is cut short"),
        (0, lambda raw: raw[:9], "an IDX header of 3 dimensions has 16 bytes, not 9; fetch it again"),
        (0, lambda raw: b"\x00\x00\x0d\x03" + raw[4:], "begins with 00000803, not 00000d03"),
        (1, lambda raw: b"<html></html>", "an IDX file of 1 dimensions begins with 00000801, not 3c68746d"),
        (1, lambda raw: raw[:-1] + b"\x0a", r"labels lie in 0\.\.9, not 10"),
        (1, lambda raw: idx(np.zeros(199, np.uint8)), "not 200 images and 199 labels"),
        (0, lambda raw: idx(np.zeros((200, 8, 8), np.uint8)), "pictures of 28x28 pixels, not 8x8"),
        (1, lambda raw: raw[:8] + bytes([raw[8] ^ 1]) + raw[9:], "same number of images of each class"),
        (2, lambda raw: idx(clothes(20, 0)[0][:100]), "is a copy of the other"),
        (
            0,
            lambda raw: idx(np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)),
            "no photographs",
        ),
        (0, lambda raw: raw[:16] + bytes(255 - each for each in raw[16:]), "other pixels than the published"),
    ],
)
def test_what_is_not_as_published_is_one_line(
    tmp_path: Path, file: int, change: object, complaint: str
) -> None:
    files = published()
    files[FILES[file]] = change(files[FILES[file]])  # type: ignore[operator]
    write(tmp_path, files)
    with pytest.raises(DataError, match=complaint) as caught:
        load_dataset("fashion_mnist", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [2, 30, -9])
def test_a_cut_gzip_is_one_line(cut: int) -> None:
    with pytest.raises(DataError, match=r"labels\.gz: damaged: .*; fetch it again"):
        read_idx(gzip.compress(idx(np.arange(200, dtype=np.uint8)))[:cut], 1, "labels.gz")


def test_a_gzip_that_unpacks_to_anything_is_refused() -> None:
    bomb = gzip.compress(bytes(2**20), 1)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_idx(bomb * 201, 1, "labels.gz")


def test_what_is_fetched_is_what_is_read() -> None:
    publication = PUBLICATIONS["fashion_mnist"]
    assert [archive.name for archive in publication.archives] == [f"{name}.gz" for name in FILES]
    assert publication.folder == FOLDERS[0]


def test_sizes_and_checksums_are_well_formed() -> None:
    for publication in PUBLICATIONS.values():
        for archive in publication.archives:
            assert re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
            assert archive.size_bytes > 5000
