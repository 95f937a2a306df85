"""The kinds of cluster, and what is the same with all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from study.errors import StudyError, StudyFileError
from study.places import default_data_dir
from study.spec import StudySpec
from study.submission import kuberay, ray_jobs, slurm
from study.submission.order import LIVE, Job, Order, numbered
from study.submission.target import KubeRayTarget, RayTarget, SlurmTarget, Target
from study.tracking.addresses import redacted


class Kind(Protocol):
    """What a kind of cluster can do; each is a module."""

    def render(self, order: Order, target: Any, job_id: str) -> dict[str, str]:
        """What would be sent, as texts by name."""

    def send(self, order: Order, target: Any, job_id: str) -> bool:
        """Send it. False where the id is taken."""

    def jobs(self, target: Any, name: str, digest: str) -> list[Job]:
        """The submissions of a study that the cluster knows."""

    def reach(self, target: Any) -> None:
        """StudyError where the cluster does not answer."""

    def logs(self, target: Any, job_id: str, follow: bool) -> Iterator[str]:
        """What a submission has printed, in pieces."""

    def stop(self, target: Any, job_id: str) -> None:
        """Ask a submission to end; the study can go on later."""


@dataclass(frozen=True)
class Sent:
    """The submission that runs the study now; ``joined`` where it did so before."""

    id: str
    joined: bool


def order_of(
    spec: StudySpec,
    target: Target,
    root: Path,
    place: str,
    *,
    data_dir: str | None = None,
    tracking_uri: str | None = None,
    max_concurrent: int | None = None,
) -> Order:
    """The order for ``target``: what is not given is the target's; ``root`` stands in for its folder of
    records where the cluster is this machine's. StudyFileError where nothing says where records go."""
    here = isinstance(target, RayTarget) and target.address is None
    data_dir, tracking_uri = data_dir or target.data_dir, tracking_uri or target.tracking_uri
    if tracking_uri is not None and redacted(tracking_uri) != tracking_uri:
        raise StudyError("--tracking-uri: must not hold a name or password; the target says where they go")
    if here and data_dir is None and (found := default_data_dir(None)):
        data_dir = str(found.resolve())
    if here and target.out is None:
        return Order(spec, str(root.resolve()), data_dir, tracking_uri, max_concurrent)
    out = target.out or (f"{target.mount}/runs" if isinstance(target, KubeRayTarget) else None)
    if out is None:
        raise StudyFileError(
            f"{place}: out", "is missing", None, "name the cluster's folder of records, which all nodes see"
        )
    return Order(spec, out, data_dir, tracking_uri, max_concurrent)


def submit(order: Order, target: Target) -> Sent:
    """Send a study, or join it where it runs there already. One that has ended is sent again, under the
    next number: its record goes on. StudyError where it runs for somebody whose records are elsewhere."""
    kind = kind_of(target)
    newest = newest_job(target, order.spec.name, order.spec.digest)
    if newest and newest.state in LIVE:
        if newest.out not in ("", order.out):
            raise StudyError(
                f"{newest.id} runs there already, with its record in {newest.out}, not in {order.out}; share "
                "that (out in the target), wait until it has ended, or give the study another name"
            )
        return Sent(newest.id, joined=True)
    job_id = numbered(order.base_id, newest.number + 1 if newest else 1)
    return Sent(job_id, joined=not kind.send(order, target, job_id))


def rendered(order: Order, target: Target) -> dict[str, str]:
    """What a first submission would send, as texts by name; the cluster is not asked."""
    return kind_of(target).render(order, target, order.base_id)


def reach(target: Target) -> None:
    """StudyError where the cluster does not answer."""
    kind_of(target).reach(target)


def newest_job(target: Target, name: str, digest: str) -> Job | None:
    """The newest submission of a study, of several digests where ``digest`` is a part of one."""
    found = kind_of(target).jobs(target, name, digest)
    return max(found, key=lambda job: (job.at, job.number), default=None)


def the_job(target: Target, name: str, digest: str) -> Job:
    """As newest_job; StudyError where the cluster knows none."""
    job = newest_job(target, name, digest)
    if job is None:
        what = f"{name}@{digest}" if digest else name
        raise StudyError(
            f"the cluster knows no submission of {what} (any more); submitted again, its record goes on"
        )
    return job


def kind_of(target: Target) -> Kind:
    return KINDS[type(target)]


KINDS: Mapping[type[Target], Kind] = {RayTarget: ray_jobs, SlurmTarget: slurm, KubeRayTarget: kuberay}
