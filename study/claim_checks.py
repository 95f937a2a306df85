"""The claims of a study against what it compares and measures."""

from __future__ import annotations

from study.claims import (
    HAPPENINGS,
    IN_TRAINING,
    LAYERWISE,
    MINUS,
    SHARE,
    STABLE_LR,
    Claim,
    Trend,
)
from study.components.metrics import full_names
from study.errors import StudyFileError, shorten
from study.registry import nearest
from study.spec import StudySpec


def check_claims(spec: StudySpec) -> None:
    """StudyFileError at the first claim that this study could never judge."""
    for index, claim in enumerate(spec.claims):
        key = f"claims[{index}].metric"
        if claim.metric == STABLE_LR:
            _check_edge_claim(spec, claim, f"claims[{index}]")
            continue
        if claim.metric == SHARE:
            _check_share_claim(claim, f"claims[{index}]")
            continue
        if claim.metric in LAYERWISE:
            _check_layerwise_claim(spec, claim, key)
            continue
        for name in claim.metric.split(MINUS):
            _check_claimed(key, name)
        _check_difference(claim, key)
        if claim.trend:
            _check_trend(spec, claim, claim.trend, f"claims[{index}].trend")


def _check_difference(claim: Claim, key: str) -> None:
    """A claim may be about the difference of two metrics, which says nothing of which arm is better."""
    minuses = claim.metric.count(MINUS)
    if minuses > 1 or (minuses and claim.kind == "ranking"):
        raise StudyFileError(
            key,
            "must be one metric, or one minus another where the claim is not a ranking",
            claim.metric,
            'e.g. "test_error - train_eval_error"',
        )


def _check_claimed(key: str, name: str) -> None:
    """One metric that a claim is about."""
    known = (*full_names(), *IN_TRAINING)
    if name not in known:
        raise StudyFileError(key, f"unknown metric {shorten(name)}", None, nearest(name, known))
    if name.startswith("val_"):
        raise StudyFileError(
            key,
            "must not be of the validation split, on which the winners were picked",
            name,
            "e.g. test_" + name[4:],
        )


def _check_trend(spec: StudySpec, claim: Claim, trend: Trend, key: str) -> None:
    """A trend runs along a compared hyperparameter, and is of the claim's metric or another compared one."""
    numbers = [
        name
        for name, choices in spec.compared.items()
        if all(isinstance(each, int | float) and not isinstance(each, bool) for each in choices)
        and len(choices) > 1
    ]
    if trend.along not in numbers:
        raise StudyFileError(
            f"{key}.along",
            "must be a hyperparameter under [scientific] with two numbers or more",
            trend.along,
            nearest(trend.along, numbers) if numbers else "compare one",
        )
    known = [claim.metric, *(name for name in numbers if name != trend.along)]
    if trend.of not in known:
        raise StudyFileError(
            f"{key}.of",
            "must be the claim's metric, or another hyperparameter with numbers under [scientific]",
            trend.of,
            nearest(trend.of, known),
        )


def _check_edge_claim(spec: StudySpec, claim: Claim, key: str) -> None:
    """A claim about the largest stable learning rates."""
    if spec.search.sampler != "bisect":
        raise StudyFileError(
            f"{key}.metric",
            f"{STABLE_LR} is what bisect measures, and the sampler is {spec.search.sampler}",
            None,
            'set search.sampler = "bisect", or claim another metric',
        )
    if claim.kind not in ("value", "ratio", "difference"):
        raise StudyFileError(
            key,
            f"a claim about {STABLE_LR} is a value, a ratio or a difference",
            claim.kind,
            "e.g. ratio = { arms = [A, B], at_least = 2.0 }",
        )


def _check_share_claim(claim: Claim, key: str) -> None:
    """A claim about what share of the trials something happens in."""
    if claim.proportion is None:
        raise StudyFileError(
            key,
            f"a claim about {SHARE} is a proportion",
            claim.kind,
            'e.g. proportion = { of = "diverged", ... }',
        )
    for name, happening in (("of", claim.proportion.of), ("among", claim.proportion.among)):
        if happening is not None and happening not in HAPPENINGS:
            raise StudyFileError(
                f"{key}.proportion.{name}",
                f"nothing that happens in a trial is called {shorten(happening)}",
                None,
                nearest(happening, HAPPENINGS),
            )


def _check_layerwise_claim(spec: StudySpec, claim: Claim, key: str) -> None:
    """A claim about what layers do, which has to be measured in every replicate."""
    measured = spec.held.get("training.layerwise", 0)
    if not isinstance(measured, int) or measured < spec.search.replicates:
        raise StudyFileError(
            key,
            f"needs training.layerwise to be at least search.replicates = {spec.search.replicates}",
            claim.metric,
            f"set fixed.training.layerwise = {spec.search.replicates}",
        )
