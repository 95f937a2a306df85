"""`study plan`: what a study will ask for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from study.cli.plan import told_threads
from study.cores import Division
from study.devices import pick_device
from study.spec import StudySpec
from tests.analysis.planted import by_id, planted_record, planted_spec, scores
from tests.cli.conftest import Command
from tests.good_study import CLAIM, DECAY, LR, WIDER_LR, changed

QUICK = (
    *("--set", "fixed.dataset.train_size=128", "--set", "fixed.training.batch_size=16"),
    *("--set", "fixed.model.width=0.0625"),
)


def test_a_plan_counts_arms_and_trials(study: Command) -> None:
    plan = json.loads(study("plan", "./mine.toml", "--no-measure", "--json").out)
    assert (plan["trials_per_arm"], plan["replicates"], plan["trials"]) == (4, 3, 28)
    assert plan["time"] is None
    assert plan["arms"][0] == {
        "arm": "relu+bn",
        "tuned": ["optimizer.lr in [0.0001, 1] (log)", "optimizer.weight_decay in [1e-06, 0.01] (log)"],
        "gradient_evaluations": 32,  # 2 epochs of 1,000 images, 64 at a time
    }


def test_a_plan_is_readable(study: Command) -> None:
    lines = study("plan", "./mine.toml", "--no-measure", "--max-concurrent", "3").out.splitlines()
    assert lines[0].startswith("mine@")
    assert lines[1] == "4 arms x (4 tpe trials + 3 replicates) = 28 trials, 3 at once"
    assert lines[2].startswith(
        "  relu+bn: 32 gradients a trial, tunes optimizer.lr in [0.0001, 1] (log); optimizer.weight_decay"
    )


def test_a_plan_counts_the_gradients_of_a_line_search(study: Command, folder: Path) -> None:
    lbfgs = changed(
        ("model.batch_norm = [true, false]\n", ""),
        (f'[conditional."model.batch_norm=true"]\n{WIDER_LR}', ""),
        (DECAY, ""),
        (CLAIM, ""),
        ('name = "sgd", momentum = 0.9', 'name = "lbfgs", max_iter = 8'),
        ("batch_size = 64", 'batch_size = "full", precision = "fp32"'),
    )
    (folder / "mine.toml").write_text(lbfgs, encoding="utf-8")
    arms = json.loads(study("plan", "./mine.toml", "--no-measure", "--json").out)["arms"]
    # An epoch is a step, and a step of 8 iterations 11 gradients.
    assert [arm["gradient_evaluations"] for arm in arms] == [2 * 11] * 2


def own(study: Command, folder: Path) -> None:
    """A study of 70 examples in a file of one's own."""
    x, y = np.random.default_rng(0).normal(size=(80, 3)), np.arange(80) % 2
    np.savez(folder / "own.npz", train_x=x[:70], train_y=y[:70], test_x=x[70:], test_y=y[70:])
    assert study("init", "fresh", "--yes", "--file", "own.npz", "--epochs", "2").code == 0


def test_a_plan_counts_the_gradients_of_a_file_of_ones_own(study: Command, folder: Path) -> None:
    own(study, folder)
    flags = ("plan", "./fresh.toml", "--no-measure", "--json")
    there = json.loads(study(*flags).out)
    assert {arm["gradient_evaluations"] for arm in there["arms"]} == {2 * 4}  # 63 of 70, in batches of 16
    (folder / "own.npz").rename(folder / "other.npz")
    away = json.loads(study(*flags).out)
    assert {arm["gradient_evaluations"] for arm in away["arms"]} == {None}
    said = study("plan", "./fresh.toml")
    assert "relu: tunes optimizer.lr" in said.out
    assert "there is no such file" in said.out


def test_a_plan_says_how_many_examples_each_split_has(study: Command, folder: Path) -> None:
    own(study, folder)
    sizes = json.loads(study("plan", "./fresh.toml", "--json").out)["time"]["examples"]
    assert sizes == {"train": [63, 63], "validation": [7, 7], "test": [10, 10]}
    said = study("plan", "./fresh.toml").out
    assert "npz_classification: 63 to train on, 7 for validation, 10 for the test" in said
    assert said.endswith("often 20 s\n")


def test_a_plan_says_how_many_tuning_trials_a_lag_leaves_at_once(study: Command) -> None:
    flags = ("plan", "./mine.toml", "--no-measure", "--set", "search.lag=1", "--max-concurrent")
    assert "search.lag = 1: at most 8 tuning trials at once" in study(*flags, "9").out
    assert "search.lag" not in study(*flags, "8").out


def test_a_plan_says_why_a_file_of_ones_own_does_not_fit(study: Command, folder: Path) -> None:
    own(study, folder)
    said = study("plan", "./fresh.toml", "--set", "fixed.dataset.validation_size=100")
    assert (said.code, said.err) == (0, "")
    assert "relu: tunes optimizer.lr" in said.out
    assert "no estimate of time: fresh.toml: fixed.dataset.validation_size" in said.out


def test_a_plan_says_how_thorough_the_tuning_is(study: Command) -> None:
    """Of 59 random trials one is among the best twentieth 19 times in 20 (1 - 0.95^59 = 0.951)."""
    flags = ("plan", "./mine.toml", "--no-measure")
    assert "the best of 4 random trials is, 19 times in 20, among the best 53 %" in study(*flags).out
    assert "here a model proposes after the first 2 trials of an arm" in study(*flags).out
    many = ("--set", "search.trials_per_arm=59", "--set", "search.sampler=random")
    found = json.loads(study(*flags, *many, "--json").out)["power"]["tuning"]
    assert (found["trials"], found["random"]) == (59, 59)
    assert 0.049 < found["best_share"] < 0.05
    assert "model proposes" not in study(*flags, *many).out


def test_a_plan_says_what_its_replicates_can_tell(study: Command) -> None:
    """Three replicates detect 3.26 spreads (R: power.t.test(n = 3, power = 0.8, type = "paired"))."""
    power = json.loads(study("plan", "./mine.toml", "--no-measure", "--json").out)["power"]
    first = power["spreads"][0]
    assert (power["replicates"], first["metric"], first["spread"]) == (3, "test_accuracy", 0.01)
    assert abs(first["detectable"] - 0.0326) < 5e-5
    assert "pilot" in first["source"]


def test_a_plan_does_not_promise_what_few_replicates_cannot_give(study: Command) -> None:
    said = study("plan", "./mine.toml", "--no-measure", "--set", "search.replicates=5")
    assert "5 replicates can never reach p < 0.05 by sign flips or Wilcoxon's signed ranks" in said.out
    said = study("plan", "./mine.toml", "--no-measure", "--set", "search.replicates=6")
    assert "never" not in said.out
    said = study("plan", "./mine.toml", "--no-measure", "--set", "search.replicates=1")
    assert "fewer than 2 replicates" in said.out


def test_a_plan_takes_the_spread_from_an_earlier_record(study: Command, folder: Path) -> None:
    """Differences 0.1, 0.12 and 0.08 have a standard deviation of 0.02."""
    spec = planted_spec("relu", "elu", replicates=3)
    results = by_id(scores("relu", 0.5, 0.62, 0.48), scores("elu", 0.4, 0.5, 0.4))
    record = planted_record(folder / "runs", renamed_study(spec), results)
    said = study("plan", "./mine.toml", "--no-measure", "--json", "--out", "runs")
    (first, *_) = json.loads(said.out)["power"]["spreads"]
    assert abs(first["spread"] - 0.02) < 1e-9
    assert f"mine@{record.digest} on digits, 3 replicates each" in first["source"]


def test_a_plan_passes_over_records_of_another_data_set_or_network(study: Command, folder: Path) -> None:
    results = by_id(scores("relu", 0.5, 0.62, 0.48), scores("elu", 0.4, 0.5, 0.4))
    for held in ({"dataset": {"name": "cifar10"}}, {"model": {"name": "plain"}}):
        fixed = {"dataset": {"name": "digits"}, "model": {"name": "all_cnn_c"}, **held}
        planted_record(
            folder / "runs", renamed_study(planted_spec("relu", "elu", replicates=3, fixed=fixed)), results
        )
    said = json.loads(study("plan", "./mine.toml", "--no-measure", "--json", "--out", "runs").out)
    assert "pilot" in said["power"]["spreads"][0]["source"]


def renamed_study(spec: StudySpec) -> StudySpec:
    return spec.model_copy(update={"name": "mine"})


def test_concurrency_is_the_option_s_then_the_file_s(study: Command) -> None:
    words = ("plan", "./mine.toml", "--no-measure", "--json", "--set", "resources.max_concurrent=5")
    assert json.loads(study(*words).out)["concurrent"] == 5
    assert json.loads(study(*words, "--max-concurrent", "2").out)["concurrent"] == 2


def test_a_plan_measures_each_arm(study: Command) -> None:
    said = study(
        "plan", "./mine.toml", *QUICK, "--set", "scientific.activation.name=['relu','elu']", "--json"
    )
    time = json.loads(said.out)["time"]
    assert time["measured"] is True
    assert set(time["arms"]) == {"relu+bn", "relu", "elu+bn", "elu"}
    assert all(arm["training_images_per_second"] > 0 for arm in time["arms"].values())
    assert time["study_s"] >= 0
    threads = time["threads"]
    if (os.cpu_count() or 1) < 2 or pick_device().type != "cpu":
        assert threads is None
        return
    assert threads["cores"] == min(4, os.cpu_count() or 1)
    assert threads["apart"] > 0
    assert threads["together"] > 0
    assert 1 <= time["crowding"] <= threads["cores"]


@pytest.mark.parametrize(
    ("apart", "cpus", "advice"),
    [(300, 1, ""), (300, 2, "cpus_per_trial = 1"), (150, 1, "cpus_per_trial = 4"), (150, 2, "")],
)
def test_a_plan_says_how_many_threads_are_faster_here(apart: int, cpus: int, advice: str) -> None:
    text = told_threads(Division(4, apart, 200).to_json(), cpus)
    assert text.startswith(
        f"4 trials of one thread at once train {apart / 200:.2f} times as fast as one of 4"
    )
    assert advice in text
    assert ("would be faster here" in text) == bool(advice)


def test_a_plan_without_data_says_why_there_is_no_time(study: Command) -> None:
    said = study("plan", "cifar10-acts", "--data-dir", "nowhere")
    assert said.code == 0
    last = said.out.splitlines()[-1]
    assert last.startswith("no estimate of time: cifar10 was not found in ")
    assert "study data fetch cifar10" in last


def test_a_plan_whose_warm_up_diverges_says_so_and_still_has_a_time(study: Command, folder: Path) -> None:
    (folder / "mine.toml").write_text(
        changed((LR, "optimizer.lr = [1e30]"), (WIDER_LR, "")), encoding="utf-8"
    )
    said = study("plan", "./mine.toml", *QUICK)
    assert said.code == 0
    assert "    a warm-up with all in the middle of its range ended diverged(nonfinite_loss)" in said.out
    assert said.out.splitlines()[-1].startswith("about ")


def test_planning_makes_no_folder(study: Command, folder: Path) -> None:
    study("plan", "./mine.toml", "--no-measure")
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]
