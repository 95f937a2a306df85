"""Claims about how far one metric of a trial lies above another."""

from __future__ import annotations

import pytest

from study.analysis.outcomes import direction, measured, quantity, replicates, values
from study.analysis.verdicts import judge
from study.analysis.wording import metric_name, metric_of
from study.check import check
from study.errors import StudyFileError
from study.trial import TrialResult
from tests.analysis.planted import planted_spec, trial
from tests.good_study import CLAIM, WIDER_LR, changed, spec_of

GAP = "test_error - train_eval_error"
SHOWN = "test_accuracy - train_accuracy"


def overfits(index: int, gap: float, arm: str = "relu") -> TrialResult:
    """Right on 0.9 of what it trains on, on ``gap`` less of the test images, and on 0.7 while it trains."""
    metrics = {"train_eval_error": 0.1, "test_error": 0.1 + gap, "test_accuracy": 0.9 - gap}
    return trial(arm, "confirm", index, metrics, curve=({"epoch": 1, "train_accuracy": 0.7},))


def test_a_difference_is_of_one_trial() -> None:
    assert measured(overfits(0, 0.3), GAP) == pytest.approx(0.3)


def test_what_the_training_showed_is_its_last_epochs() -> None:
    assert measured(overfits(0, 0.1), SHOWN) == pytest.approx(0.8 - 0.7)


@pytest.mark.parametrize("metric", [GAP, SHOWN, "test_error - train_loss"])
def test_without_one_of_its_numbers_there_is_no_difference(metric: str) -> None:
    assert measured(trial("relu", "confirm", 0, {"train_eval_error": 0.1}), metric) is None


@pytest.mark.parametrize("metric", [GAP, SHOWN])
def test_a_trial_that_learned_nothing_is_as_good_on_both(metric: str) -> None:
    results = {"a": trial("relu", "confirm", 0, status="diverged", kind="nonfinite_loss")}
    assert values(replicates(results, "relu", metric)) == {0: 0.0}


def test_it_is_called_and_judged_by_its_first_metric() -> None:
    assert metric_name(GAP) == "test error \N{MINUS SIGN} training error"
    assert metric_name(SHOWN) == "test accuracy \N{MINUS SIGN} accuracy shown in training"
    assert metric_of(GAP, "relu") == "(test error \N{MINUS SIGN} training error) of relu"
    assert metric_of("test_error", "relu") == "test error of relu"
    assert quantity(GAP) == "error"
    assert direction(planted_spec("relu", "elu"), GAP) == "minimize"


@pytest.mark.parametrize(
    ("at_least", "verdict"), [(0.0, "reproduced"), (0.5, "contradicted"), (0.2, "undecided")]
)
def test_a_claim_about_a_gap_is_judged_by_its_interval(at_least: float, verdict: str) -> None:
    gap = {"source": "L1", "metric": GAP, "value": {"arm": "relu", "at_least": at_least}}
    spec = planted_spec("relu", "elu", replicates=4, claims=[gap])
    tuned = [trial(arm, "tune", 0, {"val_accuracy": 0.5}) for arm in ("relu", "elu")]
    gaps = [overfits(index, 0.2 + spread) for index, spread in enumerate((-0.01, 0.01, -0.02, 0.02))]
    others = [overfits(index, 0.1, "elu") for index in range(4)]
    results = {each.config.id: each for each in (*tuned, *gaps, *others)}
    assert judge(spec.claims[0], spec, results).verdict == verdict


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        ("test_error - train_eval_eror", "unknown metric 'train_eval_eror'; did you mean train_eval_error"),
        ("test_error - val_error", "must not be of the validation split"),
        ("test_error - train_eval_error", "or one minus another where the claim is not a ranking"),
        ("test_error - test_error - test_error", "must be one metric, or one minus another"),
    ],
)
def test_a_difference_that_says_nothing_is_refused(metric: str, complaint: str) -> None:
    with pytest.raises(StudyFileError, match=complaint):
        check(spec_of(changed(('metric = "test_accuracy"', f'metric = "{metric}"'))))


def test_a_trend_of_a_gap_is_right() -> None:
    trend = f'trend = {{ of = "{GAP}", along = "dataset.train_size", direction = "decreasing" }}'
    text = changed(
        (CLAIM, f'[[claims]]\nsource = "L1"\nmetric = "{GAP}"\n{trend}\n\n'),
        (", train_size = 1000", ""),
        ("model.batch_norm = [true, false]", "dataset.train_size = [100, 1000]"),
        (f'[conditional."model.batch_norm=true"]\n{WIDER_LR}', ""),
    )
    check(spec_of(text))
