"""What is asked of a cluster: a study, by a name that is the same each time it is asked for."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal

from study.spec import StudySpec
from study.submission.target import Target

State = Literal["waiting", "running", "stopped", "finished", "failed", "gone"]
LIVE: tuple[State, ...] = ("waiting", "running")


@dataclass(frozen=True)
class Order:
    """A study to be run at a target."""

    spec: StudySpec
    out: str
    data_dir: str | None = None
    tracking_uri: str | None = None
    max_concurrent: int | None = None

    @property
    def file(self) -> str:
        """What the resolved study file is called where it arrives."""
        return f"{self.spec.name}.toml"

    @property
    def base_id(self) -> str:
        return base_id(self.spec.name, self.spec.digest)

    def command(self, target: Target, file: str) -> list[str]:
        """What is run there; a study that was cut short goes on by the same command."""
        words = [target.python, "-m", "study", "run", file, "--out", self.out, "--address", "auto"]
        for option, value in (
            ("--data-dir", self.data_dir),
            ("--tracking-uri", self.tracking_uri),
            ("--max-concurrent", self.max_concurrent),
        ):
            words += [option, str(value)] if value is not None else []
        return words


@dataclass(frozen=True)
class Job:
    """One submission as the cluster knows it. ``id`` is ``study-NAME-DIGEST``, with ``-2`` and so on behind
    it where that was submitted before and ended; ``at`` is when it was sent, in seconds since 1970, ``out``
    its folder of records, as far as the cluster says."""

    id: str
    state: State
    says: str = ""
    at: float = 0.0
    out: str = ""

    @property
    def number(self) -> int:
        match = re.search(r"-[0-9a-f]{12}-(\d+)$", self.id)
        return int(match[1]) if match else 1


def base_id(name: str, digest: str) -> str:
    return f"study-{name}-{digest}"


def numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}-{number}"


def is_of(job_id: str, name: str, digest: str) -> bool:
    """Whether a job runs the study ``name``, with a digest that begins so."""
    match = re.fullmatch(r"study-(.+)-([0-9a-f]{12})(-\d+)?", job_id)
    return match is not None and match[1] == name and match[2].startswith(digest)


def shell(words: list[str], secrets: str | None) -> str:
    """The command as a shell's line, which reads the secrets where it runs."""
    line = f"exec {shlex.join(words)}"
    return line if secrets is None else f"set -a && . {shlex.quote(secrets)} && set +a && {line}"
