"""What Kubernetes is given: a RayJob with a cluster of its own, or a RayCluster (KubeRay, ray.io/v1)."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from typing import Any

from study.submission.order import Order
from study.submission.target import KubeRayTarget, Workers

Manifest = dict[str, Any]

# KubeRay's limits for the names of a RayJob and of a RayCluster (utils/constant.go of its 1.7).
MAX_JOB_NAME, MAX_CLUSTER_NAME = 47, 53
STUDY_FOLDER, STUDY_KEY = "/etc/study", "study.toml"
SHM = "/dev/shm"  # noqa: S108 -- where Ray keeps shared objects

GRACE_S = 120
KEEP_S = 3600

# When a pod is to go (a drain, a pre-empted spot node, a deleted job), the driver stops at the next report
# of its trials, whose checkpoints stay. [s] keeps the hook from finding itself.
STOP_DRIVER = (
    "pkill -TERM -f '[s]tudy run' || exit 0; while pgrep -f '[s]tudy run' > /dev/null; do sleep 1; done"
)


def name_of(job_id: str) -> str:
    """The submission's id as a DNS label of at most 47 characters, still its own where it was cut."""
    slug = re.sub(r"[^a-z0-9-]+", "-", job_id.lower()).strip("-")
    if slug == job_id and len(slug) <= MAX_JOB_NAME:
        return slug
    mark = hashlib.sha256(job_id.encode()).hexdigest()[:8]
    return f"{slug[: MAX_JOB_NAME - 9].rstrip('-')}-{mark}"


def study_map(order: Order, target: KubeRayTarget, job_id: str) -> Manifest:
    """The ConfigMap with the resolved study file."""
    metadata = _metadata(name_of(job_id), target, order, job_id)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "immutable": True,
        "data": {STUDY_KEY: order.spec.to_toml()},
    }


def ray_job(order: Order, target: KubeRayTarget, job_id: str, ray_version: str) -> Manifest:
    """The RayJob: its cluster comes, runs the study and goes. A retry is a new cluster, on which the study
    goes on from its record."""
    cluster = cluster_spec(target, ray_version)
    # A key has no +, which a study's name may have; the file that is mounted has its own name.
    items = [{"key": STUDY_KEY, "path": order.file}]
    study = {"name": "study", "configMap": {"name": name_of(job_id), "items": items}}
    head = cluster["headGroupSpec"]["template"]["spec"]
    head["volumes"].append(study)
    head["containers"][0]["volumeMounts"].append(
        {"name": "study", "mountPath": STUDY_FOLDER, "readOnly": True}
    )
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": _metadata(name_of(job_id), target, order, job_id),
        "spec": {
            "entrypoint": shlex.join(order.command(target, f"{STUDY_FOLDER}/{order.file}")),
            "submissionMode": "K8sJobMode",
            "submitterPodTemplate": {"spec": _submitter(target)},
            "backoffLimit": target.retries,
            "activeDeadlineSeconds": target.deadline_s,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": KEEP_S,
            "rayClusterSpec": cluster,
        },
    }


def ray_cluster(target: KubeRayTarget, name: str, ray_version: str) -> Manifest:
    """A cluster that stays, to which studies are sent through its Jobs API (a target of kind ray)."""
    metadata = {"name": name, "namespace": target.namespace, "labels": {MANAGED_BY: "study"}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": metadata,
        "spec": cluster_spec(target, ray_version),
    }


def cluster_spec(target: KubeRayTarget, ray_version: str) -> Manifest:
    secret = {"secretName": target.token_secret} if target.token_secret else {}
    return {
        "rayVersion": ray_version,
        "authOptions": {"mode": "token", **secret},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "upscalingMode": "Default",
            "idleTimeoutSeconds": 300,
            "resources": _resources("500m", "1Gi"),
            "securityContext": CONTAINER_SECURITY,
        },
        "headGroupSpec": {
            # Drivers and Ray's own processes live here; a trial that fills its memory must not end them.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104 -- the pod's
            "template": _pod(target, _resources(str(target.head_cpus), target.head_memory), head=True),
        },
        "workerGroupSpecs": [_workers(target, group) for group in target.workers],
    }


def _workers(target: KubeRayTarget, group: Workers) -> Manifest:
    template = _pod(target, _resources(str(group.cpus), group.memory, group.gpus))
    if group.node_selector:
        template["spec"]["nodeSelector"] = dict(group.node_selector)
    taints = [*group.tolerations, *(["nvidia.com/gpu"] if group.gpus else [])]
    if taints:
        template["spec"]["tolerations"] = [{"key": key, "operator": "Exists"} for key in taints]
    return {
        "groupName": group.name,
        "replicas": group.replicas,
        "minReplicas": group.min_replicas,
        "maxReplicas": group.max_replicas,
        "rayStartParams": {},
        "template": template,
    }


def _pod(target: KubeRayTarget, resources: Manifest, head: bool = False) -> Manifest:
    container: Manifest = {
        "name": "ray-head" if head else "ray-worker",
        "image": target.image,
        "env": [{"name": "RAY_USAGE_STATS_ENABLED", "value": "0"}],
        "resources": resources,
        "volumeMounts": [
            {"name": "storage", "mountPath": target.mount},
            {"name": "shm", "mountPath": SHM},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 -- Ray's sockets and logs, the pod's own
        ],
        "securityContext": CONTAINER_SECURITY,
        **_probes(head),
    }
    if head and target.secret:
        # Only the driver, which lives here, speaks to MLflow.
        container["envFrom"] = [{"secretRef": {"name": target.secret}}]
    if head:
        container["ports"] = [{"name": key, "containerPort": port} for key, port in HEAD_PORTS.items()]
        container["lifecycle"] = {"preStop": {"exec": {"command": ["bash", "-c", STOP_DRIVER]}}}
    spec: Manifest = {
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": _pod_security(target),
        "containers": [container],
        "volumes": [
            {"name": "storage", "persistentVolumeClaim": {"claimName": target.storage}},
            # Ray's shared objects: the data set, once a node. Counts against the memory limit.
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if target.service_account:
        spec["serviceAccountName"] = target.service_account
    if not head:
        spec["automountServiceAccountToken"] = False
    return {"metadata": {"labels": {MANAGED_BY: "study"}}, "spec": spec}


def _submitter(target: KubeRayTarget) -> Manifest:
    """The pod that hands the job to the cluster and prints its log."""
    container = {
        "name": "submitter",
        "image": target.image,
        "resources": _resources("500m", "1Gi"),
        "securityContext": CONTAINER_SECURITY,
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": _pod_security(target),
        "containers": [container],
    }


def _probes(head: bool) -> Manifest:
    """Asked without the token, which Ray does not want for its health."""
    alive: Manifest = {"httpGet": {"path": "/api/local_raylet_healthz", "port": 52365}}
    ready: Manifest = {"httpGet": {"path": "/api/gcs_healthz", "port": 8265}} if head else alive
    patience = {"periodSeconds": 5, "timeoutSeconds": 5}
    return {
        "startupProbe": {**ready, **patience, "failureThreshold": 60},
        "readinessProbe": {**ready, **patience, "failureThreshold": 6},
        "livenessProbe": {**alive, **patience, "failureThreshold": 24},
    }


def _resources(cpus: str, memory: str, gpus: int = 0) -> Manifest:
    """Requests that are the limits: a pod gets what Ray counts on, no more and no less."""
    amounts: Manifest = {"cpu": cpus, "memory": memory}
    if gpus:
        amounts["nvidia.com/gpu"] = str(gpus)
    return {"requests": amounts, "limits": dict(amounts)}


def _pod_security(target: KubeRayTarget) -> Manifest:
    user = target.user_id
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _metadata(name: str, target: KubeRayTarget, order: Order, job_id: str) -> Manifest:
    return {
        "name": name,
        "namespace": target.namespace,
        "labels": {MANAGED_BY: "study", DIGEST: order.spec.digest},
        "annotations": {SUBMISSION: job_id, OUT: order.out},
    }


def as_yaml(manifest: Manifest) -> str:
    """The manifest as a YAML document, in its own order. Nothing in it is shared: not every parser takes
    YAML's anchors."""
    import yaml

    apart = json.loads(json.dumps(manifest))
    return str(yaml.safe_dump(apart, sort_keys=False, width=110, explicit_start=True))


MANAGED_BY, DIGEST = "app.kubernetes.io/managed-by", "study/digest"
SUBMISSION, OUT = "study/submission", "study/out"
HEAD_PORTS = {"gcs": 6379, "dashboard": 8265}
CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
