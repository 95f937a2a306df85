"""New SQLite stores as copies of a blank one.

MLflow makes a database by going through every change that its tables have ever seen: more than a second
of a processor and hundreds of writes, in a study's first trials. So what it made the first time is kept in
the user's cache folder, one file for each version of MLflow. Where there is none, or none can be read or
written, MLflow makes its own as ever.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from study.places import cache_folder

# MLflow puts one experiment into a store without any, with the folder that it was started in.
OF_ITS_OWN = "Default"


@contextmanager
def at_hand(path: Path | None) -> Iterator[None]:
    """While it lasts MLflow is led to its store at ``path``: to a copy of the blank one, if there is none.
    What MLflow has made by itself is kept as the blank one. Nothing is done for a store that is no file."""
    if path is None:
        yield
        return
    made = not path.exists() and not copied(path)
    yield
    if made:
        keep(path)


def copied(path: Path) -> bool:
    """Whether a whole copy is there now. A file that has come meanwhile is left as it is."""
    with suppress(OSError), tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as folder:
        copy = Path(shutil.copyfile(kept(), Path(folder) / path.name))
        if is_blank(copy, experiments=[]):
            os.link(copy, path)
            return True
    return False


def keep(path: Path) -> None:
    """Keep a copy of the store at ``path`` as the blank one, unless something was written to it already."""
    target = kept()
    with suppress(OSError, sqlite3.Error):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            copy = Path(folder) / target.name
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as blank:
                source.backup(blank)
            if is_blank(copy, experiments=[OF_ITS_OWN]):
                with closing(sqlite3.connect(copy)) as blank, blank:
                    blank.execute("DELETE FROM experiments")
                copy.replace(target)


def kept() -> Path:
    return cache_folder() / f"mlflow-{version('mlflow')}.db"


def is_blank(path: Path, experiments: list[str]) -> bool:
    """Whether it is a whole database with these experiments and no run."""
    try:
        with closing(sqlite3.connect(path)) as there:
            (sound,) = there.execute("PRAGMA quick_check").fetchone()
            names = [name for (name,) in there.execute("SELECT name FROM experiments")]
            (runs,) = there.execute("SELECT COUNT(*) FROM runs").fetchone()
            (revisions,) = there.execute("SELECT COUNT(*) FROM alembic_version").fetchone()
    except sqlite3.Error:
        return False
    return (sound, names, runs, revisions) == ("ok", experiments, 0, 1)
