"""`study init`: the file it writes is one that `study check` passes, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study import studyfile
from study.drafting import batch_size_for
from tests.cli.conftest import Command, assert_one_line

ROOT = Path(__file__).resolve().parents[2]

SIZES = {"train": 60, "test": 30}
VARIANTS = {
    "defaults": (),
    "optimizers": ("--compare", "optimizer.name=sgd,adamw", "--tune", "optimizer.lr=1e-5:1.0"),
    "choices": ("--tune", "training.batch_size=16,32,64", "--tune", "optimizer.momentum=0:0.95"),
    "sizes": ("--compare", "dataset.train_size=100,1000", "--replicates", "0"),
    "cifar": ("--dataset", "cifar10", "--epochs", "30", "--trials", "16"),
    "numbers": ("--dataset", "sinc"),
    "a question": ("--question", 'Is "elu" any good?\tReally?'),
}


@pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS)
def test_what_it_writes_passes_the_check(flags: tuple[str, ...], study: Command) -> None:
    said = study("init", "fresh", "--yes", *flags)
    assert said.code == 0, said.err
    checked = study("check", "./fresh.toml")
    assert (checked.code, checked.err) == (0, "")
    assert "profile quick" in checked.out


@pytest.mark.parametrize(
    ("flags", "way_out"),
    [
        (("--dataset", "npz_regression"), "--file mine.npz"),
        (("--file", "a.npz"), "--file a.npz: there is no such file"),
        (("--dataset", "digits", "--file", "a.npz"), "--dataset npz_regression"),
    ],
)
def test_a_file_of_ones_own_goes_with_the_data_sets_that_are_read_from_one(
    flags: tuple[str, ...], way_out: str, study: Command
) -> None:
    assert_one_line(study("init", "fresh", "--yes", *flags), way_out)


def own(folder: Path, **changes: Any) -> Path:
    """A file of three classes of vectors."""
    draw = np.random.default_rng(0)
    arrays = {"train_x": draw.normal(size=(60, 5)), "train_y": np.arange(60) % 3}
    arrays |= {"test_x": draw.normal(size=(30, 5)), "test_y": np.arange(30) % 3}
    np.savez(folder / "own.npz", **(arrays | changes))
    return folder / "own.npz"


@pytest.mark.parametrize(
    ("changes", "dataset", "model"),
    [
        ({}, "npz_classification", "mlp"),
        ({"train_y": np.linspace(0, 1, 60), "test_y": np.linspace(0, 1, 30)}, "npz_regression", "mlp"),
        (
            {f"{split}_x": np.arange(n * 64, dtype="u1").reshape(n, 8, 8, 1) for split, n in SIZES.items()},
            *("npz_classification", "all_cnn_c"),
        ),
    ],
    ids=["vectors", "numbers", "pictures"],
)
def test_a_file_of_ones_own_says_which_data_set_and_network(
    changes: dict[str, Any], dataset: str, model: str, study: Command, folder: Path
) -> None:
    own(folder, **changes)
    said = study("init", "fresh", "--yes", "--file", "own.npz")
    assert said.out.endswith("next: study plan ./fresh.toml\n"), said.err
    held = tomllib.loads((folder / "fresh.toml").read_text("utf-8"))["fixed"]
    assert (held["dataset"]["name"], held["model"]["name"]) == (dataset, model)
    checked = study("check", "./fresh.toml")
    assert (checked.code, checked.err, "not looked at" in checked.out) == (0, "", False)


def test_a_file_that_was_meant_by_its_name_is_pointed_to(study: Command, folder: Path) -> None:
    assert study("init", "fresh", "--yes").code == 0
    assert_one_line(study("check", "fresh"), "no bundled study is called 'fresh'; did you mean ./fresh.toml")


def test_optimizers_that_are_compared_have_what_is_their_own(study: Command, folder: Path) -> None:
    assert study("init", "fresh", "--yes", "--compare", "optimizer.name=sgd,adam").code == 0
    table = tomllib.loads((folder / "fresh.toml").read_text("utf-8"))["conditional"]
    assert table["optimizer.name=sgd"]["optimizer"]["momentum"] == 0.9
    assert table["optimizer.name=sgd"]["optimizer"]["lr"]["high"] == 3.0
    assert table["optimizer.name=adam"]["optimizer"]["lr"] == {"low": 1e-5, "high": 0.1, "log": True}
    assert study("check", "./fresh.toml").code == 0
    flags = ("--compare", "optimizer.name=sgd,adam", "--tune", "optimizer.lr=1e-3:0.1")
    assert study("init", "other", "--yes", *flags).code == 0
    table = tomllib.loads((folder / "other.toml").read_text("utf-8"))["conditional"]
    assert table == {"optimizer.name=sgd": {"optimizer": {"momentum": 0.9}}}, "the range is the user's"


@pytest.mark.parametrize(
    ("examples", "size"), [(None, 64), (256, 64), (255, 32), (70, 16), (8, 2), (4, 1), (1, 1)]
)
def test_a_batch_is_a_quarter_of_few_examples_at_the_most(examples: int | None, size: int) -> None:
    assert batch_size_for(examples) == size


def test_a_file_in_the_data_folder_needs_no_data_dir(study: Command, folder: Path) -> None:
    file = own(folder)
    assert study("init", "fresh", "--yes", "--file", str(file)).out.endswith("plan ./fresh.toml\n")


def test_a_broken_file_is_refused_as_the_data_check_refuses_it(study: Command, folder: Path) -> None:
    own(folder, train_x=np.full((60, 5), np.nan))
    said = study("init", "fresh", "--yes", "--file", "own.npz")
    assert_one_line(said, "own.npz: train_x: numbers must be finite")
    assert said.err == study("data", "check", "own.npz").err
    assert not (folder / "fresh.toml").exists()


def test_the_check_holds_a_study_against_the_file_where_it_is_found(study: Command, folder: Path) -> None:
    own(folder)
    study("init", "fresh", "--yes", "--file", "own.npz")
    pictures = ("check", "./fresh.toml", "--set", "fixed.model.name=all_cnn_c")
    assert_one_line(study(*pictures), "all_cnn_c needs pictures", "e.g. mlp")
    (folder / "elsewhere").mkdir()
    (folder / "own.npz").rename(folder / "elsewhere" / "own.npz")
    assert "own.npz is not there" in study(*pictures).out
    assert_one_line(study(*pictures, "--data-dir", "elsewhere"), "all_cnn_c needs pictures", "e.g. mlp")


def test_every_part_has_a_comment_and_the_schema_is_named(study: Command, folder: Path) -> None:
    study("init", "fresh", "--yes")
    lines = (folder / "fresh.toml").read_text("utf-8").splitlines()
    assert lines[0] == "#:schema ./study.schema.json"
    for part in ("[objective]", "[scientific]", "[nuisance]", "[fixed]", "[profiles.quick]"):
        assert any(line.startswith(part) and "#" in line for line in lines), part
    schema = json.loads((folder / "study.schema.json").read_text("utf-8"))
    assert schema["title"] == "A study file"
    assert max(map(len, lines)) <= 110


def test_flags_say_what_is_compared_tuned_and_held(study: Command, folder: Path) -> None:
    flags = ("--compare", "activation.name=relu,elu,gelu", "--tune", "optimizer.lr=0.01:0.5", "--epochs", "3")
    study("init", "fresh", "--yes", *flags)
    table = tomllib.loads((folder / "fresh.toml").read_text("utf-8"))
    assert table["scientific"] == {"activation": {"name": ["relu", "elu", "gelu"]}}
    assert table["nuisance"] == {"optimizer": {"lr": {"low": 0.01, "high": 0.5}}}
    assert table["fixed"]["training"]["epochs"] == 3
    assert table["question"] == "Which activation is best on digits?"


def test_a_range_of_orders_of_magnitude_is_searched_by_its_logarithm(study: Command) -> None:
    study("init", "fresh", "--yes", "--tune", "optimizer.lr=1e-4:1e-1")
    assert studyfile.load("./fresh.toml").arms()[0].space.entries[0].distribution.log is True  # type: ignore[union-attr]


def test_json_says_what_was_written(study: Command, folder: Path) -> None:
    document = json.loads(study("init", "fresh", "--json").out)
    assert document["file"] == "fresh.toml"
    assert document["arms"] == ["relu+bn", "relu", "elu+bn", "elu"]
    assert document["trials"] == 4 * (8 + 8)
    assert document["digest"] == studyfile.load("./fresh.toml").digest


def test_nothing_is_overwritten(study: Command, folder: Path) -> None:
    before = (folder / "mine.toml").read_bytes()
    assert_one_line(study("init", "mine", "--yes"), "mine.toml: is there already", "another name")
    assert (folder / "mine.toml").read_bytes() == before
    (folder / "study.schema.json").write_text("{}", "utf-8")
    study("init", "fresh", "--yes")
    assert (folder / "study.schema.json").read_text("utf-8") == "{}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fresh", "--dataset", "digit"), ("unknown data set 'digit'", "did you mean digits?")),
        (("fresh", "--compare", "activation.name=rel"), ("scientific.activation.name", "relu")),
        (("fresh", "--compare", "activation=relu"), ("--compare", "component.argument=VALUES")),
        (("fresh", "--compare", "activation.name=relu,,elu"), ("--compare", "component.argument=VALUES")),
        (("fresh", "--tune", "optimizer.lr=1:x"), ("--tune", "e.g. optimizer.lr=1e-4:1e-1")),
        (("fresh", "--tune", "optimizer.lr=1:0.1"), ("low must not exceed high",)),
        (("fresh", "--tune", "activation.name=relu,elu"), ("activation.name",)),
        (("fresh", *("--compare", "model.width=1,2") * 2), ("--compare model.width", "given twice")),
        (("no name",), ("a study's name has 1 to 64",)),
        (("nowhere/fresh",), ("its folder is not there",)),
        (("fresh", "--epochs", "0"), ("--epochs", "0 is not in the range")),
    ],
    ids=lambda value: " ".join(value)[:50],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: tuple[str, ...], words: tuple[str, ...], study: Command, folder: Path
) -> None:
    assert_one_line(study("init", *arguments, "--yes"), *words)
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]


def test_at_a_terminal_it_asks_for_what_is_not_given(tmp_path: Path) -> None:
    """Four questions, answered by four lines; the first two take what is offered."""
    terminal, inside = pty.openpty()
    command = [sys.executable, "-m", "study", "init", str(tmp_path / "fresh.toml")]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as p:
        os.close(inside)
        os.write(terminal, b"\nactivation.name=relu,gelu\n\n4\n")
        out, err = p.communicate(timeout=60)
    os.close(terminal)
    assert p.returncode == 0, err
    for question in (b"Data set [digits]", b"Compared", b"Tuned in each arm", b"Epochs [10]"):
        assert question in err
    assert b"2 arms (relu, gelu)" in out
    assert "training = { epochs = 4" in (tmp_path / "fresh.toml").read_text("utf-8")
