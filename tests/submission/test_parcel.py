"""What travels is the study as it was resolved here, and this source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from study import studyfile
from study.submission.parcel import PACKAGE, contents, pack
from tests.good_study import spec_of
from tests.submission.orders import an_order


def test_the_study_arrives_with_the_same_digest(tmp_path: Path) -> None:
    resolved = spec_of("".join(spec_of().to_toml()), "search.seed=7")
    pack(an_order(spec=resolved), tmp_path)
    arrived = studyfile.load(str(tmp_path / "mine.toml"))
    assert (arrived.name, arrived.digest) == (resolved.name, resolved.digest)
    assert arrived.search.seed == 7


def test_what_starts_in_the_parcel_is_the_source_that_travelled(tmp_path: Path) -> None:
    pack(an_order(), tmp_path)
    code = "import study.cli, study.facts; print(study.cli.__file__)"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_every_file_of_the_package_travels_and_nothing_else(tmp_path: Path) -> None:
    pack(an_order(), tmp_path)
    there = {path.relative_to(tmp_path / "study") for path in (tmp_path / "study").rglob("*")}
    ours = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts}
    assert there == ours
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml", "study"]


def test_the_contents_are_told_by_number_and_size() -> None:
    file, package = contents(an_order())
    assert file == "mine.toml"
    assert package.startswith("study/ (")
