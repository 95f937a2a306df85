"""Files that their owner alone reads: secrets, made at random, and the logs of servers."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import BinaryIO


def new_secret() -> str:
    """256 random bits as hexadecimal digits, which no shell, URI or ini file takes for anything else."""
    return secrets.token_hex(32)


def write_private(path: Path, text: str) -> Path:
    """Write a file of mode 0600, which appears under its name when whole; one that is there is replaced."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
    return path


def new_log(path: Path) -> BinaryIO:
    """An empty log of mode 0600, to write and to read; the one before it stays beside it, as NAME.1."""
    if path.exists():
        path.replace(path.with_name(f"{path.name}.1"))
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
