"""Every command of cluster/README.md is one that there is, with the options that it has."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import rich_click as click

from study.cli import cli
from study.submission.target import bundled_folder
from tests.cli.conftest import Command

README = (bundled_folder() / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = list(dict.fromkeys(line for block in BLOCKS for line in block.splitlines()))
STUDY = [line for line in LINES if line.startswith("study ")]


@pytest.fixture
def copies(folder: Path) -> None:
    """The targets, copied into the current folder as the text says."""
    for path in bundled_folder().glob("*.toml"):
        shutil.copy(path, folder)


@pytest.mark.parametrize("line", STUDY)
def test_the_command_line_is_understood(line: str, copies: None) -> None:
    """Parsed by the command itself, which complains of options and values that it does not know."""
    words = shlex.split(line)[1:]
    context = click.Context(cli, info_name="study")
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command = found
    command.make_context(line, words, parent=context)


DRY = [
    line if "--dry-run" in line else f"{line} --dry-run" for line in STUDY if line.startswith("study submit")
]


@pytest.mark.parametrize("line", dict.fromkeys(DRY))
def test_what_is_submitted_can_be_looked_at(line: str, copies: None, study: Command) -> None:
    # A running cluster of one's own needs its folder of records, which the bundled target leaves open.
    words = shlex.split(line)[1:]
    said = study(*(word.replace("./ray.toml", "ray") for word in words))
    assert (said.code, said.out != "") == (0, True), said.err


def test_the_cluster_that_is_rendered_is_printed(copies: None, study: Command) -> None:
    (line,) = (line for line in STUDY if "render" in line)
    assert study(*shlex.split(line)[1:]).out.startswith("---\napiVersion: ray.io/v1")


def test_the_image_is_built_as_its_file_says() -> None:
    (line,) = (line for line in LINES if not line.startswith("study "))
    assert line.startswith("docker build ")
    assert line in (bundled_folder() / "Dockerfile").read_text(encoding="utf-8")


def test_every_file_is_in_the_table() -> None:
    told = re.findall(
        r"`([A-Za-z./-]+)`", "\n".join(line for line in README.splitlines() if line.startswith("|"))
    )
    there = {
        str(path.relative_to(bundled_folder())) for path in bundled_folder().rglob("*") if path.is_file()
    }
    assert there - {"README.md"} == set(told) & there
