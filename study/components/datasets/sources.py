"""Where the files of a data set lie: a folder, or a tar archive, which is read and never unpacked."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from study.components.datasets.info import refusal
from study.errors import shorten

# The largest published file is CIFAR-100's training batch (155 MB); an archive holds 187 MB in all.
MAX_FILE_BYTES = 200 * 2**20
MAX_ARCHIVE_BYTES = 256 * 2**20
MAX_MEMBERS = 1000


def user_data_folder() -> Path:
    """Where data sets are kept when no folder is given: the platform's data folder of this user."""
    from platformdirs import user_data_path

    return user_data_path("study", appauthor=False)


def read_folder(folder: Path, names: Collection[str]) -> Iterator[tuple[str, str, bytes]]:
    """(name, path, content) of each of ``names`` that ``folder`` has.

    DataError on a file that is too large, is no regular file, or is a symbolic link out of the folder.
    """
    for name in names:
        path = folder / name
        if path.is_symlink() or path.exists():
            yield name, str(path), _content(folder, path)


def _content(folder: Path, path: Path) -> bytes:
    try:
        _check_inside(path, folder)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise refusal(path, "not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise refusal(path, f"{status.st_size} bytes, and no published file has over {MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise refusal(path, f"cannot be read: {error.strerror}") from None


def _check_inside(path: Path, folder: Path) -> None:
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # a symbolic link to itself, until Python 3.13
        inside = False
    if not inside:
        raise refusal(path, "a symbolic link that leads out of its folder", "put the file itself there")


def read_archive(archive: Path, folder: str, names: Collection[str]) -> Iterator[tuple[str, str, bytes]]:
    """(name, place, content) of each of ``names`` that lies in ``folder`` inside a tar.gz archive.

    They come in the archive's order. DataError on a damaged archive, on one that unpacks to more than
    MAX_ARCHIVE_BYTES, and on any member with an absolute name, a ".." in it, a link, a device, or a
    size beyond MAX_FILE_BYTES, whether it would be read or not.
    """
    wanted = {f"{folder}/{name}": name for name in names}
    seen: set[str] = set()
    try:
        _check_inside(archive, archive.parent)
        with gzip.open(archive) as unzipped, _tar(_Limited(unzipped, archive)) as tar:
            for member in tar:
                path = _safe_name(archive, member)
                if path in seen or len(seen) == MAX_MEMBERS:
                    raise refusal(archive, f"at most {MAX_MEMBERS} members, and {shorten(path)} once")
                seen.add(path)
                content = tar.extractfile(member) if path in wanted else None
                if content is not None:
                    yield wanted[path], f"{archive}:{path}", content.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise refusal(archive, f"damaged archive: {error}", "remove it and fetch it again") from None
    except OSError as error:
        raise refusal(archive, f"cannot be read: {error.strerror or error}") from None


def _tar(stream: _Limited) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|")


def _safe_name(archive: Path, member: tarfile.TarInfo) -> str:
    """The member's normalised name, or DataError where an honest archive would have no such member."""
    path = PurePosixPath(member.name)
    place = f"{archive}: member {shorten(member.name)}"
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise refusal(place, "a name that leads out of the archive's folder")
    if member.issparse() or not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
        raise refusal(place, "a link, a device or a sparse file, where only files and folders may be")
    if member.size > MAX_FILE_BYTES:
        raise refusal(place, f"{member.size} bytes, and no published file has over {MAX_FILE_BYTES}")
    return str(path)


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than MAX_ARCHIVE_BYTES: a small archive can unpack to anything."""

    def __init__(self, stream: gzip.GzipFile, place: Path) -> None:
        self.stream, self.place, self.given = stream, place, 0

    def read(self, size: int = -1) -> bytes:
        taken = self.stream.read(size)
        self.given += len(taken)
        if self.given > MAX_ARCHIVE_BYTES:
            raise refusal(self.place, f"unpacks to more than {MAX_ARCHIVE_BYTES} bytes")
        return taken
