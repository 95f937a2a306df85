"""What runs of a service, in a file of its folder, so that a later command finds it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from study.errors import StudyError
from study.processes import known
from study.record import write_whole
from study.service.server import SECRETS
from study.service.wanted import Wanted

POSTGRES, MLFLOW = "PostgreSQL", "MLflow"


@dataclass(frozen=True)
class Part:
    """A program that was started, by its first process."""

    name: str
    pid: int
    born: float

    def process(self) -> psutil.Process | None:
        """Its first process; None once it has ended."""
        return known(self.pid, self.born)


@dataclass(frozen=True)
class Service:
    """A service that was started from ``folder``. ``tracking_uri`` is its address as this machine calls it,
    ``database`` its PostgreSQL's URI, without the password."""

    folder: Path
    tracking_uri: str
    database: str
    wanted: Wanted
    parts: tuple[Part, ...]

    def alive(self) -> bool:
        """Whether all of it runs: what was started, and MLflow's server among it."""
        return (
            self.parts != () and self.parts[-1].name == MLFLOW and all(part.process() for part in self.parts)
        )

    @property
    def secrets(self) -> Path | None:
        """The file with a name and password, where it asks for them."""
        return self.folder / SECRETS if self.wanted.basic_auth else None


def keep(service: Service) -> None:
    table = {**asdict(service), "folder": None}
    write_whole(service.folder / "service.json", json.dumps(table, indent=2))


def found(folder: Path) -> Service | None:
    """The service that ``folder`` tells of, alive or not. StudyError for a file that tells of none."""
    path = folder / "service.json"
    if not path.is_file():
        return None
    try:
        table: dict[str, Any] = json.loads(path.read_bytes())
        asked = table["wanted"] | {"allowed_hosts": tuple(table["wanted"]["allowed_hosts"])}
        parts = tuple(Part(**each) for each in table["parts"])
        return Service(folder, table["tracking_uri"], table["database"], Wanted(**asked), parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path}: is damaged; end MLflow and PostgreSQL by hand, and remove it") from error


def forget(service: Service) -> None:
    (service.folder / "service.json").unlink(missing_ok=True)
