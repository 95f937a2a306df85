"""The cluster launcher's files are what Ray's launcher takes, and start nothing without a token."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from study.submission.target import bundled_folder

FILES = sorted((bundled_folder() / "ray").glob("*.yaml"))


def parsed(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return table


def starts(path: Path) -> list[str]:
    """The commands that start Ray on a node."""
    table = parsed(path)
    lines = [*table["head_start_ray_commands"], *table["worker_start_ray_commands"]]
    return [line for line in lines if "ray start" in line]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ray_s_own_schema_allows_it(path: Path) -> None:
    """As Ray checks it; for machines of one's own Ray takes min_workers out before."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    table = parsed(path)
    if table["provider"]["type"] == "local":
        assert table.pop("min_workers") == table["max_workers"] == len(table["provider"]["worker_ips"])
    Draft202012Validator(schema).validate(table)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ray_is_never_started_without_its_token(path: Path) -> None:
    table = parsed(path)
    assert table["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert table["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"
    assert len(starts(path)) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_jobs_api_is_on_the_head_s_loopback_interface(path: Path) -> None:
    (head,) = (line for line in starts(path) if "--head" in line)
    assert "--dashboard-host=127.0.0.1" in head


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_versions_are_the_tested_ones(path: Path) -> None:
    (install,) = (line for line in parsed(path)["setup_commands"] if "pip install" in line)
    assert "-c ~/study/constraints.txt ~/study" in install


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_gpu_workers_are_on_spot_and_the_head_trains_nothing(name: str) -> None:
    types = parsed(bundled_folder() / "ray" / f"{name}.yaml")["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert types["gpu-spot"]["resources"]["GPU"] == 1
    assert "spot" in json.dumps(types["gpu-spot"]["node_config"]).lower()
    assert "spot" not in json.dumps(types["head"]["node_config"]).lower()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_commands_of_its_head_name_the_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for command in ("ray up", "ray dashboard", "ray down"):
        assert f"#   {command} my-{path.name}" in text
