"""`study doctor`: what this machine has and what stands in a study's way."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from study.cli.options import (
    data_dir_option,
    json_option,
    out_option,
    print_json,
    to_option,
    tracking_uri_option,
)
from study.errors import StudyError, one_line
from study.places import cluster_folder, default_data_dir, service_folder
from study.processes import open_to_others

if TYPE_CHECKING:
    from study.submission.target import Target

Check = tuple[str, bool, str]
# Below this, a record or MLflow's store may fill the disk in the middle of a study.
MIN_FREE_GB = 1.0
# So many open ports of one program are listed.
MAX_PORTS = 4


@click.command()
@to_option(default="")
@tracking_uri_option("An MLflow store or server, asked as a study would.")
@out_option
@data_dir_option
@json_option
def doctor(
    to: str | None, tracking_uri: str | None, root: Path, data_dir: Path | None, as_json: bool
) -> None:
    """Versions, devices, data sets, folders and open ports: what is there, and what would stop a study.
    With --to and --tracking-uri, whether that cluster and that MLflow can be reached, and which of their
    versions are not ours.

    Exit code 1 where something would.

    \b
    Examples:
      study doctor
      study doctor --json
      study doctor --to ./slurm.toml
      study doctor --tracking-uri http://127.0.0.1:5000
    """
    from study.environment import environment

    facts = environment()
    checks = [_torch(), _ray(), _folder(root), _shared_memory(), *_data(default_data_dir(data_dir))]
    checks += [_cluster(), _service(), _ports()]
    checks += [*([_target(to)] if to else []), *([_tracking(tracking_uri)] if tracking_uri else [])]
    if as_json:
        rows = [{"check": name, "ok": ok, "says": says} for name, ok, says in checks]
        print_json({"ok": all(ok for _, ok, _ in checks), "environment": facts, "checks": rows})
    else:
        _print(facts, checks)
    if not all(ok for _, ok, _ in checks):
        raise Exit(1)


def _print(facts: dict[str, Any], checks: list[Check]) -> None:
    versions = "  ".join(f"{name} {version or 'missing'}" for name, version in facts["packages"].items())
    click.echo(f"study {facts['study']}  python {facts['python']}  {versions}")
    click.echo(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB, {facts['platform']}")
    for name, ok, says in checks:
        click.echo(f"{'ok ' if ok else 'NO '} {name}: {says}")


def _torch() -> Check:
    from study.devices import has_native_bf16, pick_device

    device = pick_device()
    return (
        "device",
        True,
        f"{device}, bf16 {'native' if has_native_bf16(device) else 'not native: auto is fp32'}",
    )


def _ray() -> Check:
    from importlib.util import find_spec

    missing = [name for name in ("ray", "aiohttp") if find_spec(name) is None]
    return (
        "ray",
        not missing,
        f"lacks {', '.join(missing)}: pip install 'ray[default,tune]'" if missing else "installed",
    )


def _cluster() -> Check:
    from study.tuning import nodes

    try:
        cluster = nodes.found(cluster_folder())
    except StudyError as error:
        return "cluster", False, one_line(str(error))
    if cluster is None:
        return "cluster", True, "none runs on this machine"
    if not cluster.alive():
        return "cluster", True, f"the one at {cluster.address} is gone; study cluster down removes its rest"
    return "cluster", True, f"{len(cluster.nodes)} nodes at {cluster.address}, on this machine alone"


def _service() -> Check:
    from study.service import state

    try:
        service = state.found(service_folder())
    except StudyError as error:
        return "service", False, one_line(str(error))
    if service is None:
        return "service", True, "none runs on this machine"
    if not service.alive():
        return "service", True, f"the one at {service.tracking_uri} is gone; start it again: study service up"
    return "service", True, f"MLflow at {service.tracking_uri}"


def _ports() -> Check:
    """What of Ray, MLflow and PostgreSQL takes connections from other machines; of other users' processes
    nothing is known."""
    found = open_to_others()
    if not found:
        return "ports", True, "none of Ray, MLflow or PostgreSQL is open to other machines"
    ports: dict[str, list[str]] = {}
    for name, address, port in found:
        ports.setdefault(name, []).append(f"{address}:{port}")
    listed = ", ".join(f"{name} ({' '.join(numbers[:MAX_PORTS])})" for name, numbers in ports.items())
    return "ports", True, f"open to other machines, with only a token or a password before them: {listed}"


def _target(to: str) -> Check:
    """Whether a target can be reached."""
    from study.submission import sending
    from study.submission.target import load

    there = load(to)
    try:
        sending.reach(there)
        versions = _ray_versions(there)
    except StudyError as error:
        return f"target {to}", False, one_line(str(error))
    return f"target {to}", True, f"answers, as {there.model_dump()['kind']}{versions}"


def _ray_versions(there: Target) -> str:
    """Which versions a Ray cluster has. They need not be ours: what is submitted runs with the cluster's own
    libraries; only a driver that connects from here (study run --address) must have the same."""
    from study.submission import ray_jobs
    from study.submission.target import RayTarget
    from study.tuning import jobs

    if not isinstance(there, RayTarget):
        return ""
    ours = {"ray": version("ray"), "python": platform.python_version()}
    said = jobs.versions(ray_jobs.service(there))
    return "".join(f"; {_compared(name, each, ours[name])}" for name, each in said.items())


def _tracking(uri: str) -> Check:
    """Whether a study could write there."""
    from study import tracking
    from study.tracking.addresses import database_trouble, is_server, redacted, server_version

    name = f"mlflow {redacted(uri)}"
    try:
        away = tracking.check(uri)
    except StudyError as error:
        return name, False, one_line(str(error))
    if away:
        return name, False, away
    if not is_server(uri):
        trouble = database_trouble(uri)
        return name, not trouble, trouble or "a database, with no server before it"
    there = server_version(uri)
    return (
        name,
        True,
        f"answers; {_compared('mlflow', there, version('mlflow')) if there else 'its version is unknown'}",
    )


def _compared(name: str, there: str, here: str) -> str:
    return f"{name} {there}, as here" if there == here else f"{name} differs: {there} there, {here} here"


def _folder(root: Path) -> Check:
    at = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(at).free / 2**30
    writable = at.is_dir() and os.access(at, os.W_OK)
    if not writable:
        return "records", False, f"{root} cannot be written; choose another --out"
    enough = free > MIN_FREE_GB
    short = "" if enough else f", and a study may need {MIN_FREE_GB:g}; choose another --out"
    return "records", enough, f"{root}, {free:.1f} GB free{short}"


def _shared_memory() -> Check:
    shm = Path("/dev/shm")  # noqa: S108 -- where Ray keeps shared objects, not a temporary file
    if not shm.is_dir():
        return "shared memory", True, "no /dev/shm here: Ray uses files"
    free = shutil.disk_usage(shm).free / 2**30
    return (
        "shared memory",
        free > 0.5,
        f"{shm} has {free:.1f} GB free; the data set lives there, 0.2 GB for CIFAR",
    )


def _data(data_dir: Path | None) -> list[Check]:
    from study.components.datasets import DATASETS

    def found(locate: Callable[[Path | None], str | None], name: str) -> Check:
        place = locate(data_dir)
        # A data set that is not there stops only the studies that want it.
        return f"data {name}", True, place or f"not here; study data fetch {name}"

    return [found(info.locate, name) for name, info in DATASETS.items()]
