"""`study list`, `show` and `check`: study files, read but not run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from study import studyfile
from tests.cli.conftest import Command, assert_one_line
from tests.good_study import CLAIM, GOOD, changed, spec_of


def test_list_names_the_bundled_studies_with_their_claims(study: Command) -> None:
    entries = {entry["name"]: entry for entry in json.loads(study("list", "--json").out)}
    assert set(entries) == set(studyfile.bundled_names())
    acts = entries["cifar10-acts"]
    assert set(acts) >= {"name", "question", "arms", "claims"}
    assert {"relu+bn", "elu", "prelu", "elu+bn", "relu"} < set(acts["arms"])
    assert [claim["source"] for claim in acts["claims"]] == ["L236", "L226"]
    assert acts["profiles"] == ["laptop", "demo"]


def test_list_is_readable(study: Command) -> None:
    words = " ".join(study("list").out.split())
    assert "cifar10-acts" in words
    assert "laptop, demo" in words
    assert "relu+bn > elu > prelu" in words


def test_list_finds_studies_by_what_is_written_in_them(study: Command) -> None:
    def names(text: str) -> list[str]:
        return [entry["name"] for entry in json.loads(study("list", text, "--json").out)]

    assert names("L164") == ["allcnn-pooling"], "by a claim's source"
    assert "cifar10-bn-dropout" in names("DROPOUT")
    assert names("bn-eval") == ["bn-eval"]
    assert_one_line(study("list", "xyzzy"), "no bundled study has 'xyzzy' in it", "study list")


def test_list_keeps_to_the_terminals_width(study: Command) -> None:
    assert max(map(len, study("list").out.splitlines())) <= 110


def test_show_prints_a_study_file_that_is_the_same_study(study: Command, folder: Path) -> None:
    said = study("show", "./mine.toml", "--profile", "small", "--set", "search.seed=7")
    spec = spec_of(GOOD, "search.seed=7", profile="small")
    assert f"# mine@{spec.digest}, 4 arms, 28 trials" in said.out
    assert spec_of(said.out).digest == spec.digest


def test_show_says_what_each_arm_tunes(study: Command) -> None:
    out = study("show", "./mine.toml").out
    assert "# arm relu+bn: tunes optimizer.lr in [0.0001, 1] (log); optimizer.weight_decay in" in out
    assert "# arm relu: tunes optimizer.lr in [0.0001, 0.1] (log); optimizer.weight_decay in" in out


def test_show_as_json_has_arms_and_study(study: Command) -> None:
    document = json.loads(study("show", "./mine.toml", "--json").out)
    assert document["digest"] == spec_of().digest
    assert document["arms"][0]["values"] == {"activation.name": "relu", "model.batch_norm": True}
    assert document["study"]["question"] == tomllib.loads(GOOD)["question"]


def test_check_checks_the_file_and_each_of_its_profiles(study: Command) -> None:
    said = study("check", "./mine.toml")
    assert said.code == 0
    assert said.out.splitlines() == [
        f"ok  mine@{spec_of().digest}  as written: 4 arms, 28 trials",
        f"ok  mine@{spec_of(profile='small').digest}  profile small: 4 arms, 28 trials",
    ]


def test_check_of_one_profile_checks_that_one(study: Command, folder: Path) -> None:
    (folder / "mine.toml").write_text(changed(("epochs = 2", "epochs = 0")), encoding="utf-8")
    said = study("check", "./mine.toml", "--profile", "small", "--json")
    assert (said.code, [each["profile"] for each in json.loads(said.out)["checked"]]) == (0, ["small"])


def test_check_counts_one_arm_as_one(study: Command, folder: Path) -> None:
    text = changed(("[scientific]\n", '[scientific]\narms = ["relu"]\n'), (CLAIM, ""))
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    assert "as written: 1 arm, 7 trials" in study("check", "./mine.toml").out


def test_an_override_may_start_with_any_section(study: Command) -> None:
    overrides = (
        "search.sampler=random",
        "resources.cpus_per_trial=2",
        "nuisance.optimizer.momentum=[0.8, 0.9]",
        'conditional."model.batch_norm=true".optimizer.lr={low=0.1, high=1.0}',
        "objective.metric=val_error",
        "objective.direction=minimize",
    )
    said = study("check", "./mine.toml", *(word for each in overrides for word in ("--set", each)))
    assert (said.code, said.err) == (0, "")


def test_checking_makes_no_folder(study: Command, folder: Path) -> None:
    for command in ("list", "show", "check"):
        study(command, *([] if command == "list" else ["./mine.toml"]))
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]
