"""Components of installed packages: named, checked, trained, recorded; broken ones are one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.arguments import argument_types
from study.components.activations import ACTIVATIONS, Activation
from study.components.datasets import DATASETS
from study.components.metrics import METRICS, full_names
from study.components.optimizers import OPTIMIZERS
from study.errors import StudyError
from study.installed import GROUPS
from study.record import StudyRecord
from study.registry import Registry

EXAMPLE = Path(__file__).parent / "example_package"
STUDY = EXAMPLE / "smooth.toml"

Install = Callable[..., Path]


def install(
    site: Path, name: str, module: str, points: dict[str, dict[str, str]], version: str = "0.1"
) -> Path:
    """A package with one module under ``site``, as pip leaves it: the module and its dist-info."""
    site.mkdir(exist_ok=True)
    (site / f"{name.replace('-', '_')}.py").write_text(module, encoding="utf-8")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    groups = [
        "\n".join([f"[{group}]", *(f"{key} = {value}" for key, value in table.items())])
        for group, table in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join([*groups, ""]), encoding="utf-8")
    return site


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package for this process, whose modules are forgotten afterwards."""

    def packages(name: str, module: str, points: dict[str, dict[str, str]]) -> Path:
        site = install(tmp_path / name, name, module, points)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, name.replace("-", "_"), raising=False)
        return site

    return packages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package, installed into a folder."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = (EXAMPLE / "study_squareplus.py").read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("site")
    return install(folder, project["name"], module, project["entry-points"], project["version"])


def study(site: Path, *arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process that finds the example package."""
    return subprocess.run(
        [sys.executable, "-m", "study", *map(str, arguments)],
        cwd=folder or Path(__file__).parent.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(Path(__file__).parent.parent)])},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


# -- the example package


def test_a_study_that_names_it_is_right(site: Path) -> None:
    done = study(site, "check", STUDY)
    assert done.returncode == 0, done.stderr
    assert "2 arms, 4 trials" in done.stdout


def test_a_study_that_names_it_without_it_is_one_line(tmp_path: Path) -> None:
    done = study(tmp_path, "check", STUDY)
    assert done.returncode == 2
    assert "unknown activation 'squareplus'; known: crelu, elu" in done.stderr


def test_its_arguments_have_limits(site: Path) -> None:
    key = 'conditional."activation.name=squareplus".activation.b'
    done = study(site, "check", STUDY, "--set", f"{key}=-1.0")
    assert done.returncode == 2
    assert "activation.b: must be at least 0, not -1.0" in done.stderr


def test_a_trial_trains_with_it_and_says_where_it_is_from(site: Path) -> None:
    done = study(site, "trial", STUDY, "--set", "activation.name=squareplus", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["verdict"]["status"] == "ok"
    assert result["environment"]["components"] == {"activation.name": "study-squareplus 0.1"}


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_study_trains_with_it_in_rays_workers(site: Path, tmp_path: Path) -> None:
    done = study(site, "run", STUDY, "--out", tmp_path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    results = StudyRecord.latest(tmp_path, "smooth").results()
    origins = {trial: result.environment.get("components") for trial, result in results.items()}
    assert origins["squareplus/confirm/0"] == {"activation.name": "study-squareplus 0.1"}
    assert origins["relu/confirm/0"] is None


def test_components_are_listed_with_their_package(site: Path) -> None:
    done = study(site, "components", "activation", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["squareplus"]["package"] == "study-squareplus 0.1"
    assert rows["squareplus"]["arguments"] == ["b"]
    assert rows["elu"]["package"] is None


def test_its_gain_is_what_its_formula_says(offer: Install) -> None:
    offer("squareplus-here", (EXAMPLE / "study_squareplus.py").read_text(encoding="utf-8"), {})
    import squareplus_here  # type: ignore[import-not-found]

    z = np.random.default_rng(0).standard_normal(1_000_000)
    for b in (0.5, 4.0):
        moment = np.square((z + np.sqrt(z**2 + b)) / 2).mean()
        assert squareplus_here.gain(b) ** 2 * moment == pytest.approx(1, abs=0.01)  # 4 standard errors


# -- any package

BENT = """
from torch import nn
from study.components.activations import Activation
BENT = Activation(lambda channels, *, bend=1.0: nn.Softplus(bend), lambda bend=1.0: 1.0)
"""


def test_every_table_of_named_components_can_be_added_to() -> None:
    from study.arguments import COMPONENTS

    nouns = {entry.table.noun for entry in COMPONENTS.values() if entry.table is not None}
    assert nouns | {METRICS.noun} == set(GROUPS)


def test_nothing_is_imported_before_it_is_named(offer: Install) -> None:
    offer("bent-one", BENT, {"study.activations": {"bent": "bent_one:BENT"}})
    assert "bent" in ACTIVATIONS
    assert "bent" in ACTIVATIONS.names()
    assert "bent_one" not in sys.modules
    assert isinstance(ACTIVATIONS["bent"], Activation)


def test_a_table_is_iterated_over_its_own_entries(offer: Install) -> None:
    before = list(ACTIVATIONS)
    offer("bent-two", BENT, {"study.activations": {"bent": "bent_two:BENT"}})
    assert ACTIVATIONS["bent"].he_gain() == 1.0
    assert list(ACTIVATIONS) == before


def test_a_name_of_the_packages_own_means_its_own(offer: Install) -> None:
    own = ACTIVATIONS["relu"]
    offer("bent-three", BENT, {"study.activations": {"relu": "bent_three:BENT"}})
    assert ACTIVATIONS["relu"] is own
    assert ACTIVATIONS.origin("relu") is None
    assert ACTIVATIONS.names().count("relu") == 1


def test_a_metric_of_a_package_is_a_metric_of_every_split(offer: Install) -> None:
    code = """
from dataclasses import replace
from study.components.metrics import METRICS
MARGIN = replace(METRICS["accuracy"], name="margin")
"""
    offer("more-metrics", code, {"study.metrics": {"margin": "more_metrics:MARGIN"}})
    assert {"val_margin", "test_margin"} <= set(full_names())


@pytest.mark.parametrize(
    ("module", "value", "complaint"),
    [
        ("", "NAME:BENT", "cannot be imported: AttributeError"),
        ("", "no_such_module:BENT", "cannot be imported: ModuleNotFoundError: No module named"),
        ("1 / 0", "NAME:BENT", "cannot be imported: ZeroDivisionError: division by zero; mend or uninstall"),
        ("raise RuntimeError('two\\nlines')", "NAME:BENT", "RuntimeError: two lines; mend or uninstall"),
        (
            "BENT = len",
            "NAME:BENT",
            "must be a study.components.activations.Activation, not a builtin_function",
        ),
    ],
)
def test_a_broken_one_is_one_line(offer: Install, module: str, value: str, complaint: str) -> None:
    name = f"broken-{abs(hash((module, value)))}"
    target = value.replace("NAME", name.replace("-", "_"))
    offer(name, module, {"study.activations": {"bent": target}})
    table = Registry("activation", relu=ACTIVATIONS["relu"])
    with pytest.raises(StudyError, match=complaint) as caught:
        table["bent"]
    assert str(caught.value).startswith(f"activation bent (of {name} 0.1, {target}): ")
    assert "\n" not in str(caught.value)


def test_a_data_set_goes_by_its_own_name(offer: Install) -> None:
    code = "from study.components.datasets.digits import DIGITS"
    offer("digits-again", code, {"study.datasets": {"numerals": "digits_again:DIGITS"}})
    with pytest.raises(
        StudyError, match=r"data set numerals .*: calls itself 'digits'; offer it by that name"
    ):
        DATASETS["numerals"]


def test_a_name_that_two_packages_offer_is_one_line(offer: Install) -> None:
    for name in ("twin-a", "twin-b"):
        offer(name, BENT, {"study.activations": {"twin": f"{name.replace('-', '_')}:BENT"}})
    with pytest.raises(StudyError, match=r"activation twin: twin-a and twin-b both offer it; uninstall one"):
        ACTIVATIONS["twin"]


def test_arguments_of_an_entry_are_read_as_those_of_our_own(offer: Install) -> None:
    code = "from study.components.optimizers import OPTIMIZERS\nSGD2 = OPTIMIZERS['sgd']"
    offer("sgd-two", code, {"study.optimizers": {"sgd2": "sgd_two:SGD2"}})
    assert set(argument_types(OPTIMIZERS["sgd2"].build)) == set(argument_types(OPTIMIZERS["sgd"].build))
