"""Downloads what is published: resumable, verified, and under its final name only when whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from study.components.datasets.info import refusal
from study.components.datasets.sources import user_data_folder
from study.errors import DataError
from study.registry import Registry

if TYPE_CHECKING:
    from requests import Response

CONNECT_TIMEOUT_S = 15
READ_TIMEOUT_S = 60
_CHUNK_BYTES = 2**18
_BY_HAND = "try again later, or put the archive into the data folder by hand"

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Archive:
    """A published file: its name, its size, and the checksum of its content."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Publication:
    """Where a data set is published, its files, and the folder of the data folder that they are put in."""

    url: str
    archives: tuple[Archive, ...]
    folder: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(archive.size_bytes for archive in self.archives)


def fetch(
    name: str, data_dir: Path | None, *, base_url: str | None = None, progress: Progress | None = None
) -> Path:
    """What data set ``name`` is read from, in ``data_dir`` (None: the user's data folder): its archive,
    or the folder of its files.

    Downloads what is missing of it. ``progress`` is told the number of bytes that are there, as they
    come. DataError where the server, the network, the disk or the checksum refuses.
    """
    published = PUBLICATIONS[name]
    folder, before = (data_dir or user_data_folder()) / published.folder, 0
    for archive in published.archives:
        tell = None if progress is None else partial(_tell, progress, before)
        download(archive, folder, base_url=base_url or published.url, progress=tell)
        before += archive.size_bytes
    return folder if published.folder else folder / published.archives[0].name


def _tell(progress: Progress, before: int, done: int) -> None:
    progress(before + done)


def download(archive: Archive, folder: Path, *, base_url: str, progress: Progress | None = None) -> Path:
    """``archive`` under ``folder``, from ``base_url``. See ``fetch``."""
    final, part = folder / archive.name, folder / f"{archive.name}.part"
    if final.exists():
        if _checksum(final) != archive.sha256:
            raise refusal(
                final, "it is there and is not the published archive", "move it away and fetch again"
            )
        return final
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(archive, part)
        _complete(archive, part, f"{base_url.rstrip('/')}/{archive.name}", progress or (lambda done: None))
        part.replace(final)
    except OSError as error:
        raise refusal(folder, f"cannot be written: {error.strerror or error}") from None
    return final


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(archive: Archive, part: Path) -> None:
    needed, free = archive.size_bytes - _size(part), shutil.disk_usage(part.parent).free
    if needed > free:
        raise refusal(part.parent, f"{archive.name} needs {_mb(needed)}, and {_mb(free)} are free there")


def _complete(archive: Archive, part: Path, url: str, progress: Progress) -> None:
    """Downloads what ``part`` lacks, and verifies it; a wrong part is removed."""
    if _size(part) > archive.size_bytes:
        part.unlink()
    if _size(part) < archive.size_bytes:
        _receive(archive, part, url, progress)
    if _checksum(part) != archive.sha256:
        part.unlink()
        raise refusal(
            url,
            f"what came is not the published {archive.name} (its SHA-256 differs); it was removed",
            "fetch again, or get the archive elsewhere",
        )


def _receive(archive: Archive, part: Path, url: str, progress: Progress) -> None:
    import requests
    import urllib3

    headers = {"Accept-Encoding": "identity", "Range": f"bytes={_size(part)}-"}
    timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=timeout)
    except requests.RequestException as error:
        raise refusal(url, f"the server cannot be reached ({type(error).__name__})", _BY_HAND) from None
    with response:
        if response.status_code == 416:  # the server's file ends before ours
            part.unlink(missing_ok=True)
        if response.status_code not in (200, 206):
            raise refusal(url, f"the server answered {response.status_code} {response.reason}", _BY_HAND)
        resumed = response.status_code == 206 and _starts_at(response, _size(part))
        try:
            with part.open("ab" if resumed else "wb") as file:
                _save(archive, response, file, progress)
        except urllib3.exceptions.HTTPError as error:
            raise _broken(archive, part, url, type(error).__name__) from None
    if _size(part) < archive.size_bytes:
        raise _broken(archive, part, url, "the connection ended early")


def _starts_at(response: Response, size: int) -> bool:
    """Whether the answer goes on where the part ends; a server may answer with the whole instead."""
    return response.headers.get("Content-Range", "").startswith(f"bytes {size}-")


def _save(archive: Archive, response: Response, file: BinaryIO, progress: Progress) -> None:
    done = file.tell()
    progress(done)
    # The raw stream: some servers label a .tar.gz as gzip-encoded, and requests would unpack it.
    for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
        done += file.write(chunk)
        progress(done)
        if done > archive.size_bytes:  # it cannot be the archive: its checksum will say so
            break
    file.flush()
    os.fsync(file.fileno())


def _broken(archive: Archive, part: Path, url: str, reason: str) -> DataError:
    return refusal(
        url,
        f"the download broke off at {_mb(_size(part))} of {_mb(archive.size_bytes)} ({reason})",
        "fetch again: it goes on from there",
    )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


# The authors of Fashion-MNIST publish the MD5 of each file (8d4fb7e6..., 25c81989..., bef4ecab...,
# bb300cfd...); these are the SHA-256 of the same files, as libraries that fetch them have both.
PUBLICATIONS: Registry[Publication] = Registry(
    "download",
    cifar10=Publication(
        "https://www.cs.toronto.edu/~kriz",
        (
            Archive(
                "cifar-10-python.tar.gz",
                170_498_071,
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
    ),
    cifar100=Publication(
        "https://www.cs.toronto.edu/~kriz",
        (
            Archive(
                "cifar-100-python.tar.gz",
                169_001_437,
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            ),
        ),
    ),
    fashion_mnist=Publication(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        (
            Archive(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        folder="fashion-mnist",
    ),
)
