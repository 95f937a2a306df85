"""Submission to a running Ray cluster, through its Jobs API."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from study.places import cluster_folder
from study.submission.order import Job, Order, State, is_of, shell
from study.submission.parcel import contents, pack
from study.submission.target import RayTarget
from study.tuning import jobs as door
from study.tuning.nodes import running


def render(order: Order, target: RayTarget, job_id: str) -> dict[str, str]:
    """What would be sent: the request, and the names of the files."""
    request = {
        "to": target.address or "the cluster of `study cluster up`",
        "submission_id": job_id,
        "entrypoint": _entrypoint(order, target),
        "metadata": _metadata(order),
        "working_dir": contents(order),
    }
    return {"request": json.dumps(request, indent=2)}


def send(order: Order, target: RayTarget, job_id: str) -> bool:
    """Send it. False where somebody took the id a moment before."""
    with tempfile.TemporaryDirectory(prefix="study-parcel-") as folder:
        pack(order, Path(folder))
        sent = door.submit(
            service(target), job_id, _entrypoint(order, target), Path(folder), _metadata(order)
        )
    return sent is not None


def jobs(target: RayTarget, name: str, digest: str) -> list[Job]:
    """The submissions of a study that the cluster knows."""
    return [
        Job(
            each.id,
            STATES[each.status],
            "" if each.status == "SUCCEEDED" else each.message,
            each.at,
            each.metadata.get("out", ""),
        )
        for each in door.jobs(service(target))
        if is_of(each.id, name, digest)
    ]


def reach(target: RayTarget) -> None:
    """StudyError where the cluster does not answer: it is asked for a study that nobody has."""
    jobs(target, "study-doctor", "")


def logs(target: RayTarget, job_id: str, follow: bool) -> Iterator[str]:
    if follow:
        yield from door.follow(service(target), job_id)
    else:
        yield door.logs(service(target), job_id)


def stop(target: RayTarget, job_id: str) -> None:
    door.stop(service(target), job_id)


def service(target: RayTarget) -> door.Service:
    """The Jobs API that is meant. StudyError where it is the local cluster's, and there is none."""
    if target.address is not None:
        return door.Service(target.address.rstrip("/"), Path(target.token_file).expanduser())
    cluster = running(cluster_folder())
    return door.Service(cluster.jobs, cluster.token_file)


def _entrypoint(order: Order, target: RayTarget) -> str:
    return shell(order.command(target, f"./{order.file}"), target.secrets)


def _metadata(order: Order) -> dict[str, str]:
    return {"study": order.spec.name, "digest": order.spec.digest, "out": order.out}


STATES: dict[str, State] = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "STOPPED": "stopped",
    "SUCCEEDED": "finished",
    "FAILED": "failed",
}
