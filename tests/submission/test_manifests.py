"""What Kubernetes is given is what KubeRay's schemas allow, and its pods may do no more than they need."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]

from study.submission import kuberay, manifests
from study.submission.target import KubeRayTarget, bundled_folder, load
from tests.good_study import spec_of
from tests.submission.orders import DIGEST, an_order, kuberay_target, tool

CRDS = Path(__file__).parent / "crds"
ID = f"study-mine-{DIGEST}"
FULL: dict[str, Any] = {
    "namespace": "research",
    "context": "prod",
    "secret": "study-tracking",
    "token_secret": "ray-token",
    "service_account": "study",
    "data_dir": "/study/data",
    "workers": [
        {"name": "small", "replicas": 0, "cpus": 2, "memory": "4Gi"},
        {
            "name": "gpu",
            "replicas": 2,
            "gpus": 1,
            "node_selector": {"cloud.google.com/gke-spot": "true"},
            "tolerations": ["cloud.google.com/gke-spot"],
        },
    ],
}
TARGETS = {"least": {}, "all": FULL}


@cache
def schema(kind: str) -> Draft202012Validator:
    """A custom resource's schema, in which what it does not name is refused."""
    text = gzip.decompress((CRDS / f"{kind}.json.gz").read_bytes())
    return Draft202012Validator(strict(json.loads(text)))


def strict(node: Any) -> Any:
    """JSON Schema of OpenAPI's: an object has the properties that are named, and "int or string" is said so.
    ``metadata`` of the resource itself is Kubernetes' own and open."""
    if isinstance(node, list):
        return [strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: strict(value) for key, value in node.items()}
    if node.get("x-kubernetes-int-or-string") is True:
        made.pop("anyOf", None)
        made["type"] = ["integer", "string"]
    if (
        isinstance(node.get("properties"), dict)
        and node.get("x-kubernetes-preserve-unknown-fields") is not True
    ):
        made.setdefault("additionalProperties", False)
    return made


def pods(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec in a RayJob, by what it is for."""
    cluster = manifest["spec"]["rayClusterSpec"]
    yield "submitter", manifest["spec"]["submitterPodTemplate"]["spec"]
    yield "head", cluster["headGroupSpec"]["template"]["spec"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["template"]["spec"]


def a_job(**changes: Any) -> dict[str, Any]:
    return manifests.ray_job(an_order(out="/study/runs"), kuberay_target(**changes), ID, "2.60.0")


@pytest.mark.parametrize("which", TARGETS)
def test_a_ray_job_is_what_its_schema_allows(which: str) -> None:
    schema("rayjobs").validate(a_job(**TARGETS[which]))


@pytest.mark.parametrize("which", TARGETS)
def test_a_ray_cluster_is_what_its_schema_allows(which: str) -> None:
    manifest = manifests.ray_cluster(kuberay_target(**TARGETS[which]), "study", "2.60.0")
    schema("rayclusters").validate(manifest)


def test_the_bundled_target_s_job_is_what_its_schema_allows() -> None:
    target = load("kuberay")
    assert isinstance(target, KubeRayTarget)
    schema("rayjobs").validate(manifests.ray_job(an_order(), target, ID, "2.60.0"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "entrypont"), "x"),
        (("spec", "backoffLimit"), "3"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokn"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "imagee"), "x"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplicas"), "none"),
    ],
    ids=str,
)
def test_the_schema_would_find_a_mistake(path: tuple[str | int, ...], value: str) -> None:
    manifest = at = a_job()
    for step in path[:-1]:
        at = at[step]  # type: ignore[index]
    at[path[-1]] = value  # type: ignore[index]
    with pytest.raises(ValidationError):
        schema("rayjobs").validate(manifest)


@pytest.mark.parametrize("which", TARGETS)
def test_no_pod_runs_as_root_or_may_become_it(which: str) -> None:
    for _, pod in pods(a_job(**TARGETS[which])):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] >= 1
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("which", TARGETS)
def test_every_container_has_limits_and_asks_for_no_less(which: str) -> None:
    for _, pod in pods(a_job(**TARGETS[which])):
        for container in pod["containers"]:
            resources = container["resources"]
            assert resources["requests"] == resources["limits"]
            assert {"cpu", "memory"} <= resources["limits"].keys()


def test_gpus_are_asked_for_where_they_are_wanted_and_their_taint_is_borne() -> None:
    found = dict(pods(a_job(**FULL)))
    assert found["gpu"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {each["key"] for each in found["gpu"]["tolerations"]} == {
        "nvidia.com/gpu",
        "cloud.google.com/gke-spot",
    }
    assert "nvidia.com/gpu" not in found["small"]["containers"][0]["resources"]["limits"]
    assert "tolerations" not in found["small"]


@pytest.mark.parametrize("which", TARGETS)
def test_ray_s_pods_are_probed(which: str) -> None:
    for name, pod in pods(a_job(**TARGETS[which])):
        probes = {"startupProbe", "readinessProbe", "livenessProbe"} & pod["containers"][0].keys()
        assert len(probes) == (0 if name == "submitter" else 3)


def test_token_authentication_is_on_and_no_secret_is_in_the_text() -> None:
    job = a_job(**FULL)
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token", "secretName": "ray-token"}
    found = dict(pods(job))
    assert found["head"]["containers"][0]["envFrom"] == [{"secretRef": {"name": "study-tracking"}}]
    names = {each["name"] for _, pod in pods(job) for each in pod["containers"][0].get("env", ())}
    assert names == {"RAY_USAGE_STATS_ENABLED"}


def test_mlflow_s_secret_reaches_the_driver_alone() -> None:
    found = dict(pods(a_job(**FULL)))
    assert [name for name, pod in found.items() if "envFrom" in pod["containers"][0]] == ["head"]


def test_the_claim_s_folder_is_on_every_pod_of_ray_s() -> None:
    for name, pod in pods(a_job(mount="/mine")):
        mounts = [each["mountPath"] for each in pod["containers"][0].get("volumeMounts", ())]
        assert ("/mine" in mounts) is (name != "submitter")


def test_the_study_file_that_the_driver_reads_is_the_resolved_one() -> None:
    target = kuberay_target()
    (name, text), *rest = manifests.study_map(an_order(), target, ID)["data"].items()
    assert not rest
    assert name == "study.toml"
    assert text == spec_of().to_toml()
    head = dict(pods(a_job()))["head"]
    (mount,) = (each for each in head["containers"][0]["volumeMounts"] if each["name"] == "study")
    (volume,) = (each for each in head["volumes"] if each["name"] == "study")
    assert volume["configMap"]["items"] == [{"key": "study.toml", "path": "mine.toml"}]
    assert f"{mount['mountPath']}/mine.toml" in a_job()["spec"]["entrypoint"]


def test_a_retry_finds_the_record_and_the_cluster_goes_in_the_end() -> None:
    spec = a_job()["spec"]
    assert spec["backoffLimit"] == 3
    assert spec["shutdownAfterJobFinishes"] is True
    assert "--out /study/runs" in spec["entrypoint"]


@pytest.mark.parametrize(
    ("job_id", "name"),
    [
        (ID, ID),
        (f"{ID}-2", f"{ID}-2"),
        (f"study-My.Study_1-{DIGEST}", None),
        (f"study-{'x' * 64}-{DIGEST}", None),
        (f"study-{'x' * 64}-{DIGEST}-2", None),
    ],
)
def test_an_id_becomes_a_name_that_kubernetes_takes(job_id: str, name: str | None) -> None:
    made = manifests.name_of(job_id)
    assert len(made) <= 47
    assert made[0].isalpha()
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert made[-1] != "-"
    assert name in (None, made)


def test_different_ids_have_different_names() -> None:
    ids = [f"study-{'x' * 64}-{DIGEST}{end}" for end in ("", "-2", "-3")] + [f"study-a.b-{DIGEST}"]
    assert len({manifests.name_of(each) for each in ids}) == 4


def test_the_text_is_the_manifests() -> None:
    texts = kuberay.render(an_order(), kuberay_target(), ID)
    kinds = [yaml.safe_load(text)["kind"] for text in texts.values()]
    assert kinds == ["ConfigMap", "RayJob"]
    assert all("&id" not in text for text in texts.values()), "no anchors"


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    file = bundled_folder() / "Dockerfile"
    done = subprocess.run([tool("hadolint"), str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_s_image_has_what_the_pods_call() -> None:
    """pkill and pgrep of the hook, and a user that is not root, under the target's number."""
    text = (bundled_folder() / "Dockerfile").read_text(encoding="utf-8")
    assert "procps" in text
    assert f"USER {kuberay_target().user_id}" in text
