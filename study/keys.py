"""Keys and names as a study file writes them: component.argument, conditions, arms' names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from study.errors import shorten
from study.space import Condition, Scalar

COMPONENTS = (
    "dataset",
    "model",
    "activation",
    "loss",
    "optimizer",
    "schedule",
    "augmentation",
    "training",
    "divergence",
)


def flatten(section: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """``{"optimizer": {"lr": x}}`` to ``{"optimizer.lr": x}``."""
    return {f"{part}.{argument}": leaf for part, table in section.items() for argument, leaf in table.items()}


def dotted(parts: Iterable[int | str]) -> str:
    """A key as TOML writes it, parts quoted where they must be: ``claims[0].metric``."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part) is not None
            quoted = part if bare else json.dumps(part, ensure_ascii=not part.isprintable())
            text += f".{quoted}" if text else quoted
    return text


def parse_condition(text: str) -> Condition:
    """``"optimizer.name=sgd"``; the value is read as TOML, bare words as text."""
    key, equals, value = text.partition("=")
    if not equals or not value or key.count(".") != 1:
        example = '[conditional."optimizer.name=sgd"]'
        raise ValueError(f"conditional.{shorten(text)}: must read component.argument=value; e.g. {example}")
    return Condition(key.strip(), parse_scalar(value.strip()))


def parse_scalar(text: str) -> Scalar:
    """``true``, ``false``, a number, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip("\"'")


def arm_name(values: Mapping[str, Scalar]) -> str:
    """``{"activation.name": "relu", "model.batch_norm": True}`` to ``relu+bn``.

    Names stand for themselves, true switches for their (short) label, false ones for nothing, and
    other values follow their label: ``n1000``, ``width0.25``.
    """
    labels = {key: SHORT.get(key.split(".")[1], key.split(".")[1]) for key in values}
    parts = [_arm_part(key, labels[key], value) for key, value in values.items()]
    if any(parts):
        return "+".join(part for part in parts if part)
    return "+".join(f"no-{label}" for label in labels.values())


def _arm_part(key: str, label: str, value: Scalar) -> str:
    if isinstance(value, bool):
        return label if value else ""
    return str(value) if key.endswith(".name") else f"{label}{value}"


ARM_NAME = re.compile(r"[A-Za-z0-9._+-]{1,200}")
# Labels of arguments in arms' names; an empty one where the values speak for themselves.
SHORT = {
    "batch_norm": "bn",
    "train_size": "n",
    "label_noise": "noise",
    "selection": "",
    "bn_eval": "",
    "evaluation_batch": "b",
    "evaluation_order": "",
    "momentum": "m",
}
