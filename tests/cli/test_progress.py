"""The live view and its estimate: what fits on a screen, how trials ended, how long it still takes."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from study.cli.progress import Lines, LiveView, sparkline, verdicts
from study.cli.remaining import Remaining, duration, estimate, remaining, spent, told
from study.conductor import Conductor
from study.record import JournalWriter, StudyRecord
from study.trial import TrialResult, Verdict
from tests.good_study import GOOD, spec_of

ENDINGS = (
    Verdict("ok"),
    Verdict("diverged", "nonfinite_loss"),
    Verdict("ok"),
    Verdict("diverged", "explosion"),
    Verdict("stalled", "dead"),
)
MANY = ("scientific.activation.name=['relu','elu','gelu','selu','silu','prelu','crelu','leaky_relu']",)


def conducted(root: Path, *overrides: str, running: int = 2) -> Conductor:
    """A study in which five trials have ended, 2 s each, and some are running."""
    record = StudyRecord.create(root, spec_of(GOOD, *overrides))
    with JournalWriter(record) as journal:
        conductor = Conductor(record, journal, worst=0.1, concurrent=len(ENDINGS) + running)
        for verdict in ENDINGS:
            config = conductor.next_trial()
            assert config is not None
            conductor.started(config, config.id)
            metrics = {"val_accuracy": 0.5} if verdict.status == "ok" else {}
            conductor.running[config.id].since = time.monotonic() - 2
            result = TrialResult(config, verdict, metrics=metrics, seconds=2.0, gradient_evaluations=100)
            conductor.ended(result, config.id)
        for _ in range(running):
            config = conductor.next_trial()
            assert config is not None
            conductor.started(config, config.id)
            row = {"epoch": 1, "step": 10, "val_accuracy": 0.25, "seconds": 1.0}
            conductor.reported(config, config.id, dict(row))
    return conductor


def drawn(conductor: Conductor, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    view = LiveView(conductor.spec, console)
    view.watch(conductor)
    console.print(view.render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
@pytest.mark.parametrize("overrides", [(), MANY], ids=["4 arms", "16 arms"])
@pytest.mark.parametrize("running", [2, 40])
def test_the_view_fits_on_the_screen(
    width: int, height: int, overrides: tuple[str, ...], running: int, tmp_path: Path
) -> None:
    overrides = ("search.trials_per_arm=20", *overrides)
    lines = drawn(conducted(tmp_path, *overrides, running=running), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    lines = drawn(conducted(tmp_path, *MANY, running=20), 80, 24)
    assert any("more arms" in line for line in lines)
    assert any("more trials" in line for line in lines)


def test_the_view_says_how_trials_ended_what_is_left_and_what_it_cost(tmp_path: Path) -> None:
    text = "\n".join(drawn(conducted(tmp_path), 100, 30))
    assert "5/28 trials  left about" in text
    assert "ok 2  diverged(nonfinite_loss) 1  diverged(explosion) 1  stalled(dead) 1" in text
    assert "spent 10 s of trials, 500 gradients" in text
    assert "0.2500" in text


def test_a_study_whose_trials_all_run_on_has_no_verdicts_yet(tmp_path: Path) -> None:
    record = StudyRecord.create(tmp_path, spec_of())
    with JournalWriter(record) as journal:
        conductor = Conductor(record, journal, worst=0.1)
    assert verdicts(conductor) == ""
    assert remaining(conductor) is None
    assert spent(conductor) == "0 s of trials, 0 gradients"
    assert "left ?" in "\n".join(drawn(conductor, 80, 24))


def test_elsewhere_a_trial_is_a_line(tmp_path: Path) -> None:
    conductor = conducted(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    Lines(conductor.spec, console).watch(conductor)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("[5/28] relu+bn/tune/0  ok  val_accuracy 0.5000")


@pytest.mark.parametrize("missing", [1, 10, 100])
def test_the_range_holds_as_often_as_it_says(missing: int) -> None:
    """Six trials have ended; four of five times the rest take as long as the range says."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        known, coming = draw.normal(60, 10, 6), draw.normal(60, 10, missing)
        found = estimate(list(known), missing, 2)
        assert found is not None
        assert found.low_s is not None
        assert found.high_s is not None
        held += found.low_s <= coming.sum() / 2 <= found.high_s
    # Three standard errors of a share of 0.8 in 2,000.
    assert held / 2000 == pytest.approx(0.8, abs=0.027)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "?"),
        (Remaining(0.0), "nothing"),
        (Remaining(700.0), "about 12 min"),
        (Remaining(700.0, 500.0, 900.0), "about 12 min (8 min to 15 min)"),
        (Remaining(700.0, 699.0, 701.0), "about 12 min"),
    ],
)
def test_the_estimate_is_told_with_its_range(found: Remaining | None, text: str) -> None:
    assert told(found) == text


def test_one_trial_gives_no_range() -> None:
    assert estimate([10.0], 4, 2) == Remaining(20.0)
    assert estimate([], 4, 2) is None


def test_durations_have_the_unit_that_suits() -> None:
    assert [duration(s) for s in (45, 720, 12_240, 181_440)] == ["45 s", "12 min", "3.4 h", "2.1 days"]


def test_a_sparkline_shows_the_last_values_from_low_to_high() -> None:
    assert sparkline([]) == ""
    assert sparkline([1, 1]) == "▁▁"
    assert sparkline([0, 1, 2]) == "▁▄█"
    assert len(sparkline(list(range(50)))) == 20
