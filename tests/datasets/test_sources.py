"""Folders and archives give the files that are asked for, and refuse what could harm."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from study.components.datasets.sources import (
    MAX_ARCHIVE_BYTES,
    MAX_FILE_BYTES,
    MAX_MEMBERS,
    read_archive,
    read_folder,
)
from study.errors import DataError


def archive_with(path: Path, *members: tarfile.TarInfo, content: bytes = b"content") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_a_folder_gives_the_files_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "c").write_bytes(b"three")
    found = list(read_folder(tmp_path, ["a", "b"]))
    assert found == [("a", str(tmp_path / "a"), b"one")]


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").symlink_to("a")
    assert [content for _, _, content in read_folder(tmp_path, ["b"])] == [b"one"]


def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [content for _, _, content in read_folder(tmp_path / "link", ["a"])] == [b"one"]


def link_out(path: Path) -> None:
    (path.parent.parent / "outside").write_bytes(b"secret")
    path.symlink_to("../outside")


def huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)


BAD_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "link out": (link_out, "a symbolic link that leads out of its folder"),
    "absolute link": (lambda path: path.symlink_to("/etc/passwd"), "a symbolic link that leads out"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic link"),
    "dangling link": (lambda path: path.symlink_to("nothing"), "cannot be read: No such file"),
    "pipe": (os.mkfifo, "not a regular file"),
    "folder": (Path.mkdir, "not a regular file"),
    "huge": (huge_file, "no published file has over"),
}


@pytest.mark.parametrize(("make", "rule"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_refused_with_its_path_and_the_rule(
    tmp_path: Path, make: Callable[[Path], None], rule: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder / "a")
    with pytest.raises(DataError, match=rule) as caught:
        list(read_folder(folder, ["a"]))
    assert str(caught.value).startswith(str(folder / "a"))


def test_an_archive_gives_the_files_of_its_folder(tmp_path: Path) -> None:
    archive = archive_with(
        tmp_path / "x.tar.gz", *map(tarfile.TarInfo, ["./folder/a", "folder/readme.html", "other/b"])
    )
    found = list(read_archive(archive, "folder", ["a", "b"]))
    assert found == [("a", f"{archive}:folder/a", b"content")]


def test_an_archive_is_never_unpacked(tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "x.tar.gz", tarfile.TarInfo("folder/a"))
    list(read_archive(archive, "folder", ["a"]))
    assert list(tmp_path.rglob("*")) == [archive]


BAD_MEMBERS = {
    "absolute": (tarfile.TarInfo("/etc/passwd"), "a name that leads out"),
    "parent": (tarfile.TarInfo("folder/../../a"), "a name that leads out"),
    "backslash": (tarfile.TarInfo("folder\\..\\a"), "a name that leads out"),
    "symbolic link": (link("folder/a", "/etc/passwd"), "a link, a device or a sparse file"),
    "hard link": (link("folder/a", "b", tarfile.LNKTYPE), "a link, a device or a sparse file"),
    "device": (link("folder/a", "", tarfile.CHRTYPE), "a link, a device or a sparse file"),
    "pipe": (link("folder/a", "", tarfile.FIFOTYPE), "a link, a device or a sparse file"),
}


@pytest.mark.parametrize(("member", "rule"), BAD_MEMBERS.values(), ids=BAD_MEMBERS.keys())
def test_a_bad_member_is_refused_though_nobody_asked_for_it(
    tmp_path: Path, member: tarfile.TarInfo, rule: str
) -> None:
    archive = archive_with(tmp_path / "x.tar.gz", member)
    with pytest.raises(DataError, match=rule) as caught:
        list(read_archive(archive, "folder", ["other"]))
    assert str(caught.value).startswith(f"{archive}: member ")


def test_a_member_that_claims_to_be_huge_is_refused_unread(tmp_path: Path) -> None:
    member = tarfile.TarInfo("folder/a")
    member.size = MAX_FILE_BYTES + 1
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(gzip.compress(member.tobuf()))
    with pytest.raises(DataError, match="no published file has over"):
        list(read_archive(archive, "folder", ["a"]))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    member = tarfile.TarInfo("folder/a")
    member.size = MAX_ARCHIVE_BYTES // 2
    with gzip.open(archive, "wb", compresslevel=1) as file:
        for number in range(3):
            member.name = f"folder/{number}"
            file.write(member.tobuf())
            file.write(bytes(member.size))
    with pytest.raises(DataError, match=f"unpacks to more than {MAX_ARCHIVE_BYTES} bytes"):
        list(read_archive(archive, "folder", ["z"]))


def test_an_archive_with_too_many_members_is_refused(tmp_path: Path) -> None:
    members = [tarfile.TarInfo(f"folder/{number}") for number in range(MAX_MEMBERS + 1)]
    archive = archive_with(tmp_path / "x.tar.gz", *members)
    with pytest.raises(DataError, match=f"at most {MAX_MEMBERS} members"):
        list(read_archive(archive, "folder", ["z"]))


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "x.tar.gz", tarfile.TarInfo("folder/a"), tarfile.TarInfo("folder/a"))
    with pytest.raises(DataError, match="'folder/a' once"):
        list(read_archive(archive, "folder", ["a"]))


@pytest.mark.parametrize("keep", [0, 5, 30, -30])
def test_a_cut_archive_is_called_damaged(tmp_path: Path, keep: int) -> None:
    archive = archive_with(tmp_path / "x.tar.gz", tarfile.TarInfo("folder/a"), content=os.urandom(5000))
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"damaged archive: .*; remove it and fetch it again$"):
        list(read_archive(archive, "folder", ["a"]))


def test_a_file_that_is_no_archive_is_called_damaged(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_text("<html>Not found</html>")
    with pytest.raises(DataError, match="damaged archive"):
        list(read_archive(archive, "folder", ["a"]))


def test_an_archive_that_is_a_link_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    real = archive_with(tmp_path / "x.tar.gz", tarfile.TarInfo("folder/a"))
    (tmp_path / "folder" / "x.tar.gz").symlink_to(real)
    with pytest.raises(DataError, match="a symbolic link that leads out"):
        list(read_archive(tmp_path / "folder" / "x.tar.gz", "folder", ["a"]))
