"""Numbers and names as people read them, in the terminal, the page and the figures alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from study import claims
from study.analysis.intervals import Interval
from study.analysis.outcomes import quantity
from study.errors import one_line
from study.space import Scalar
from study.spec import StudySpec

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{NO-BREAK SPACE}\N{PLUS-MINUS SIGN}\N{NO-BREAK SPACE}"
SPLIT_NAMES = {
    "val": "validation",
    "val_clean": "noise-free validation",
    "test": "test",
    "test_clean": "noise-free test",
    "train": "training",
    "train_eval": "training",
}
NATS = "nats per example"
UNITS = {
    **dict.fromkeys(("accuracy", "error", "below", "below_lowest", "below_highest", "coverage"), "fraction"),
    **dict.fromkeys(("coverage_error", "decile_spread", "crossing"), "fraction"),
    "loss": NATS,
    "mape": "%",
}
# Where a metric's own name is no word.
QUANTITY_NAMES = {
    **{name: name.upper() for name in ("mse", "rmse", "mae", "mape")},
    "r2": "R\N{SUPERSCRIPT TWO}",
    "pinball": "pinball loss",
    "below": "share below",
    "below_lowest": "share below the lowest quantile",
    "below_highest": "share below the highest quantile",
    "decile_spread": "coverage, largest \N{MINUS SIGN} smallest tenth",
}
KEY_NAMES = {"optimizer.lr": "learning rate", "optimizer.weight_decay": "weight decay"}


def counted(number: int, noun: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counted_are(number: int, noun: str) -> str:
    """``1 trial is``, ``2 trials are``."""
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"


def setting(value: Scalar) -> str:
    """A hyperparameter's value: numbers with three significant digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else one_line(str(value))


def settings(tuned: Mapping[str, Scalar] | None) -> tuple[str, ...]:
    """``lr=0.0123`` for each; the component stays where two of them have an argument in common."""
    tuned = tuned or {}
    arguments = [key.rpartition(".")[2] for key in tuned]
    labels = (key if arguments.count(name) > 1 else name for key, name in zip(tuned, arguments, strict=True))
    return tuple(
        f"{one_line(label)}={setting(value)}" for label, value in zip(labels, tuned.values(), strict=True)
    )


def decimals(intervals: Iterable[Interval]) -> int:
    """How many digits after the point a column deserves, by its typical half width: two significant
    ones of it up to 0.354, 3.54, ..., one above (the rounding rule of the Particle Data Group)."""
    widths = sorted(width for each in intervals if (width := each.half_width))
    if not widths:
        return 4
    power = math.floor(math.log10(widths[len(widths) // 2]))
    leading = widths[len(widths) // 2] / 10**power
    return min(6, max(0, 1 - power if leading < 3.55 else -power))


def number(value: float | None, digits: int = 4, signed: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", MINUS)


def with_interval(interval: Interval, digits: int, signed: bool = False) -> str:
    """``0.536 ± 0.012``; without the second part where there is no interval."""
    text = number(interval.mean, digits, signed)
    width = interval.half_width
    return text if width is None else f"{text}{PLUS_MINUS}{width:.{digits}f}"


def p_value(p: float | None) -> str:
    if p is None:
        return "\N{EN DASH}"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """``1 h 05 min``, ``3 min 20 s``, ``4.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def metric_name(metric: str) -> str:
    """``test_accuracy`` to ``test accuracy``, ``val_loss`` to ``validation loss``, ``end_bias_shift`` to
    ``end bias shift``; a difference likewise."""
    if claims.MINUS in metric:
        return f" {MINUS} ".join(map(_side, metric.split(claims.MINUS, 1)))
    what = quantity(metric)
    split = metric.removesuffix(what).rstrip("_")
    name = QUANTITY_NAMES.get(what, what.replace("_", " "))
    return one_line(f"{SPLIT_NAMES.get(split, split)} {name}".lstrip())


def metric_of(metric: str, arm: str) -> str:
    """``test accuracy of relu``; ``(test error - training error) of relu``, as another may follow."""
    name = metric_name(metric)
    return f"({name}) of {arm}" if claims.MINUS in metric else f"{name} of {arm}"


def _side(metric: str) -> str:
    """One side of a difference, where what a training shows and what it is evaluated to may meet."""
    return f"{quantity(metric)} shown in training" if metric in claims.IN_TRAINING else metric_name(metric)


def metric_with_unit(metric: str, spec: StudySpec) -> str:
    unit = unit_of(metric, spec)
    return f"{metric_name(metric)} ({unit})" if unit else metric_name(metric)


def unit_of(metric: str, spec: StudySpec) -> str:
    """Empty where none is known: numbers' losses have the targets' own, or its square."""
    from study.components.datasets import DATASETS

    unit = UNITS.get(quantity(metric), "")
    info = DATASETS.get(str(spec.arms()[0].held.get("dataset.name")))
    return "" if unit == NATS and (info is None or info.task != "classification") else unit


def key_name(key: str) -> str:
    """``learning rate`` for optimizer.lr; any other key as it is."""
    return KEY_NAMES.get(key, one_line(key))


def sentence(text: str) -> str:
    """With a capital at its start, and the others as they are."""
    return text[:1].upper() + text[1:]


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = [one_line(name) for name in names] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last
