"""What can be removed from the folder of the records, and its removal. What is not ours stays."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from study.errors import RecordError, StudyError
from study.record import StudyRecord, checkpoint_folder, folders, is_running
from study.report import CLAIMS, DIVERGENCE_MAP, FIGURE_NAMES

# What the project writes into a record's folder, as fnmatch has it.
PARTIAL = (".*.partial", "figures/.*.partial")
CHECKPOINTS = ("checkpoints/*/*.ckpt", "checkpoints/*/*.refused", "checkpoints/*/.*.partial")
OURS = (
    *("journal.jsonl", "mlflow.json", "report.html", "ranking.csv", DIVERGENCE_MAP, CLAIMS),
    *(f"figures/{name}.{kind}" for name in FIGURE_NAMES for kind in ("png", "svg")),
    "figures/why-*.png",
    *PARTIAL,
    *CHECKPOINTS,
    *("models/*/*.safetensors", "models/*/.*.partial"),
    # Last: while the study file is there, what is left can be found and cleaned another time.
    *(".mlflow.lock", "study.toml", ".lock"),
)


@dataclass(frozen=True)
class Removable:
    """Files of a record that can go, ``files`` in the order of their going. ``whole``: the record itself."""

    record: Path
    why: str
    files: tuple[Path, ...]
    size_bytes: int
    whole: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "record": str(self.record),
            "why": self.why,
            "whole": self.whole,
            "bytes": self.size_bytes,
            "files": [str(file) for file in self.files],
        }


def removable(root: Path, names: Sequence[str] = ()) -> tuple[Removable, ...]:
    """What was left behind in any record; of each NAME, the records but the newest; each NAME@DIGEST.

    Raises RecordError for a name that has no record, and for a named record that is running.
    """
    named = {folder: None for name in names for folder in _named(root, name)}
    left = (_left_behind(folder) for folder in folders(root, "*") if folder not in named)
    return tuple(each for each in (*map(_whole, named), *left) if each is not None and each.files)


def foreign(found: Iterable[Removable]) -> list[Path]:
    """The files of the records that would go whole which the project did not write."""
    return [path for each in found if each.whole for path in _files(each.record) if path not in each.files]


def remove(found: Iterable[Removable]) -> None:
    """Remove it, and the folders that are empty then. A study that has started meanwhile stays."""
    for each in found:
        lock = FileLock(each.record / ".lock")
        try:
            with lock.acquire(timeout=0):
                for path in each.files:
                    path.unlink(missing_ok=True)
        except Timeout as error:
            raise _running(each.record) from error
        except OSError as error:
            raise RecordError(f"{each.record}: cannot be removed: {error.strerror}") from error
        if each.whole:
            lock_file = each.record / ".lock"
            lock_file.unlink(missing_ok=True)
        _drop_empty(each)


def _named(root: Path, name: str) -> list[Path]:
    study, at, digest = name.partition("@")
    newest = StudyRecord.latest(root, name).folder
    if not at:
        return [folder for folder in folders(root, study) if folder != newest and not _runs(folder)]
    if newest.name != digest:
        raise RecordError(f"{name}: a record to be removed is named in full: {study}@{newest.name}")
    if _runs(newest):
        raise _running(newest)
    return [newest]


def _whole(folder: Path) -> Removable:
    files = [path for path in _files(folder) if _is_ours(path, folder)]
    files.sort(key=lambda path: path.name in ("study.toml", ".lock"))
    return _removable(folder, f"the record, {_state(folder)}", files, whole=True)


def _left_behind(folder: Path) -> Removable | None:
    """Half-written files, and the checkpoints of trials that have ended, of a study that is not running."""
    if _runs(folder):
        return None
    partial = [path for path in _files(folder) if _matches(path, folder, PARTIAL)]
    checkpoints = [path for path in _ended(folder) if _matches(path, folder, CHECKPOINTS)]
    return _removable(folder, "left behind, of no use to any report", [*partial, *checkpoints])


def _ended(folder: Path) -> Iterator[Path]:
    """The files in the checkpoint folders of trials that will not be resumed."""
    if not (folder / "checkpoints").is_dir():
        return
    try:
        record = StudyRecord(folder)
        results = record.results()
    except StudyError:
        return  # a damaged record may yet be restored
    for trial, result in results.items():
        if result.verdict.status != "failed":
            yield from _files(checkpoint_folder(record.checkpoints, trial))


def _removable(folder: Path, why: str, files: list[Path], whole: bool = False) -> Removable:
    return Removable(folder, why, tuple(files), sum(path.stat().st_size for path in files), whole)


def _state(folder: Path) -> str:
    try:
        return "finished" if StudyRecord(folder).finished else "unfinished"
    except StudyError:
        return "damaged"


def _files(folder: Path) -> Iterator[Path]:
    """Everything in it that is not a folder; links are not followed."""
    for at, inner, names in os.walk(folder):
        links = [name for name in inner if Path(at, name).is_symlink()]
        yield from (Path(at, name) for name in sorted([*names, *links]))


def _is_ours(path: Path, folder: Path) -> bool:
    return _matches(path, folder, OURS)


def _matches(path: Path, folder: Path, patterns: Iterable[str]) -> bool:
    """Whether it is a plain file with a name that the project gives, at the place where it puts it."""
    relative = path.relative_to(folder)
    if path.is_symlink():
        return False
    return any(
        len(relative.parts) == pattern.count("/") + 1 and fnmatch.fnmatchcase(relative.as_posix(), pattern)
        for pattern in patterns
    )


def _drop_empty(each: Removable) -> None:
    """Folders that nothing is left in, from the innermost out; with the record, the study's own."""
    inner = sorted({path.parent for path in each.files} | {each.record / "checkpoints"}, reverse=True)
    outer = [each.record, each.record.parent] if each.whole else []
    for folder in [*(path for path in inner if path != each.record), *outer]:
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def _runs(folder: Path) -> bool:
    try:
        return is_running(StudyRecord(folder))
    except StudyError:
        return False


def _running(folder: Path) -> RecordError:
    name = f"{folder.parent.name}@{folder.name}"
    return RecordError(f"{name} is running, and stays; stop it first (Ctrl-C, or study status {name})")
