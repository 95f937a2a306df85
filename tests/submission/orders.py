"""A small study's order, targets for it, and programs that stand in for a cluster's commands."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from study.submission import target
from study.submission.order import Order
from study.submission.target import KubeRayTarget, RayTarget, SlurmTarget
from tests.good_study import spec_of

SLURM: dict[str, Any] = {"kind": "slurm", "out": "/shared/runs", "nodes": 2, "cpus_per_node": 8}
KUBERAY: dict[str, Any] = {"kind": "kuberay", "image": "registry.example/study:0.1.0", "storage": "study"}

DIGEST = spec_of().digest


def an_order(**changes: Any) -> Order:
    return Order(**{"spec": spec_of(), "out": "/shared/runs", **changes})


def ray_target(**changes: Any) -> RayTarget:
    found = target.validate({"kind": "ray", **changes}, "mine.toml")
    assert isinstance(found, RayTarget)
    return found


def slurm_target(**changes: Any) -> SlurmTarget:
    found = target.validate({**SLURM, **changes}, "mine.toml")
    assert isinstance(found, SlurmTarget)
    return found


def kuberay_target(**changes: Any) -> KubeRayTarget:
    found = target.validate({**KUBERAY, **changes}, "mine.toml")
    assert isinstance(found, KubeRayTarget)
    return found


def tool(name: str) -> str:
    """The path of an installed program, beside this Python's or on the PATH; the test is skipped without."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return shutil.which(name, path=path) or pytest.skip(f"needs {name}")


def programs(folder: Path, texts: Mapping[str, str]) -> Path:
    """A folder of shell scripts, by name."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder
