"""CIFAR is read in every published layout, and whatever is not CIFAR is refused by file and rule."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from study.components.datasets import LoadedData, load_dataset
from study.components.datasets.cifar import (
    CIFAR,
    LAYOUTS,
    Batch,
    Layout,
    Source,
    images_of,
    locate,
    read_batches,
)
from study.errors import DataError
from tests.datasets.published import (
    binary_batch,
    files_of,
    noise,
    photographs,
    python_batch,
    write_archive,
    write_folder,
)

EVERY_LAYOUT = [
    pytest.param(name, layout, archived, id=f"{layout.archive if archived else layout.folder}")
    for name, layouts in LAYOUTS.items()
    for layout in layouts
    for archived in (False, True)
]
PYTHON, BINARY = LAYOUTS["cifar10"]


def write(folder: Path, name: str, layout: Layout, archived: bool, batches: dict[str, Batch]) -> Path:
    """A data folder with ``batches`` in one layout."""
    published = write_folder(folder / layout.folder, files_of(name, layout, batches))
    if archived:
        write_archive(folder / layout.archive, published)
        shutil.rmtree(published)
    return folder


# Layouts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "layout", "archived"), EVERY_LAYOUT)
def test_every_layout_gives_the_images_and_labels_that_were_written(
    tmp_path: Path, name: str, layout: Layout, archived: bool
) -> None:
    batches = noise(name)
    write(tmp_path, name, layout, archived, batches)
    path = tmp_path / (layout.archive if archived else layout.folder)
    found = read_batches(Source(layout, path, archived), CIFAR[name].classes)
    assert [Path(file).stem for file in (*layout.train, *layout.test)] == list(batches)
    for file, batch in found.items():
        np.testing.assert_array_equal(batch.planes, batches[Path(file).stem].planes)
        np.testing.assert_array_equal(batch.labels, batches[Path(file).stem].labels)


@pytest.mark.parametrize(("name", "layout", "archived"), EVERY_LAYOUT)
def test_every_layout_is_found_and_loaded_as_a_part(
    tmp_path: Path, name: str, layout: Layout, archived: bool
) -> None:
    write(tmp_path, name, layout, archived, photographs(name))
    data = load_dataset(name, tmp_path)
    classes = len(CIFAR[name].classes)
    assert data.part
    assert data.origin == str(tmp_path / (layout.archive if archived else layout.folder))
    assert data.train_inputs.shape == (classes * 10 * len(layout.train), 32, 32, 3)
    assert data.test_inputs.shape == (classes * 10, 32, 32, 3)
    assert data.train_inputs.flags.c_contiguous
    assert data.train_inputs.flags.writeable
    assert data.train_targets.dtype == np.int64


def test_layouts_of_the_same_images_have_the_same_fingerprint(tmp_path: Path) -> None:
    batches = photographs("cifar10")
    folders = [
        write(tmp_path / f"{number}", "cifar10", *form, batches)
        for number, form in enumerate([(PYTHON, False), (PYTHON, True), (BINARY, False), (BINARY, True)])
    ]
    assert len({load_dataset("cifar10", folder).fingerprint for folder in folders}) == 1


def test_the_order_of_images_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    batches = photographs("cifar10")
    turned = {file: Batch(batch.planes[::-1], batch.labels[::-1]) for file, batch in batches.items()}
    turned["data_batch_1"], turned["data_batch_4"] = turned["data_batch_4"], turned["data_batch_1"]
    one, two = (
        load_dataset("cifar10", write(tmp_path / str(n), "cifar10", BINARY, False, content))
        for n, content in enumerate([batches, turned])
    )
    assert one.fingerprint == two.fingerprint
    assert not np.array_equal(one.train_inputs, two.train_inputs)


def test_a_published_folder_may_be_the_data_folder_itself(tmp_path: Path) -> None:
    write(tmp_path, "cifar10", PYTHON, False, photographs("cifar10"))
    renamed = (tmp_path / PYTHON.folder).rename(tmp_path / "mine")
    assert load_dataset("cifar10", renamed).origin == str(renamed)


def test_a_folder_goes_before_an_archive(tmp_path: Path) -> None:
    for layout, archived in ((PYTHON, True), (BINARY, False)):
        write(tmp_path, "cifar10", layout, archived, photographs("cifar10"))
    assert locate("cifar10", tmp_path) == str(tmp_path / BINARY.folder)


def test_planes_become_pixels() -> None:
    planes = np.arange(3 * 3072, dtype=np.uint32).astype(np.uint8).reshape(3, 3072)
    images = images_of([Batch(planes[:1], np.zeros(1, np.int64)), Batch(planes[1:], np.zeros(2, np.int64))])
    np.testing.assert_array_equal(images, planes.reshape(3, 3, 32, 32).transpose(0, 2, 3, 1))


def test_cifar100_has_the_fine_labels(tmp_path: Path) -> None:
    data = load_dataset(
        "cifar100", write(tmp_path, "cifar100", LAYOUTS["cifar100"][1], False, photographs("cifar100"))
    )
    assert set(data.train_targets.tolist()) == set(range(100))


# Not there -------------------------------------------------------------------------------------------


def test_missing_data_is_one_line_with_the_place_and_three_ways_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path), "study data fetch cifar10", "--data-dir DIR", "STUDY_DATA_DIR=DIR"):
        assert part in message
    assert PYTHON.folder in message
    assert BINARY.archive in message


def test_without_a_folder_the_users_data_folder_is_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(DataError, match=str(tmp_path / "study")):
        load_dataset("cifar10", None)


def test_a_given_folder_is_the_only_place_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    write(tmp_path / "study", "cifar10", PYTHON, False, photographs("cifar10"))
    assert load_dataset("cifar10", None).part
    with pytest.raises(DataError, match="no such folder"):
        load_dataset("cifar10", tmp_path / "elsewhere")


def test_cifar100_is_not_taken_for_cifar10(tmp_path: Path) -> None:
    write(tmp_path, "cifar100", LAYOUTS["cifar100"][0], False, photographs("cifar100"))
    assert locate("cifar10", tmp_path) is None
    assert locate("cifar10", tmp_path / "cifar-100-python") is None


# Faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "layout", "archived"), EVERY_LAYOUT)
def test_noise_is_not_cifar(tmp_path: Path, name: str, layout: Layout, archived: bool) -> None:
    write(tmp_path, name, layout, archived, noise(name))
    with pytest.raises(DataError, match="neighbouring pixels of the training images"):
        load_dataset(name, tmp_path)


def cut(share: float, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def changed_batch(change: Callable[[Batch], Batch], path: Path) -> None:
    """``path`` rewritten with its batch changed."""
    layout = PYTHON if path.suffix != ".bin" else BINARY
    batch = change(layout.read_batch(path.read_bytes(), str(path)))
    content = binary_batch("cifar10", batch) if path.suffix == ".bin" else python_batch("cifar10", batch)
    path.write_bytes(content)


def with_label(label: int, batch: Batch) -> Batch:
    return Batch(batch.planes, np.where(np.arange(len(batch.labels)) == 7, label, batch.labels))


def one_less(batch: Batch) -> Batch:
    return Batch(batch.planes[1:], batch.labels[1:])


def a_label_more(batch: Batch) -> Batch:
    return Batch(batch.planes[1:], batch.labels)


def other_pixels(dtype: str, batch: Batch) -> Batch:
    return Batch(batch.planes.astype(dtype), batch.labels)


def crafted(path: Path) -> None:
    path.write_bytes(b"\x80\x02}U\x04datacposix\nsystem\nU\x0btouch canaryX\x85Rs.")


def swapped(path: Path) -> None:
    shutil.copy(path.with_stem("test_batch"), path)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def linked_outside(path: Path) -> None:
    outside = path.rename(path.parent.parent / "outside")
    path.symlink_to(outside)


BATCH_FAULTS: dict[str, tuple[Callable[[Path], object], str, tuple[str, ...]]] = {
    "cut": (partial(cut, 0.49), "damaged pickle|a whole number of records of 3073 bytes", ("", ".bin")),
    "empty": (partial(cut, 0), "damaged pickle|a whole number of records", ("", ".bin")),
    "missing": (Path.unlink, "missing; the published cifar-10-batches-", ("", ".bin")),
    "label too large": (
        partial(changed_batch, partial(with_label, 10)),
        r"labels lie in 0\.\.9, not 10 \(image 7; 1 such labels\)",
        ("", ".bin"),
    ),
    "label below 0": (
        partial(changed_batch, partial(with_label, -1)),
        r"labels lie in 0\.\.9, not -1",
        ("",),
    ),
    "one image less": (
        partial(changed_batch, one_less),
        r"19 images here, 20 in each of the other",
        ("", ".bin"),
    ),
    "a label too many": (partial(changed_batch, a_label_more), "not 19 images and 20 labels", ("",)),
    "other numbers": (partial(changed_batch, partial(other_pixels, "int16")), "not int16 ", ("",)),
    "crafted": (crafted, "arrays and plain containers only, not the name 'posix.system'", ("",)),
    "swapped": (swapped, "^.*: every file has images of its own, but 20 of its 20 ", ("", ".bin")),
    "link": (linked_outside, "a symbolic link that leads out of its folder", ("", ".bin")),
    "folder": (replaced_by_a_folder, "not a regular file", ("", ".bin")),
    "noise": (
        lambda path: path.write_bytes(os.urandom(5000)),
        "not the operation|whole number|damaged",
        ("", ".bin"),
    ),
}


@pytest.mark.parametrize(
    ("suffix", "break_file", "rule"),
    [
        pytest.param(suffix, break_file, rule, id=f"{label}-{suffix or 'python'}")
        for label, (break_file, rule, suffixes) in BATCH_FAULTS.items()
        for suffix in suffixes
    ],
)
def test_a_broken_batch_is_one_line_with_the_file_and_the_rule(
    tmp_path: Path, suffix: str, break_file: Callable[[Path], object], rule: str
) -> None:
    layout = BINARY if suffix else PYTHON
    write(tmp_path, "cifar10", layout, False, photographs("cifar10", images_per_class=2))
    break_file(tmp_path / layout.folder / f"data_batch_3{suffix}")
    with pytest.raises(DataError, match=rule) as caught:
        load_dataset("cifar10", tmp_path)
    assert f"data_batch_3{suffix}" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_crafted_batch_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    crafted_data = b"\x80\x02}U\x04datacposix\nsystem\nU\x0ctouch canary\x85Rs."
    write(tmp_path, "cifar10", PYTHON, False, photographs("cifar10"))
    (tmp_path / PYTHON.folder / "data_batch_1").write_bytes(crafted_data)
    with pytest.raises(DataError):
        load_dataset("cifar10", tmp_path)
    assert not (tmp_path / "canary").exists()
    pickle.loads(crafted_data)
    assert (tmp_path / "canary").exists()


def test_a_crafted_meta_file_is_refused_too(tmp_path: Path) -> None:
    write(tmp_path, "cifar10", PYTHON, False, photographs("cifar10"))
    crafted(tmp_path / PYTHON.folder / "batches.meta")
    with pytest.raises(DataError, match=r"batches\.meta: a file of images holds"):
        load_dataset("cifar10", tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS["cifar10"], ids=lambda layout: layout.folder)
def test_other_class_names_are_refused(tmp_path: Path, layout: Layout) -> None:
    write(tmp_path, "cifar10", layout, False, photographs("cifar10"))
    names = tmp_path / layout.folder / layout.names
    names.write_bytes(names.read_bytes().replace(b"cat", b"cow"))
    with pytest.raises(DataError, match=r"class 3 is 'cat', not 'cow'"):
        load_dataset("cifar10", tmp_path)


def test_class_names_may_be_missing(tmp_path: Path) -> None:
    write(tmp_path, "cifar10", PYTHON, False, photographs("cifar10"))
    (tmp_path / PYTHON.folder / PYTHON.names).unlink()
    assert load_dataset("cifar10", tmp_path).part


def test_a_batch_missing_from_an_archive_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / BINARY.folder, files_of("cifar10", BINARY, noise("cifar10")))
    (folder / "test_batch.bin").unlink()
    write_archive(tmp_path / "other" / BINARY.archive, folder)
    with pytest.raises(
        DataError, match=r"cifar-10-binary\.tar\.gz:cifar-10-batches-bin/test_batch\.bin: missing"
    ):
        load_dataset("cifar10", tmp_path / "other")


def test_more_images_than_published_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "cifar10", BINARY, False, noise("cifar10")) / BINARY.folder
    (folder / "test_batch.bin").write_bytes(bytes(3073 * 10_001))
    with pytest.raises(DataError, match=r"test_batch\.bin: 1 to 10000 images, not 10001"):
        load_dataset("cifar10", tmp_path)


def test_cifar10_records_are_not_taken_for_cifar100s(tmp_path: Path) -> None:
    content = {"train.bin": bytes(3073 * 100), "test.bin": bytes(3073 * 100)}
    write_folder(tmp_path / "cifar-100-binary", content)
    with pytest.raises(DataError, match="a whole number of records of 3074 bytes"):
        load_dataset("cifar100", tmp_path)


def test_loading_again_needs_no_more_than_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "cifar10", PYTHON, False, photographs("cifar10"))
    before = sorted(tmp_path.rglob("*"))
    load_dataset("cifar10", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


# The real data ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(data_dir: Path) -> LoadedData:
    return load_dataset("cifar10", data_dir)


def real_batches(data: LoadedData) -> dict[str, Batch]:
    """The real images as binary batches, by file."""
    planes, labels = (
        np.concatenate([getattr(data, f"{split}_{kind}") for split in ("train", "test")])
        for kind in ("inputs", "targets")
    )
    size = len(labels) // 6
    flat = np.ascontiguousarray(planes.transpose(0, 3, 1, 2)).reshape(-1, 3072)
    names = [*PYTHON.train, *PYTHON.test]
    return {
        file: Batch(flat[k * size : (k + 1) * size], labels[k * size : (k + 1) * size])
        for k, file in enumerate(names)
    }


@pytest.mark.real_data
def test_the_real_cifar10_is_whole(real: LoadedData) -> None:
    assert not real.part
    assert real.train_inputs.shape == (50_000, 32, 32, 3)
    assert real.test_inputs.shape == (10_000, 32, 32, 3)
    assert np.bincount(real.train_targets).tolist() == [5000] * 10
    assert np.bincount(real.test_targets).tolist() == [1000] * 10


@pytest.mark.real_data
def test_the_real_cifar10_loads_in_seconds(data_dir: Path) -> None:
    started = time.perf_counter()
    load_dataset("cifar10", data_dir)
    assert time.perf_counter() - started < 10  # 0.6 s on two idle cores; a busy machine is not a fault


@pytest.mark.real_data
def test_the_real_cifar100_is_read(data_dir: Path) -> None:
    data = load_dataset("cifar100", data_dir)
    assert len(set(np.bincount(data.train_targets).tolist())) == 1
    assert data.part == (len(data.train_targets) < 50_000)


@pytest.mark.real_data
def test_a_balanced_part_of_the_real_cifar10_is_named_as_one(real: LoadedData, tmp_path: Path) -> None:
    batches = {}
    for file, batch in real_batches(real).items():
        first = np.concatenate([np.flatnonzero(batch.labels == label)[:10] for label in range(10)])
        batches[file] = Batch(batch.planes[first], batch.labels[first])
    assert load_dataset("cifar10", write(tmp_path, "cifar10", PYTHON, False, batches)).part


def jpeg(images: NDArray[Any]) -> NDArray[np.uint8]:
    """``images`` through JPEG at its best quality, as one tall picture: the 8x8 blocks are the same."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(images.reshape(-1, 32, 3)).save(file, "JPEG", quality=100, subsampling=0)
    return np.asarray(Image.open(file)).reshape(images.shape)


@pytest.mark.real_data
def test_a_jpeg_copy_of_one_batch_is_told_apart(real: LoadedData, tmp_path: Path) -> None:
    batches = real_batches(real)
    lossy = np.concatenate([jpeg(part) for part in np.split(real.train_inputs[:10_000], 10)])
    planes = np.ascontiguousarray(lossy.transpose(0, 3, 1, 2)).reshape(-1, 3072)
    batches["data_batch_1"] = Batch(planes, batches["data_batch_1"].labels)
    write(tmp_path, "cifar10", BINARY, False, batches)
    with pytest.raises(DataError, match=r"the channel means of the training images are 0\.49139968"):
        load_dataset("cifar10", tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize("file", ["data_batch_2", "test_batch"])
def test_one_changed_pixel_row_of_the_whole_set_is_found(real: LoadedData, tmp_path: Path, file: str) -> None:
    batches = real_batches(real)
    planes = batches[file].planes.copy()
    planes[123, :32] = 0
    batches[file] = Batch(planes, batches[file].labels)
    write(tmp_path, "cifar10", BINARY, False, batches)
    with pytest.raises(DataError, match=r"the channel means of the (training|test) images"):
        load_dataset("cifar10", tmp_path)


@pytest.mark.real_data
def test_the_test_batch_in_place_of_a_training_batch_is_named(real: LoadedData, tmp_path: Path) -> None:
    batches = real_batches(real)
    batches["data_batch_2"] = batches["test_batch"]
    write(tmp_path, "cifar10", BINARY, False, batches)
    with pytest.raises(
        DataError, match=r"test_batch\.bin: .* 10000 of its 10000 are those of .*data_batch_2\.bin"
    ):
        load_dataset("cifar10", tmp_path)


@pytest.mark.real_data
def test_training_and_test_images_exchanged_are_found(real: LoadedData, tmp_path: Path) -> None:
    batches = real_batches(real)
    batches["data_batch_2"], batches["test_batch"] = batches["test_batch"], batches["data_batch_2"]
    write(tmp_path, "cifar10", BINARY, False, batches)
    with pytest.raises(DataError, match="the same number of images of each class"):
        load_dataset("cifar10", tmp_path)
