"""New stores as copies of a blank one: the same as MLflow's own, and never in anybody's way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from study.tracking import blank
from study.tracking.store import connect, load_mlflow

TIMES = {"creation_time", "last_update_time"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one of the user's own."""
    load_mlflow()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "study"


def made(path: Path) -> Path:
    connect(f"sqlite:///{path}")
    return path


def content(path: Path) -> tuple[list[str], dict[str, list[dict[str, object]]]]:
    """The tables as they are declared, and all rows but for their times."""
    with closing(sqlite3.connect(path)) as there:
        there.row_factory = sqlite3.Row
        declared = [row["sql"] for row in there.execute("SELECT sql FROM sqlite_master ORDER BY name")]
        names = [row["name"] for row in there.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {
            name: [{key: row[key] for key in row.keys() if key not in TIMES} for row in found]  # noqa: SIM118
            for name in names
            if (found := there.execute(f'SELECT * FROM "{name}"').fetchall())
        }
    return declared, rows


def test_a_copy_is_what_mlflow_makes(tmp_path: Path, cache: Path) -> None:
    first = made(tmp_path / "first.db")
    (kept,) = cache.iterdir()
    assert kept == blank.kept()
    assert blank.is_blank(kept, experiments=[])
    second = tmp_path / "of" / "somebody" / "second.db"
    second.parent.mkdir(parents=True)
    assert blank.copied(second)
    assert content(made(second)) == content(first)
    assert [each.name for each in second.parent.iterdir()] == ["second.db"]


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\x00 and then nothing"])
def test_a_damaged_one_is_made_anew(tmp_path: Path, cache: Path, damage: bytes) -> None:
    blank.kept().parent.mkdir(parents=True)
    blank.kept().write_bytes(damage)
    made(tmp_path / "one.db")
    assert blank.is_blank(blank.kept(), experiments=[])


def test_a_store_that_is_there_is_left_as_it_is(tmp_path: Path, cache: Path) -> None:
    store = made(tmp_path / "store.db")
    connect(f"sqlite:///{store}").create_experiment("mine")
    before = store.read_bytes()
    assert not blank.copied(store)
    blank.kept().unlink()
    made(store)
    assert store.read_bytes() == before
    blank.keep(store)
    assert not blank.kept().exists()


def test_without_a_cache_mlflow_makes_its_own(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("in the way")
    assert made(tmp_path / "one.db").is_file()
    assert cache.read_text() == "in the way"
