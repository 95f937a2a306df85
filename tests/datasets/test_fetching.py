"""Downloads from a real server: whole, resumed, refused."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from study.components.datasets.fetching import PUBLICATIONS, Archive, download, fetch
from study.errors import DataError, UnknownName

CONTENT = bytes(range(256)) * 4096
ARCHIVE = Archive("images.tar.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Site:
    """What the server answers with, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    status: HTTPStatus = HTTPStatus.OK
    ranges: bool = True
    breaks_after: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.asked.append((handler.path, asked))
        start = int(re.findall(r"\d+", asked)[0]) if asked and self.ranges else 0
        if start > len(self.content):
            handler.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        if self.status is not HTTPStatus.OK:
            handler.send_error(self.status)
            return
        handler.send_response(HTTPStatus.PARTIAL_CONTENT if asked and self.ranges else HTTPStatus.OK)
        handler.send_header("Content-Length", str(len(self.content) - start))
        if asked and self.ranges:
            end = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.content[start:][: self.breaks_after])


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Says nothing: the test's output is its own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/kriz"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def part_of(folder: Path) -> Path:
    return folder / f"{ARCHIVE.name}.part"


def leave_part(folder: Path, content: bytes) -> None:
    part_of(folder).write_bytes(content)


def test_a_download_is_whole_under_its_name_and_leaves_nothing_else(site: Site, tmp_path: Path) -> None:
    path = download(ARCHIVE, tmp_path / "new" / "folder", base_url=site.url)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert site.asked == [("/kriz/images.tar.gz", "bytes=0-")]


def test_a_cut_download_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.breaks_after = 300_000
    with pytest.raises(
        DataError, match=r"broke off at 0\.3 MB of 1\.0 MB .*; fetch again: it goes on from there$"
    ):
        download(ARCHIVE, tmp_path, base_url=site.url)
    assert part_of(tmp_path).read_bytes() == CONTENT[:300_000]
    site.breaks_after = None
    assert download(ARCHIVE, tmp_path, base_url=site.url).read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == ["bytes=0-", "bytes=300000-"]


def test_a_server_that_knows_no_ranges_sends_it_all_again(site: Site, tmp_path: Path) -> None:
    leave_part(tmp_path, CONTENT[:1000])
    site.ranges = False
    assert download(ARCHIVE, tmp_path, base_url=site.url).read_bytes() == CONTENT


def test_a_part_that_is_whole_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    leave_part(tmp_path, CONTENT)
    assert download(ARCHIVE, tmp_path, base_url=site.url).read_bytes() == CONTENT
    assert site.asked == []


def test_a_part_that_is_too_long_is_started_over(site: Site, tmp_path: Path) -> None:
    leave_part(tmp_path, CONTENT + b"more")
    assert download(ARCHIVE, tmp_path, base_url=site.url).read_bytes() == CONTENT


def test_progress_counts_from_what_is_there_to_the_whole(site: Site, tmp_path: Path) -> None:
    leave_part(tmp_path, CONTENT[:1000])
    seen: list[int] = []
    download(ARCHIVE, tmp_path, base_url=site.url, progress=seen.append)
    assert seen[0] == 1000
    assert seen[-1] == len(CONTENT)
    assert seen == sorted(seen)


def test_the_name_does_not_appear_before_the_content_is_whole(site: Site, tmp_path: Path) -> None:
    there: list[bool] = []
    download(
        ARCHIVE,
        tmp_path,
        base_url=site.url,
        progress=lambda _: there.append((tmp_path / ARCHIVE.name).exists()),
    )
    assert not any(there)


@pytest.mark.parametrize(
    "content", [CONTENT[::-1], b"<html>Sign in</html>" * 60_000], ids=["other", "longer"]
)
def test_a_wrong_checksum_is_refused_and_removed(site: Site, tmp_path: Path, content: bytes) -> None:
    site.content = content
    with pytest.raises(DataError, match=r"not the published images\.tar\.gz .* it was removed"):
        download(ARCHIVE, tmp_path, base_url=site.url)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_beginning_is_removed_so_that_the_next_fetch_is_right(site: Site, tmp_path: Path) -> None:
    leave_part(tmp_path, b"wrong" * 100)
    with pytest.raises(DataError, match="it was removed"):
        download(ARCHIVE, tmp_path, base_url=site.url)
    assert download(ARCHIVE, tmp_path, base_url=site.url).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE])
def test_a_servers_error_is_one_line(site: Site, tmp_path: Path, status: HTTPStatus) -> None:
    site.status = status
    with pytest.raises(DataError) as caught:
        download(ARCHIVE, tmp_path, base_url=site.url)
    assert str(caught.value) == (
        f"{site.url}/images.tar.gz: the server answered {status.value} {status.phrase}; try again later, or"
        " put the archive into the data folder by hand"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_the_server_cannot_continue_is_dropped(site: Site, tmp_path: Path) -> None:
    leave_part(tmp_path, CONTENT[:5000])
    site.content = CONTENT[:100]
    with pytest.raises(DataError, match="answered 416"):
        download(ARCHIVE, tmp_path, base_url=site.url)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_labelled_as_compressed_is_kept_as_it_comes(site: Site, tmp_path: Path) -> None:
    site.headers["Content-Encoding"] = "x-gzip"
    assert download(ARCHIVE, tmp_path, base_url=site.url).read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_one_line(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the server cannot be reached \(\w+\); try again later"):
        download(ARCHIVE, tmp_path, base_url="http://127.0.0.1:9")


def test_an_archive_that_is_there_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / ARCHIVE.name).write_bytes(CONTENT)
    assert download(ARCHIVE, tmp_path, base_url=site.url).read_bytes() == CONTENT
    assert site.asked == []


def test_another_file_under_the_archives_name_is_not_overwritten(site: Site, tmp_path: Path) -> None:
    (tmp_path / ARCHIVE.name).write_bytes(b"mine")
    with pytest.raises(DataError, match="it is there and is not the published archive; move it away"):
        download(ARCHIVE, tmp_path, base_url=site.url)
    assert (tmp_path / ARCHIVE.name).read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_one_line(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written: Not a directory"):
        download(ARCHIVE, tmp_path / "file" / "folder", base_url=site.url)


def test_an_archive_larger_than_the_disk_is_not_begun(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images\.tar\.gz needs .* MB, and .* MB are free there"):
        download(Archive(ARCHIVE.name, 10**17, ARCHIVE.sha256), tmp_path, base_url=site.url)
    assert site.asked == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(site: Site, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be written: Permission denied"):
        download(ARCHIVE, tmp_path, base_url=site.url)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_fetch_asks_for_the_published_archive(site: Site, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="broke off"):
        fetch(name, tmp_path, base_url=site.url)
    assert site.asked == [(f"/kriz/{PUBLICATIONS[name].archives[0].name}", "bytes=0-")]


def test_files_of_a_data_set_are_fetched_one_after_another_into_its_folder(
    site: Site, tmp_path: Path
) -> None:
    first, second, *_ = PUBLICATIONS["fashion_mnist"].archives
    folder = tmp_path / PUBLICATIONS["fashion_mnist"].folder
    folder.mkdir()
    (folder / first.name).write_bytes(b"mine")
    with pytest.raises(DataError, match=f"{first.name}: it is there and is not the published archive"):
        fetch("fashion_mnist", tmp_path, base_url=site.url)
    (folder / first.name).unlink()
    with pytest.raises(DataError, match=f"{first.name}: the download broke off"):
        fetch("fashion_mnist", tmp_path, base_url=site.url)
    assert site.asked == [(f"/kriz/{first.name}", "bytes=0-")]
    assert [path.name for path in folder.iterdir()] == [f"{first.name}.part"]
    assert second.name == "train-labels-idx1-ubyte.gz"


def test_fetch_knows_no_archive_of_an_embedded_data_set(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown download 'digits'"):
        fetch("digits", tmp_path)
