"""What is asked of a service, checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from study.errors import StudyError, shorten
from study.processes import HOST
from study.tracking.addresses import has_password, redacted

PORT = 5000
PLACE = r"(/|[a-z0-9+]+://)[^\x00-\x20]{1,500}"
# A host as it stands in a URL, or a pattern of hosts as MLflow takes it.
NAME = r"[A-Za-z0-9*:\[][A-Za-z0-9.*:\[\]_-]{0,252}"
DRIVERS = ("postgresql", "postgresql+psycopg")


@dataclass(frozen=True)
class Wanted:
    """A service's settings. ``database`` is a PostgreSQL's URI without a password, None for one of its own;
    ``artifacts`` a folder or an object store's URI, None for a folder of its own; ``port`` 0 takes any."""

    host: str = HOST
    port: int = PORT
    database: str | None = None
    basic_auth: bool = False
    allowed_hosts: tuple[str, ...] = ()
    artifacts: str | None = None
    workers: int = 1

    def open(self) -> bool:
        """Whether other machines are to reach it."""
        if self.host == "localhost":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return True


def wanted(given: Mapping[str, Any]) -> Wanted:
    """The settings that were given, and the others' defaults. StudyError where one cannot be meant, or where
    a library is missing."""
    asked = Wanted(**given)
    for option, names in (("--host", (asked.host,)), ("--allowed-hosts", asked.allowed_hosts)):
        for name in names:
            if not re.fullmatch(NAME, name):
                raise StudyError(f"{option} {shorten(name)}: must be a host's name or address")
    if asked.database is not None:
        _check_database(asked.database)
    if asked.artifacts is not None and not re.fullmatch(PLACE, asked.artifacts):
        raise StudyError(f"--artifacts {shorten(asked.artifacts)}: must be a whole path, or s3://BUCKET/PATH")
    if asked.artifacts is not None and redacted(asked.artifacts) != asked.artifacts:
        raise StudyError("--artifacts: must not hold a password; set the store's own environment variables")
    _check_libraries(asked)
    return asked


def _check_database(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 -- raises where it is no number
    except ValueError as error:
        raise StudyError(
            f"--database: is not a URI ({error}); e.g. postgresql://mlflow@127.0.0.1/mlflow"
        ) from error
    if has_password(uri):
        raise StudyError(
            "--database: must not hold a password, which `ps` would show; put it into ~/.pgpass or the file "
            "that PGPASSFILE names (HOST:PORT:NAME:USER:PASSWORD, mode 0600)"
        )
    if parts.scheme not in DRIVERS or not parts.path.strip("/"):
        raise StudyError(
            f"--database {shorten(redacted(uri))}: must be the URI of a PostgreSQL's database, e.g. "
            "postgresql://mlflow@127.0.0.1/mlflow"
        )


def _check_libraries(asked: Wanted) -> None:
    needed = {"psycopg": "PostgreSQL", **({"flask_wtf": "--basic-auth"} if asked.basic_auth else {})}
    if (asked.artifacts or "").startswith("s3://") and find_spec("boto3") is None:
        raise StudyError("--artifacts s3://... needs boto3; install it: pip install boto3")
    for library, what in needed.items():
        if find_spec(library) is None:
            raise StudyError(f"{what} needs {library}; install it: pip install 'study-service[service]'")
