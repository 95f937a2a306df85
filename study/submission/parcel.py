"""What travels to a cluster: the resolved study file, and the source of this package as it stands here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from study.submission.order import Order

PACKAGE = Path(__file__).parent.parent

# Bundled studies are not needed: the resolved file holds all of the one that is run.
LEFT_OUT = ("__pycache__", "_bundled")


def pack(order: Order, folder: Path) -> None:
    """Put the parcel into ``folder``: NAME.toml, and study/ beside it, so that whatever starts there with
    `python -m study` runs this source and not an installed one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / order.file).write_text(order.spec.to_toml(), encoding="utf-8")
    for path in sources():
        to = folder / "study" / path.relative_to(PACKAGE)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def sources() -> Iterator[Path]:
    """The package's own files."""
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and not set(LEFT_OUT) & set(path.relative_to(PACKAGE).parts):
            yield path


def contents(order: Order) -> list[str]:
    """What the parcel holds, for people."""
    files = list(sources())
    size = sum(path.stat().st_size for path in files)
    return [order.file, f"study/ ({len(files)} files, {size / 1e6:.1f} MB)"]
