"""Make the schemas beside this file from a git repository of KubeRay: ``make_schemas.py REPOSITORY TAG``."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent


def schema(repository: str, tag: str, kind: str) -> dict[str, Any]:
    """The v1 schema of a custom resource, without its descriptions."""
    path = f"{tag}:ray-operator/config/crd/bases/ray.io_{kind}.yaml"
    text = subprocess.run(["git", "-C", repository, "show", path], check=True, capture_output=True).stdout
    (version,) = (each for each in yaml.safe_load(text)["spec"]["versions"] if each["name"] == "v1")
    bare: dict[str, Any] = without_descriptions(version["schema"]["openAPIV3Schema"])
    return bare


def without_descriptions(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: without_descriptions(each)
            for key, each in value.items()
            if not (key == "description" and isinstance(each, str))
        }
    return [without_descriptions(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    for name in ("rayjobs", "rayclusters"):
        text = json.dumps(schema(sys.argv[1], sys.argv[2], name), separators=(",", ":"))
        (HERE / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
