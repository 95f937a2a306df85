"""Every command and snippet of the documentation: taken by the command line, and run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rich_click as click

from study.cli import COMMANDS, cli
from tests.docs.snippets import ALL, PAGES, ROOT, Block, blocks

LANGUAGES = {"sh", "python", "toml", "text"}
MARKS = ("", "slow", "not run: ", "file: ")
OTHERS = {".", "make", "python", "set", "echo"}
PAGE_LIMIT_S = 1800


def accept(words: list[str]) -> None:
    """Have ``study ...`` parsed to its end, and not called. click's errors pass through."""
    with click.Context(cli, info_name="study") as context:
        command: click.Command = cli
        while isinstance(command, click.Group):
            name, *words = words[1:] if command is cli else words
            inner = command.get_command(context, name)
            assert inner is not None, name
            command = inner
        command.make_context(command.name, words)


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_has_a_language_and_a_mark_that_are_known(block: Block) -> None:
    assert block.language in LANGUAGES
    assert block.mark in MARKS[:2] or block.mark.startswith(MARKS[2:])


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "sh"], ids=str)
def test_commands_are_those_that_there_are(block: Block) -> None:
    targets = (ROOT / "Makefile").read_text("utf-8")
    for words in block.commands():
        if words[0] == "study":
            accept(words)
        else:
            assert words[0] in OTHERS, words
        for target in words[1:] if words[0] == "make" else ():
            assert f"\n{target}:" in targets


def test_the_commands_of_the_readme_are_those_that_there_are() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("study ")]
    assert len(commands) > 10
    for words in commands:
        accept(words)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "toml"], ids=str)
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_help_are_commands_that_there_are(name: str) -> None:
    with click.Context(cli, info_name="study") as context:
        command = cli.get_command(context, name)
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    for each in (command, *inner):
        assert each is not None
        for words in examples(each.help or ""):
            accept(words)


def examples(text: str) -> Iterator[list[str]]:
    """The commands of ours among a help's examples, without the remarks that stand two spaces behind them."""
    for line in text.partition("Examples:\n")[2].splitlines():
        command = re.split(r" {2,}| \| ", line.strip())[0]
        if command.startswith("study "):
            yield shlex.split(command)


def run(block: Block, folder: Path) -> None:
    """The block as a reader runs it: in bash or Python, in the page's folder, with this environment first on
    the path; what it installs stays in that folder."""
    program = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else [sys.executable, "-c"]
    site = folder / "site-packages"
    settings = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{site}{os.pathsep}{ROOT}",
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's switches that say no mean yes by 0
        "PIP_NO_INDEX": "1",
        "COLUMNS": "80",
    }
    done = subprocess.run(
        [*program, block.text],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=PAGE_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{block}:\n{done.stdout}\n{done.stderr}"


def runnable() -> Iterator[Any]:
    """Pages with something to run; slow ones, which may start Ray, are marked so."""
    for page in PAGES:
        found = [block for block in blocks(page) if block.runs]
        marks = (pytest.mark.slow, pytest.mark.timeout(PAGE_LIMIT_S), pytest.mark.xdist_group("ray"))
        if found:
            slow = any(block.slow for block in found)
            yield pytest.param(page, id=str(page.relative_to(ROOT / "docs")), marks=marks if slow else ())


@pytest.mark.parametrize("page", list(runnable()))
def test_a_page_runs_from_its_first_block_to_its_last(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for block in blocks(page):
        if block.file is not None:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.runs:
            run(block, tmp_path)
