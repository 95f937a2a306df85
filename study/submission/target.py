"""Targets: where studies can be sent. One TOML file each, bundled (cluster/NAME.toml) or the user's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from study.claims import STRICT
from study.errors import StudyFileError, UnknownName, shorten
from study.registry import nearest
from study.studyfile import read, rule
from study.tracking.addresses import redacted

# What may stand in a batch script's header, an image's name or a label: nothing that ends a line or a word.
WORD = r"^[A-Za-z0-9][A-Za-z0-9._,:=@/+-]{0,199}$"
# RFC 1123, as Kubernetes names its things.
KUBERNETES_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"

# Where Ray keeps a user's token.
TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105 -- a file's name

Word = Annotated[str, Field(pattern=WORD)]
Name = Annotated[str, Field(pattern=KUBERNETES_NAME)]
Quantity = Annotated[str, Field(pattern=QUANTITY)]
AbsolutePath = Annotated[str, Field(pattern=r"^/[^\x00-\x1f]{0,999}$")]
Command = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,1000}$")]
Count = Annotated[int, Field(ge=1, le=100_000)]
Seconds = Annotated[int, Field(ge=1, le=10**8)]


class Target(BaseModel):
    """What all kinds have. Paths are the cluster's own; each of its nodes sees ``out`` and ``data_dir``."""

    model_config = STRICT

    out: AbsolutePath | None = None
    data_dir: AbsolutePath | None = None
    tracking_uri: Annotated[str, Field(pattern=r"^[a-z0-9+]{1,40}://[^\x00-\x20]{1,500}$")] | None = None
    python: Annotated[str, Field(pattern=WORD.replace("[A-Za-z0-9]", "[A-Za-z0-9/]", 1))] = "python"

    @field_validator("tracking_uri")
    @classmethod
    def has_no_password(cls, uri: str | None) -> str | None:
        if uri is not None and redacted(uri) != uri:
            raise ValueError(
                "must not hold a user's name or password; leave the key out, and set MLFLOW_TRACKING_URI "
                "where the target's secrets are"
            )
        return uri


class RayTarget(Target):
    """A running Ray cluster, by its Jobs API; without ``address`` the one of `study cluster up`.

    ``secrets`` is a file on the cluster, for its owner's eyes alone, of lines such as
    MLFLOW_TRACKING_PASSWORD=...; it is read there and never sent.
    """

    kind: Literal["ray"]
    address: Annotated[str, Field(pattern=r"^https?://[^\x00-\x20]{1,300}$")] | None = None
    token_file: Annotated[str, Field(pattern=r"^[/~][^\x00-\x1f]{1,999}$")] = TOKEN_FILE
    secrets: AbsolutePath | None = None

    @field_validator("address")
    @classmethod
    def names_nobody(cls, address: str | None) -> str | None:
        if address is not None and redacted(address) != address:
            raise ValueError("must not hold a user's name or password; Ray asks for the token of token_file")
        return address


class SlurmTarget(Target):
    """Whole nodes of a Slurm cluster. ``setup`` are shell lines that come first, such as `module load`;
    ``grace_s`` is how long a study may take to stop before the job's time is up; ``secrets`` as for Ray."""

    kind: Literal["slurm"]
    out: AbsolutePath
    nodes: Count = 1
    cpus_per_node: Count
    gpus_per_node: Annotated[int, Field(ge=0, le=64)] = 0
    time: Annotated[str, Field(pattern=r"^([0-9]{1,3}-)?[0-9]{1,3}(:[0-9]{2}){0,2}$")] = "24:00:00"
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    setup: list[Command] = []
    secrets: AbsolutePath | None = None
    port: Annotated[int, Field(ge=1024, le=65535)] = 6379
    grace_s: Seconds = 120


class Workers(BaseModel):
    """A group of equal worker pods: ``replicas`` to begin with, which the autoscaler may change within the
    other two. ``tolerations`` are keys of taints; these and ``node_selector`` choose spot nodes."""

    model_config = STRICT

    name: Name = "workers"
    replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    min_replicas: Annotated[int, Field(ge=0, le=10_000)] = 0
    max_replicas: Count = 4
    cpus: Count = 4
    memory: Quantity = "16Gi"
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    node_selector: dict[Word, Word] = {}
    tolerations: list[Word] = []

    @model_validator(mode="after")
    def begins_within_its_bounds(self) -> Workers:
        if not self.min_replicas <= self.replicas <= self.max_replicas:
            raise ValueError(
                f"replicas must lie between min_replicas and max_replicas; {self.replicas} is not within "
                f"{self.min_replicas} and {self.max_replicas}"
            )
        return self


class KubeRayTarget(Target):
    """Kubernetes with the KubeRay operator (1.6 or newer): a RayJob with a cluster of its own a study.

    ``storage`` is a ReadWriteMany claim, mounted at ``mount`` on every pod. ``secret`` is a Secret whose keys
    become environment variables (MLFLOW_TRACKING_URI, MLFLOW_TRACKING_PASSWORD, ...)."""

    kind: Literal["kuberay"]
    image: Word
    namespace: Name = "default"
    context: Word | None = None
    storage: Name
    mount: AbsolutePath = "/study"
    secret: Name | None = None
    token_secret: Name | None = None
    service_account: Name | None = None
    user_id: Annotated[int, Field(ge=1, le=2**31)] = 1000
    head_cpus: Count = 2
    head_memory: Quantity = "8Gi"
    workers: Annotated[list[Workers], Field(min_length=1, max_length=32)] = [Workers()]
    deadline_s: Seconds = 7 * 86400
    retries: Annotated[int, Field(ge=0, le=100)] = 3


KINDS: dict[str, type[RayTarget | SlurmTarget | KubeRayTarget]] = {
    "ray": RayTarget,
    "slurm": SlurmTarget,
    "kuberay": KubeRayTarget,
}


def bundled_folder() -> Path:
    """The folder of the targets and templates that come with the package (in a checkout: cluster/)."""
    package = Path(__file__).parent.parent
    installed = package / "_bundled" / "cluster"
    return installed if installed.is_dir() else package.parent / "cluster"


def bundled_names() -> list[str]:
    return sorted(path.stem for path in bundled_folder().glob("*.toml"))


def load(name_or_file: str) -> Target:
    """The target meant: a file if it looks like one, else a bundled one. StudyFileError or UnknownName."""
    path = Path(name_or_file)
    if not (name_or_file.endswith(".toml") or os.sep in name_or_file):
        if name_or_file not in bundled_names():
            raise UnknownName(
                f"--to: no target is called {shorten(name_or_file)}; "
                f"{nearest(name_or_file, bundled_names())} (your own are named by their paths: ./mine.toml)"
            )
        path = bundled_folder() / f"{name_or_file}.toml"
    elif not os.path.isfile(name_or_file):  # noqa: PTH113 -- Path.is_file fails on a name that is too long
        raise StudyFileError(shorten(name_or_file), "there is no such target file", None, "check the path")
    return validate(read(path), path.name)


def validate(table: dict[str, Any], place: str) -> Target:
    """A target's table, checked; the first broken rule as a StudyFileError."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = nearest(str(kind), KINDS) if kind is not None else 'e.g. kind = "ray"'
        raise StudyFileError(f"{place}: kind", f"must be one of {', '.join(KINDS)}", kind, hint)
    try:
        return KINDS[kind].model_validate(table)
    except ValidationError as error:
        raise _as_one_line(error, KINDS[kind], place) from error


def _as_one_line(error: ValidationError, model: type[Target], place: str) -> StudyFileError:
    details = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    parts = details["loc"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    where = f"{place}: {key}"
    if details["type"] == "extra_forbidden":
        known = Workers.model_fields if len(parts) > 1 else model.model_fields
        return StudyFileError(where, "unknown key", None, nearest(str(parts[-1]), known))
    if details["type"] == "missing":
        return StudyFileError(where, "is missing", None, "add it")
    if details["type"] == "value_error":
        return StudyFileError(where, str(details["ctx"]["error"]))
    return StudyFileError(where, rule(details["msg"]), details.get("input"))
