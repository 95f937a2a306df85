"""The floors, the doors and what an import costs."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "study"

# From the ground up; within a floor, step by step. A module imports from the steps below its own
# and, where it is a package, from itself.
FLOORS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("errors",),
        ("installed",),
        ("registry", "seeding"),
        ("space", "claims"),
        ("trial", "leaves", "keys"),
        ("consistency",),
        ("spec",),
        ("studyfile", "typical", "places"),
    ),
    (
        ("__init__",),
        (
            "components",
            "record",
            "environment",
            "early_stopping",
            "bisection",
            "silence",
            "drafting",
            "packing",
        ),
        ("private", "processes"),
    ),
    (
        ("symptoms", "choosing", "usage"),
        (
            "divergence",
            "batches",
            "devices",
            "averaging",
            "judges",
            "samplers",
            "curvature",
            "ledger",
            "own",
            "compiling",
        ),
        ("steps", "probe", "needs", "complexity", "arguments", "claim_checks", "arm_progress"),
        ("snapshot", "arm_checks", "layerwise"),
        ("autopsy", "checkpoint", "check", "weights", "assembly"),
        ("training",),
    ),
    (("tuning", "tracking", "analysis"), ("facts",)),
    (
        ("conductor", "planning", "report", "export", "submission", "serial"),
        ("metering", "best"),
        ("running", "audit", "cleaning", "notifying", "service"),
        ("face", "promoting", "cores"),
    ),
    (("cli",), ("__main__",)),
)
STEPS = {
    name: (floor, step)
    for floor, steps in enumerate(FLOORS)
    for step, row in enumerate(steps)
    for name in row
}

# The one part that may know a library.
DOORS = {"ray": "tuning", "optuna": "samplers", "mlflow": "tracking"}

HEAVY = ("torch", "ray", "optuna", "mlflow")


def violations(package: Path) -> list[str]:
    """What in the modules of ``package`` breaks the rules, one line each."""
    modules = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    imports = {
        name: set(imported(ast.parse(path.read_text(encoding="utf-8")), path, package))
        for name, path in modules.items()
    }
    arrows = {
        name: {inside(target, modules) for target in targets} - {"", name}
        for name, targets in imports.items()
    }
    broken = [line for name in modules for line in broken_rules(name, imports[name], arrows[name])]
    return broken + cycles(arrows)


def module_name(path: Path, package: Path) -> str:
    """``study.components.losses`` for study/components/losses.py; a package goes by its folder's name."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module, path: Path, package: Path) -> Iterator[str]:
    """Every name that the module imports, anywhere in it, with its dots; types alone count too."""
    here = path.relative_to(package.parent).parent.parts
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*here[: len(here) - level + 1], module or ""] if level else [module or ""]
                yield from (".".join([*filter(None, base), alias.name]) for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(target)), *_],
            ):
                yield target


def inside(target: str, modules: dict[str, Path]) -> str:
    """The module of ours that ``target`` names or is a member of; empty where it is not ours."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target


def part(module: str) -> str:
    """The name that stands in FLOORS: ``components`` for study.components.losses."""
    return module.split(".")[1] if "." in module else "__init__"


def broken_rules(name: str, targets: set[str], ours: set[str]) -> Iterator[str]:
    """The rules that one module breaks, which imports ``targets`` and of these the modules ``ours``."""
    mine = part(name)
    if mine not in STEPS:
        yield f"{name} has no floor"
        return
    libraries = {target.split(".")[0] for target in targets}
    for library in sorted(libraries & DOORS.keys()):
        if mine != DOORS[library]:
            yield f"{name} imports {library}, whose door is study.{DOORS[library]}"
    if "torch" in libraries and STEPS[mine][0] == 0:
        yield f"{name} imports torch on floor 0"
    for other in sorted(ours):
        theirs = part(other)
        if theirs != mine and STEPS.get(theirs, (0, 0)) >= STEPS[mine]:
            yield f"{name} imports {other}, which is not below it"


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """The first cycle among the modules, if there is one."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"cycle: {' > '.join(reversed(error.args[1]))}"]
    return []


def loaded_by(code: str) -> list[str]:
    """The heavy libraries that a fresh Python has loaded after ``code``."""
    after = f"\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + after],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


def plant(folder: Path, modules: dict[str, str]) -> Path:
    for path, code in modules.items():
        (folder / "study" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "study" / path).write_text(code, encoding="utf-8")
    return folder / "study"


def test_every_import_points_down_and_through_its_door() -> None:
    found = violations(PACKAGE)
    assert not found, "\n".join(found)


def test_every_part_of_the_package_is_read() -> None:
    read = {part(module_name(path, PACKAGE)) for path in PACKAGE.rglob("*.py")}
    assert {"errors", "spec", "components", "training", "tuning", "samplers", "tracking", "cli"} <= read


def test_the_package_loads_no_heavy_library() -> None:
    assert loaded_by("import study") == []


@pytest.mark.parametrize("name", [name for step in FLOORS[0] for name in step])
def test_floor_0_loads_no_heavy_library(name: str) -> None:
    assert loaded_by(f"import study.{name}") == []


@pytest.mark.parametrize("command", [[], ["run"], ["report"]], ids=" ".join)
def test_help_loads_no_heavy_library(command: list[str]) -> None:
    code = f"""
import runpy, sys
sys.argv = {["study", *command, "--help"]!r}
try:
    runpy.run_module("study", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded_by(code) == []


@pytest.mark.parametrize(
    ("modules", "complaint"),
    [
        pytest.param(
            {"space.py": "from study.spec import StudySpec", "spec.py": ""},
            "study.space imports study.spec, which is not below it",
            id="a step up on floor 0",
        ),
        pytest.param(
            {"record.py": "import study.analysis.rankings", "analysis/rankings.py": ""},
            "study.record imports study.analysis.rankings, which is not below it",
            id="up, by a plain import",
        ),
        pytest.param(
            {"trial.py": "def f():\n    from . import running", "running.py": ""},
            "study.trial imports study.running, which is not below it",
            id="up, relative and inside a function",
        ),
        pytest.param(
            {"components/losses.py": "from ..check import check", "check.py": ""},
            "study.components.losses imports study.check, which is not below it",
            id="up, from the parent package",
        ),
        pytest.param(
            {"tracking.py": "from study.analysis import rank", "analysis/__init__.py": ""},
            "study.tracking imports study.analysis, which is not below it",
            id="sideways",
        ),
        pytest.param(
            {"cli/main.py": "", "running.py": "import importlib\nimportlib.import_module('study.cli.main')"},
            "study.running imports study.cli.main, which is not below it",
            id="up, by name at run time",
        ),
        pytest.param(
            {"__init__.py": "from study.training import train", "training.py": ""},
            "study imports study.training, which is not below it",
            id="up, from the public face",
        ),
        pytest.param(
            {
                "components/a.py": "from study.components import b",
                "components/b.py": "from study.components.c import c",
                "components/c.py": "from .a import a",
            },
            "cycle: study.components.a > study.components.b > study.components.c > study.components.a",
            id="a cycle inside a package",
        ),
        pytest.param(
            {"analysis/figures.py": "from optuna.importance import get_param_importances"},
            "study.analysis.figures imports optuna, whose door is study.samplers",
            id="a second door",
        ),
        pytest.param(
            {"cli/status.py": "def f():\n    import ray.tune"},
            "study.cli.status imports ray, whose door is study.tuning",
            id="a second door inside a function",
        ),
        pytest.param(
            {"report.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mlflow"},
            "study.report imports mlflow, whose door is study.tracking",
            id="a second door for types alone",
        ),
        pytest.param(
            {"spec.py": "import torch.nn"}, "study.spec imports torch on floor 0", id="torch on floor 0"
        ),
        pytest.param({"utils.py": ""}, "study.utils has no floor", id="a module without a floor"),
    ],
)
def test_a_broken_rule_is_found(tmp_path: Path, modules: dict[str, str], complaint: str) -> None:
    assert violations(plant(tmp_path, modules)) == [complaint]


@pytest.mark.parametrize(
    "modules",
    [
        {
            "spec.py": "from study.space import Float\nfrom study import seeding",
            "space.py": "",
            "seeding.py": "",
        },
        {"tuning/searcher.py": "from ray import tune", "tuning/runner.py": "from .searcher import tune"},
        {
            "cli/__init__.py": "from study.running import run\nimport study",
            "running.py": "",
            "__init__.py": "",
        },
        {"training.py": "import torch\nimport rayon", "samplers.py": "import optuna"},
    ],
)
def test_what_keeps_the_rules_is_let_through(tmp_path: Path, modules: dict[str, str]) -> None:
    assert violations(plant(tmp_path, modules)) == []
