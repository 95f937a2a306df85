"""study why: what it tells of each kind of end."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from study.analysis.why import explain, sparkline
from study.components.datasets import load_dataset
from study.record import StudyRecord
from study.training import train
from study.trial import Row, TrialConfig, TrialResult, Verdict
from tests.analysis.planted import planted_record, planted_spec, trial
from tests.cli.conftest import Command, Said, assert_one_line

SPEC = planted_spec(
    "elu",
    "relu",
    trials=4,
    fixed={
        "dataset": {"name": "digits", "train_size": 200, "validation_size": 50},
        "model": {"name": "all_cnn_c", "width": 0.05},
        "training": {"epochs": 1, "batch_size": 32, "evaluation_size": 20, "precision": "fp32"},
        "optimizer": {"name": "sgd", "momentum": 0.9},
    },
)


@cache
def blown_up() -> TrialResult:
    arm = SPEC.arms()[0]
    config = TrialConfig("planted", arm.name, "tune", 0, arm.complete({"optimizer.lr": 1e6}), 1, 2)
    return train(config, load_dataset("digits", None), threads=1)


Why = Callable[..., Said]


@pytest.fixture
def why(study: Command, tmp_path: Path) -> Why:
    """``why(result)`` records the result and asks why it ended so."""

    def ask(result: TrialResult, *options: str, spec: Any = SPEC) -> Said:
        planted_record(tmp_path / "runs", spec, {result.config.id: result})
        return study("why", "planted", result.config.id, "--out", tmp_path / "runs", *options)

    return ask


def test_a_blow_up_is_told_with_the_firsts_and_the_cause(why: Why) -> None:
    said = why(blown_up())
    assert said.code == 0
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0].startswith("elu/tune/0: diverged (nonfinite_")
    assert any("is the first layer past 100 times its first maximum" in line for line in lines)
    assert any("first non-finite activation: conv" in line and line.endswith("inf") for line in lines)
    assert "Cause: growth. The numbers grew until they overflowed." in lines
    assert "Its settings: lr=1e+06" in lines
    assert "The sampler (tpe) was told PRUNED." in lines
    assert lines[-2].startswith("loss, steps 0 to ")


def test_what_would_have_come_is_told_as_such(why: Why) -> None:
    autopsy = {**(blown_up().autopsy or {})}
    autopsy["firsts"] = [{**each, "beyond": True} for each in autopsy["firsts"]]
    autopsy |= {"layers": ["conv1", "act1"], "maxima": [[1.0, 8.0], [1.0, 90.0]], "initial": [2.0, 1.0]}
    out = why(replace(blown_up(), autopsy=autopsy)).out
    assert "had it gone on, step 1: first non-finite activation" in out
    assert "At the end act1 had grown most: 90 times its first maximum." in out
    assert "Cause: growth. The numbers grew, and would have overflowed at step 1." in out


def test_spikes_are_counted_by_how_they_ended(why: Why) -> None:
    events: tuple[dict[str, Any], ...] = (
        *({"kind": "recovered", "step": step, "median": 1.0, "peak": 5.0} for step in (12, 40)),
        {"kind": "lingering", "step": 80},
        {"kind": "omitted", "recovered": 3},
    )
    out = why(replace(trial("relu", "tune", 1, {"val_accuracy": 0.5}), events=events)).out
    assert "On the way: 5 loss spikes that it recovered from, at step 12, 40" in out
    assert "On the way: 1 loss spike that it was slow to recover from, at step 80" in out


def test_the_picture_is_in_the_record_s_folder(why: Why) -> None:
    path = Path(why(blown_up()).out.splitlines()[-1])
    assert path.parent.name == "figures"
    assert path.name == "why-elu-tune-0.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_json_has_the_facts_and_the_same_lines(why: Why) -> None:
    lines = why(blown_up()).out.splitlines()
    document = json.loads(why(blown_up(), "--json").out)
    assert document["lines"] == lines[:-2]
    assert document["picture"] == lines[-1]
    assert (document["study"], document["trial"]) == ("planted", "elu/tune/0")
    assert document["verdict"]["status"] == "diverged"
    assert document["autopsy"]["cause"] == "growth"
    assert document["hyperparameters"]["optimizer.lr"] == 1e6


def test_an_ok_trial_is_one_line_with_its_curve(why: Why) -> None:
    curve: tuple[Row, ...] = tuple(
        {"epoch": epoch, "train_loss": 2 / epoch, "gradient_norm": 1.0, "val_accuracy": 0.5}
        for epoch in (1, 2, 3)
    )
    lines = why(trial("relu", "tune", 1, {"val_accuracy": 0.75}, curve=curve)).out.splitlines()
    assert lines[0] == "relu/tune/1: ok"
    assert lines[1] == "It finished with validation accuracy 0.75 after 3 epochs in 10.0 s."
    assert "The sampler (tpe) was told COMPLETE with 0.75." in lines
    assert lines[-2] == "training loss by epoch: █▃▁"


def test_a_stopped_trial_is_told_with_rung_cut_off_rank_and_rule(why: Why) -> None:
    numbers = {"rung": 3, "value": 0.41, "cutoff": 0.52, "rank": 4, "of": 6, "bracket": 0}
    stopped = replace(
        trial("relu", "tune", 1, curve=({"epoch": 1, "train_loss": 1.0, "val_accuracy": 0.41},)),
        verdict=Verdict("pruned", "asha", step=30, epoch=3, reason="stopped", numbers=numbers),
    )
    out = why(stopped).out
    assert (
        "Early stopping (asha) ended it after epoch 3, its rung: its validation accuracy was 0.41, and "
        "above the cut-off 0.52 it would have gone on." in out
    )
    assert "There it was number 4 of 6 of its arm's trials that had come so far." in out
    assert "was told PRUNED" in out


def test_a_failed_trial_shows_the_end_of_its_traceback(why: Why) -> None:
    text = "\n".join(f"line {number}" for number in range(20)) + "\nKeyError: 'x'\n"
    failed = replace(
        trial("relu", "tune", 1, status="failed", kind="crash", reason="KeyError: 'x'"), error=text
    )
    lines = why(failed).out.splitlines()
    assert "  KeyError: 'x'" in lines
    assert "  line 15" in lines
    assert "  line 14" not in lines
    assert "The sampler (tpe) was told FAIL." in lines


def test_a_hang_shows_where_the_training_stood(why: Why) -> None:
    """As faulthandler writes the stack of every thread."""
    frames = [f'  File "torch/module.py", line {number} in forward' for number in range(9)]
    stack = "\n".join(
        [
            "Thread 0x00007fa7c98fd6c0 (most recent call first):",
            '  File "threading.py", line 327 in wait',
            "",
            "Thread 0x00007fa7c98fd6c1 (most recent call first):",
            '  File "mine/layers.py", line 59 in doze',
            *frames,
            '  File "study/training.py", line 217 in train_epoch',
            "",
            "Current thread 0x00007fa7c98fd6c2 (most recent call first):",
            '  File "ray/worker.py", line 1069 in main_loop',
            "",
        ]
    )
    hung = replace(
        trial("relu", "tune", 1, status="failed", kind="hang", reason="silent for 9 s"), error=stack
    )
    lines = why(replace(hung, error=stack)).out.splitlines()
    start = lines.index("Where it stood, the innermost call first:")
    assert lines[start + 1 : start + 3] == ['  File "mine/layers.py", line 59 in doze', frames[0]]
    assert not any("ray/worker.py" in line or "threading.py" in line for line in lines)


def test_a_hang_that_could_not_say_where_it_stood_says_so_much(why: Why) -> None:
    said = "silent for 9 s, many times as long as an epoch takes; its node does not answer"
    hung = replace(trial("relu", "tune", 1, status="failed", kind="hang", reason=said), error=said)
    out = why(hung).out
    assert out.count(said) == 1
    assert "Where it stood" not in out
    assert "traceback" not in out


def test_a_sampler_that_ignores_pruned_trials_was_told_the_worst(why: Why) -> None:
    spec = planted_spec(
        "elu", "relu", trials=4, search={"trials_per_arm": 4, "replicates": 1, "sampler": "gp"}
    )
    diverged = trial("relu", "tune", 1, status="diverged", kind="nonfinite_loss")
    assert "The sampler (gp) was told COMPLETE with 0.1." in why(diverged, spec=spec).out


def test_a_retraining_steers_no_search(why: Why) -> None:
    out = why(trial("relu", "confirm", 0, {"val_accuracy": 0.5})).out
    assert "The sampler was not told: retrainings steer no search." in out


def test_a_dead_trial_names_the_layers_that_pass_nothing_on(why: Why) -> None:
    autopsy = {
        **(blown_up().autopsy or {}),
        "firsts": [],
        "cause": None,
        "layers": ["conv1", "act1"],
        "zeros": [0.1, 1.0],
        "maxima": [[1.0], [0.0]],
        "initial": [1.0, 1.0],
        "steps": [7],
        "loss": [2.3],
        "gradient_norm": [0.0],
    }
    dead = replace(trial("relu", "tune", 1, status="stalled", kind="dead"), autopsy=autopsy)
    out = why(dead).out
    assert "At least 99% of the outputs are zero in act1." in out
    assert "not seen: a layer past 100 times its first maximum, a non-finite activation" in out


@pytest.mark.parametrize(
    ("autopsy", "words"),
    [
        (None, "the record has no autopsy"),
        ({"error": "RuntimeError: no memory"}, "the replay itself failed: RuntimeError: no memory"),
        ({"reproduced": False, "replayed": [3, 9], "steps": []}, "Not reproduced: a replay of steps 3 to 9"),
    ],
)
def test_an_autopsy_that_found_nothing_says_so(why: Why, autopsy: Any, words: str) -> None:
    diverged = trial("relu", "tune", 1, status="diverged", kind="nonfinite_loss", reason="loss nan")
    assert words in why(replace(diverged, autopsy=autopsy)).out


def test_what_a_trial_said_cannot_command_the_terminal(why: Why) -> None:
    failed = trial("relu", "tune", 1, status="failed", kind="crash", reason="\x1b[2Jgone\r\x07")
    out = why(replace(failed, error="\x1b]0;title\x07 boom")).out
    assert all(c.isprintable() or c == "\n" for c in out)


def test_an_unknown_trial_is_one_line_with_the_nearest(study: Command, why: Why, tmp_path: Path) -> None:
    why(trial("relu", "tune", 1, {"val_accuracy": 0.5}))
    said = study("why", "planted", "rellu/tune/1", "--out", tmp_path / "runs")
    assert_one_line(said, "rellu/tune/1", "did you mean relu/tune/1?")


def test_a_trial_that_has_not_ended_says_so(study: Command, tmp_path: Path) -> None:
    record = planted_record(tmp_path / "runs", SPEC, {}, finished=False)
    config = trial("relu", "tune", 0).config
    with record.journal.open("a", encoding="utf-8") as journal:
        journal.write(json.dumps({"event": "asked", "trial": config.id, "config": config.to_json()}) + "\n")
    said = study("why", "planted", config.id, "--out", tmp_path / "runs")
    assert (said.code, said.out) == (0, "relu/tune/0: has not ended; see: study status planted\n")
    document = json.loads(study("why", "planted", config.id, "--out", tmp_path / "runs", "--json").out)
    assert document["verdict"] is None


def test_a_folder_that_cannot_be_written_costs_the_picture_alone(why: Why, tmp_path: Path) -> None:
    record = planted_record(tmp_path / "runs", SPEC, {})
    (record.folder / "figures").write_text("not a folder", encoding="utf-8")
    said = why(blown_up())
    assert said.code == 0
    assert "Cause: growth" in said.out
    assert said.err.startswith("no picture: ")


def test_nothing_is_told_twice_and_every_line_is_short() -> None:
    lines = explain(SPEC, blown_up())
    assert len(set(lines)) == len(lines) < 12
    assert max(map(len, lines)) < 160


def test_a_sparkline_marks_what_is_not_finite() -> None:
    cross = "\N{MULTIPLICATION SIGN}"
    assert sparkline([1.0, 2.0, None, math.inf, 3.0]) == f"▁▅{cross}{cross}█"


def test_a_sparkline_over_decades_is_logarithmic() -> None:
    assert sparkline([1.0, 1e4, 1e8]) == "▁▅█"


def test_a_flat_sparkline_is_flat() -> None:
    assert sparkline([2.0, 2.0]) == "▁▁"


def test_a_record_is_not_changed_by_asking(why: Why, study: Command, tmp_path: Path) -> None:
    why(blown_up())
    record = StudyRecord.latest(tmp_path / "runs", "planted")
    before = record.journal.read_bytes()
    study("why", "planted", "elu/tune/0", "--out", tmp_path / "runs")
    assert record.journal.read_bytes() == before
