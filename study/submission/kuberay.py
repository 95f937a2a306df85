"""Submission to Kubernetes: a RayJob, and the study file that it mounts, by kubectl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any

from study.errors import StudyError, one_line
from study.submission.commands import absent, run
from study.submission.manifests import (
    DIGEST,
    MANAGED_BY,
    OUT,
    SUBMISSION,
    as_yaml,
    name_of,
    ray_job,
    study_map,
)
from study.submission.order import Job, Order, State, is_of
from study.submission.target import KubeRayTarget


def render(order: Order, target: KubeRayTarget, job_id: str) -> dict[str, str]:
    """What `kubectl apply` and `kubectl create` would be given."""
    return {
        "kubectl apply": as_yaml(study_map(order, target, job_id)),
        "kubectl create": as_yaml(ray_job(order, target, job_id, version("ray"))),
    }


def send(order: Order, target: KubeRayTarget, job_id: str) -> bool:
    """Create both. False where somebody created the job a moment before; its study file is the same."""
    texts = render(order, target, job_id)
    _kubectl(target, "apply", "-f", "-", given=texts["kubectl apply"])
    try:
        _kubectl(target, "create", "-f", "-", given=texts["kubectl create"])
    except StudyError as error:
        if "AlreadyExists" in str(error):
            return False
        raise
    return True


def jobs(target: KubeRayTarget, name: str, digest: str) -> list[Job]:
    """The submissions of a study that the cluster knows."""
    text = _kubectl(target, "get", "rayjobs", "-l", f"{MANAGED_BY}=study,{DIGEST}", "-o", "json")
    found = [_job(each) for each in json.loads(text)["items"]]
    return [job for job in found if is_of(job.id, name, digest)]


def reach(target: KubeRayTarget) -> None:
    """StudyError where the cluster does not answer: it is asked for a study that nobody has."""
    jobs(target, "study-doctor", "")


def logs(target: KubeRayTarget, job_id: str, follow: bool) -> Iterator[str]:
    """What the pod that handed the job over has printed, which is the driver's log."""
    words = ["logs", f"job/{name_of(job_id)}", *(["--follow"] if follow else [])]
    try:
        with subprocess.Popen(_command(target, *words), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield from process.stdout
            if code := process.wait():
                raise StudyError(f"kubectl logs ended with {code}; what it said stands above")
    except FileNotFoundError as error:
        raise absent("kubectl", WITHOUT_KUBECTL) from error


def stop(target: KubeRayTarget, job_id: str) -> None:
    """Suspend the job: its cluster goes, after the driver has stopped; the RayJob stays and says so."""
    _kubectl(
        target, "patch", "rayjob", name_of(job_id), "--type", "merge", "--patch", '{"spec":{"suspend":true}}'
    )


def _job(found: dict[str, Any]) -> Job:
    """A RayJob's two states as one: that of the deployment where it says more than the job's."""
    status = found.get("status", {})
    deployment, ray = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
    state = DEPLOYMENTS.get(deployment) or STATES.get(ray, "waiting")
    metadata = found["metadata"]
    ours = metadata.get("annotations", {})
    at = datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()
    says = one_line(str(status.get("message", "")))[:300]
    return Job(ours.get(SUBMISSION, ""), state, says, at, ours.get(OUT, ""))


def _command(target: KubeRayTarget, *words: str) -> list[str]:
    context = ["--context", target.context] if target.context else []
    return ["kubectl", *context, "--namespace", target.namespace, *words]


def _kubectl(target: KubeRayTarget, *words: str, given: str | None = None) -> str:
    return run(*_command(target, *words), way_out=WITHOUT_KUBECTL, given=given)


WITHOUT_KUBECTL = "install it, or see what would be sent: --dry-run"
DEPLOYMENTS: dict[str, State] = {
    "Suspending": "stopped",
    "Suspended": "stopped",
    "Failed": "failed",
    "ValidationFailed": "failed",
    "Retrying": "waiting",
}
STATES: dict[str, State] = {
    "RUNNING": "running",
    "STOPPED": "stopped",
    "SUCCEEDED": "finished",
    "FAILED": "failed",
}
