"""Target files: the bundled ones are good, and what is wrong in one is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from study.errors import StudyFileError, UnknownName
from study.submission import target
from tests.submission.orders import KUBERAY, SLURM

RAY: dict[str, Any] = {"kind": "ray"}

# The table, what is laid onto it, and words that the one line must have.
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "no kind": ({}, {}, ("kind: must be one of ray, slurm, kuberay", 'kind = "ray"')),
    "an unknown kind": (RAY, {"kind": "slrum"}, ("kind:", "'slrum'", "did you mean slurm?")),
    "a kind that is a number": (RAY, {"kind": 3}, ("kind: must be one of", "not 3")),
    "an unknown key": (RAY, {"adress": "x"}, ("adress: unknown key", "did you mean address?")),
    "a key of another kind": (RAY, {"partition": "gpu"}, ("partition: unknown key",)),
    "an unknown key of a group": (
        KUBERAY,
        {"workers": [{"replica": 2}]},
        ("workers[0].replica: unknown key", "did you mean replicas"),
    ),
    "an address that is none": (RAY, {"address": "head:8265"}, ("address: must match", "'head:8265'")),
    "a password in an address": (
        RAY,
        {"address": "http://me:secret@head"},
        ("address: must not hold a user's name",),
    ),
    "a password in the tracking address": (
        RAY,
        {"tracking_uri": "postgresql://me:secret@db/mlflow"},
        ("tracking_uri: must not hold a user's name or password", "MLFLOW_TRACKING_URI"),
    ),
    "a relative folder": (RAY, {"out": "runs"}, ("out: must match", "'runs'")),
    "no folder of records": ({"kind": "slurm", "cpus_per_node": 1}, {}, ("out: is missing",)),
    "no CPUs": (SLURM, {"cpus_per_node": 0}, ("cpus_per_node: must be at least 1, not 0",)),
    "a number in quotes": (SLURM, {"nodes": "2"}, ("nodes: must be a whole number, not '2'",)),
    "a time that is none": (SLURM, {"time": "a day"}, ("time: must match", "'a day'")),
    "a line in a word": (SLURM, {"partition": "gpu\n#SBATCH --uid=0"}, ("partition: must match",)),
    "an option for a word": (SLURM, {"account": "--uid=0"}, ("account: must match",)),
    "a command for a python": (SLURM, {"python": "python; rm -rf /"}, ("python: must match",)),
    "two lines in a line": (SLURM, {"setup": ["a\nb"]}, ("setup[0]: must match",)),
    "no image": ({"kind": "kuberay", "storage": "s"}, {}, ("image: is missing",)),
    "a name with capitals": (KUBERAY, {"namespace": "Mine"}, ("namespace: must match", "'Mine'")),
    "an amount that is none": (KUBERAY, {"head_memory": "8 GB"}, ("head_memory: must match", "'8 GB'")),
    "the root user": (KUBERAY, {"user_id": 0}, ("user_id: must be at least 1, not 0",)),
    "no workers": (KUBERAY, {"workers": []}, ("workers: must have at least 1 item",)),
    "workers out of bounds": (
        KUBERAY,
        {"workers": [{"replicas": 9, "max_replicas": 4}]},
        ("workers[0]: replicas must lie between min_replicas and max_replicas", "9 is not within 0 and 4"),
    ),
    "secrets of the wrong place": (KUBERAY, {"secrets": "/x"}, ("secrets: unknown key", "secret")),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_target_is_refused_in_one_line(what: str) -> None:
    table, over, words = BAD[what]
    with pytest.raises(StudyFileError) as caught:
        target.validate({**table, **over}, "mine.toml")
    line = str(caught.value)
    assert line.startswith("mine.toml: ")
    assert line.isprintable()
    for word in words:
        assert word in line
    assert "me:secret" not in line


@pytest.mark.parametrize("name", ["ray", "slurm", "kuberay"])
def test_a_bundled_target_is_good_and_of_the_kind_of_its_name(name: str) -> None:
    assert type(target.load(name)) is target.KINDS[name]


@pytest.mark.parametrize("name", ["ray", "slurm", "kuberay"])
def test_what_a_bundled_target_offers_in_comments_is_good(name: str, tmp_path: Path) -> None:
    """Every line `# key = value` of the file, with its # taken off."""
    lines = (target.bundled_folder() / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    offered = [line.removeprefix("#").strip() if " = " in line else line for line in lines]
    (tmp_path / "mine.toml").write_text("\n".join(offered).replace('"..."', '"mine"'), encoding="utf-8")
    found = target.load(str(tmp_path / "mine.toml"))
    assert found.model_fields_set > target.load(name).model_fields_set


def test_a_target_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="--to: no target is called 'slrum'; did you mean slurm"):
        target.load("slrum")


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(StudyFileError, match=r"nope\.toml': there is no such target file"):
        target.load("./nope.toml")
