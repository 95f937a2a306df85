"""All commands alike: help with examples, nothing heavy loaded for it, strict JSON, exit codes."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rich_click as click

import study as package
from study.cli import COMMANDS, cli, docstring
from tests.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas", "sklearn", "matplotlib")
SUBCOMMANDS = {
    "data": ("list", "fetch", "check"),
    "cluster": ("up", "show", "down", "render"),
    "service": ("up", "status", "down"),
}
IN_GROUPS = [f"{group} {name}" for group, names in SUBCOMMANDS.items() for name in names]

# Every help in one process: what is printed and returned for each, and what was loaded in the end.
HELPS = """
import contextlib, io, json, sys
from study.cli import COMMANDS, run
helps = {}
for words in ([], *([name] for name in COMMANDS), *(name.split() for name in sys.argv[1].split(","))):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run([*words, "--help"])
    helps[" ".join(words)] = [code, out.getvalue()]
loaded = [name for name in sys.argv[2].split() if name in sys.modules]
print(json.dumps({"helps": helps, "loaded": loaded}))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", HELPS, ",".join(IN_GROUPS), " ".join(HEAVY)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = """
import sys
from study.cli import run
run(["--help"])
print(*(name for name in sys.modules if name.startswith("study.cli.")), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "Usage: study" in done.stdout
    assert done.stderr.split() == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_a_commands_own_help_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    function = getattr(command.callback, "__name__", "")
    assert docstring(COMMANDS[name], function) == inspect.cleandoc(command.help or "")


@pytest.mark.parametrize("words", ["", *COMMANDS, *IN_GROUPS])
def test_help_ends_with_examples(words: str, helps: dict[str, Any]) -> None:
    code, text = helps["helps"][words]
    assert code == 0
    assert f"Usage: study {words}".rstrip() in text
    examples = text[text.index("Examples:") :]
    assert f"study {words}".rstrip() in examples


def test_help_lists_every_command(helps: dict[str, Any]) -> None:
    text = helps["helps"][""][1]
    assert all(f" {name} " in text for name in COMMANDS)


def test_help_loads_nothing_heavy(helps: dict[str, Any]) -> None:
    assert helps["loaded"] == []


@pytest.mark.parametrize("arguments", [(), *((group,) for group in SUBCOMMANDS)])
def test_without_a_command_there_is_help(arguments: tuple[str, ...], study: Command) -> None:
    said = study(*arguments)
    assert said.code == 0
    assert "Usage: study" in said.out
    assert said.err == ""


def test_the_version_is_that_of_the_package(study: Command) -> None:
    said = study("--version")
    assert (said.code, said.out) == (0, f"study, version {package.__version__}\n")


def strictly(text: str) -> Any:
    """The one JSON document that ``text`` is, without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("show", "cifar10-acts"),
        ("show", "./mine.toml", "--profile", "small"),
        ("check", "cifar10-joint"),
        ("plan", "./mine.toml", "--no-measure"),
        ("plan", "cifar10-acts", "--data-dir", "nowhere"),
        ("status",),
        ("facts", "C41", "C87", "C90"),
        ("facts", "--ledger"),
        ("doctor",),
        ("data", "list"),
    ],
    ids=" ".join,
)
def test_json_is_one_strict_document_and_nothing_else(arguments: tuple[str, ...], study: Command) -> None:
    said = study(*arguments, "--json")
    assert said.code == 0
    strictly(said.out)
    assert said.err == ""


def test_a_schema_is_one_strict_document(study: Command) -> None:
    assert strictly(study("schema").out)["title"] == "A study file"


def test_debug_is_taken_anywhere_and_kept_from_the_command(study: Command) -> None:
    assert study("list", "--debug", "--json").code == 0
    assert os.environ["STUDY_DEBUG"] == "1"


def test_a_reader_that_goes_away_is_no_error() -> None:
    """As in `study list | head -1`: the pipe is closed before anything is written."""
    command = [sys.executable, "-m", "study", "list"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
