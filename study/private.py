"""Secrets: made at random, and kept in files that their owner alone reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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
