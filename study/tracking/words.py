"""What MLflow admits as keys, values and tags (mlflow/utils/validation.py), and how ours is written there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

MAX_TAG, MAX_PARAM, MAX_KEY, MAX_NOTE = 8000, 6000, 250, 8000


def parameters(values: Mapping[str, Any]) -> dict[str, str]:
    return {key_name(key): cut(plain(value), MAX_PARAM) for key, value in values.items()}


def plain(value: object) -> str:
    """A value as a study file has it: ``true``, ``0.001``, text without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys; what is None is left out."""
    items: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            items |= flat(value, f"{prefix}{name}.")
        elif value is not None:
            items[f"{prefix}{name}"] = value
    return items


def long_tag(name: str, text: str) -> dict[str, str]:
    """``text`` whole, over as many tags as it takes: name, name.2, name.3 ..."""
    parts = [text[start : start + MAX_TAG] for start in range(0, len(text), MAX_TAG)] or [""]
    return {name if number == 1 else f"{name}.{number}": part for number, part in enumerate(parts, start=1)}


def whole_tag(name: str, tags: Mapping[str, str]) -> str | None:
    """What ``long_tag`` took apart, or None where it is not there."""
    later = sorted(
        (int(number), key)
        for key in tags
        if (number := key.removeprefix(f"{name}.")) != key and number.isdigit()
    )
    return "".join([tags[name], *(tags[key] for _, key in later)]) if name in tags else None


def key_name(name: str) -> str:
    """``name`` with what MLflow admits in a key: letters, digits and ``_-. :/``, and no path that leads
    elsewhere (mlflow/utils/validation.py)."""
    admitted = re.sub(r"[^\w\-. :/]", "_", name)[:MAX_KEY] or "_"
    path_like = admitted.startswith(("/", "..")) or admitted.endswith("/") or "//" in admitted
    lost = any(part in (".", "..") for part in admitted.split("/"))
    return admitted.replace("/", "_").replace("..", "__") if path_like or lost else admitted


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def finite(value: object) -> bool:
    """Whether MLflow can hold it: a number that is neither NaN nor infinite, and no truth value."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
