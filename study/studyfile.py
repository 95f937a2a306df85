"""Reading a study file: find it, apply a profile and overrides, check it, or say in one line why not."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from study.claims import Claim
from study.errors import StudyFileError, UnknownName, shorten
from study.registry import nearest
from study.spec import COMPONENTS, Objective, Range, Resources, Search, StudySpec

UNION_TAGS = ("range", "choices", "value", "bool", "int", "float", "text")
MAX_BYTES = 1_000_000
NAME = re.compile(r"^[A-Za-z0-9._+-]{1,64}$")
HYPERPARAMETER_SECTIONS = ("scientific", "nuisance", "fixed")
Table = dict[str, Any]


def bundled_folder() -> Path:
    """The folder of the study files that come with the package (in a checkout: search_spaces/)."""
    installed = Path(__file__).parent / "_bundled" / "search_spaces"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "search_spaces"


def bundled_names() -> list[str]:
    return sorted(path.stem for path in bundled_folder().glob("*.toml"))


def find(name_or_file: str) -> Path:
    """The study file meant: a path if it looks like one, else a bundled study's name."""
    if name_or_file.endswith(".toml") or os.sep in name_or_file:
        path = Path(name_or_file)
        if not path.is_file():
            raise StudyFileError(name_or_file, "there is no such study file", way_out="check the path")
        return path
    if name_or_file not in bundled_names():
        raise UnknownName(
            f"no bundled study is called {shorten(name_or_file)}; {nearest(name_or_file, bundled_names())} "
            "(a study file of your own is named by its path, such as ./mine.toml)"
        )
    return bundled_folder() / f"{name_or_file}.toml"


def load(name_or_file: str, profile: str | None = None, overrides: Iterable[str] = ()) -> StudySpec:
    """Read, resolve and check a study. ``overrides`` are ``section.key=value`` strings, applied after
    the profile. Raises StudyFileError or UnknownName with one line."""
    path = find(name_or_file)
    return resolve(read(path), path, profile, overrides)


def read(path: Path) -> Table:
    """The study file's table, as TOML has it."""
    place = path.name
    if path.stat().st_size > MAX_BYTES:
        raise StudyFileError(place, f"must be smaller than {MAX_BYTES:,} bytes", path.stat().st_size)
    try:
        return tomllib.loads(path.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise StudyFileError(place, f"must be UTF-8 text; byte {error.start} is not") from error
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise StudyFileError(place, f"must be valid TOML: {error}") from error


def profiles(table: Table) -> dict[str, Table]:
    """The named overrides of a study file's table."""
    return dict(table.get("profiles") or {})


def resolve(table: Table, path: Path, profile: str | None, overrides: Iterable[str]) -> StudySpec:
    """Apply the profile and the overrides, then check the outcome."""
    base = {key: value for key, value in table.items() if key != "profiles"}
    named = table.get("profiles", {})
    if not isinstance(named, dict) or not all(isinstance(entry, dict) for entry in named.values()):
        raise StudyFileError(path.name, "profiles must be tables: [profiles.NAME]", named)
    if "name" in base:
        raise StudyFileError(path.name, "a study is named by its file; remove the key name", base["name"])
    if not NAME.match(path.stem):
        raise StudyFileError(path.name, "a study's name has 1 to 64 letters, digits and ._+-", path.stem)
    place = path.name
    if profile is not None:
        if profile not in named:
            hint = nearest(profile, named) if named else "the file has none"
            raise UnknownName(f"{path.name}: unknown profile {shorten(profile)}; {hint}")
        base = overlay(base, named[profile])
        place += f" (profile {profile})"
    for override in overrides:
        base = overlay(base, parse_override(override))
        place += f" (--set {override})"
    return validate(base, path.stem, place)


def parse_override(text: str) -> Table:
    """``fixed.model.width=0.5`` as a nested table; the value is TOML, or else a bare word."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts) or len(parts) < 2:
        raise StudyFileError(
            f"--set {text}", "must read section.key=value", way_out="e.g. fixed.model.width=0.5"
        )
    if parts[0] in COMPONENTS:
        raise StudyFileError(
            f"--set {text}", "starts with a section", parts[0], f"e.g. fixed.{key.strip()}={value.strip()}"
        )
    nested: Any = parse_value(value.strip())
    for part in reversed(parts):
        nested = {part: nested}
    return dict(nested)


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself where it is a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def overlay(base: Table, over: Table) -> Table:
    """``over`` laid onto ``base``. Tables merge, all else is replaced; a hyperparameter that ``over``
    puts in one section leaves the others, so a profile can hold what the study tunes."""
    moved = {
        (section, component, argument)
        for section in HYPERPARAMETER_SECTIONS
        for component, arguments in _tables(over.get(section)).items()
        for argument in _tables(arguments)
    }
    cleared = dict(base)
    for section, component, argument in moved:
        for other in HYPERPARAMETER_SECTIONS:
            if other != section:
                cleared = _without(cleared, other, component, argument)
    return _merge(cleared, over)


def _tables(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _without(table: Table, section: str, component: str, argument: str) -> Table:
    inside = _tables(_tables(table.get(section)).get(component))
    if argument not in inside:
        return table
    rest = {key: value for key, value in inside.items() if key != argument}
    return {**table, section: {**table[section], component: rest}}


def _merge(base: Table, over: Table) -> Table:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def validate(table: Table, name: str, place: str) -> StudySpec:
    """The table as a StudySpec; the first broken rule as a StudyFileError."""
    try:
        return StudySpec.model_validate({**table, "name": name})
    except ValidationError as error:
        raise _as_one_line(error, table, place) from error


SECTION_NAMES = (
    *(field.alias or key for key, field in StudySpec.model_fields.items() if key != "name"),
    "profiles",
)


def _as_one_line(error: ValidationError, table: Table, place: str) -> StudyFileError:
    """Pydantic's first complaint as place, rule, value and way out."""
    # A typo in a key makes two complaints, an unknown key and a missing one: the first says more.
    details = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    key, model_keys = _locate(table, details["loc"])
    where = f"{place}: {key}" if key else place
    kind, value = details["type"], details.get("input")
    if kind == "missing":
        return StudyFileError(where, "is missing", way_out=_example(key))
    if kind == "extra_forbidden":
        known = model_keys or SECTION_NAMES
        return StudyFileError(where, "unknown key", way_out=nearest(key.rsplit(".", 1)[-1], known))
    if kind == "value_error":
        return StudyFileError(where, str(details["ctx"]["error"]))
    if kind in ("dict_type", "model_type") and key.count(".") == 1:
        component = key.rsplit(".", 1)[-1]
        way_out = (
            f"e.g. {component}.name = ..." if component in COMPONENTS else "write it as component.argument"
        )
        return StudyFileError(where, "must be a table of arguments", value, way_out)
    return StudyFileError(where, _rule(details["msg"]), value)


def _rule(message: str) -> str:
    """Pydantic's wording, as a rule: "Input should be greater than 0" to "must be greater than 0"."""
    text = re.sub(r"^(Input|String|Value) should", "must", message).replace("List should", "must")
    return text[0].lower() + text[1:]


def _example(key: str) -> str:
    examples = {
        "question": 'question = "Which activation trains best?"',
        "objective": '[objective] metric = "val_accuracy", direction = "maximize"',
        "objective.metric": 'metric = "val_accuracy"',
        "objective.direction": 'direction = "maximize"',
    }
    return f"e.g. {examples[key]}" if key in examples else "add it"


def _locate(table: Table, location: tuple[int | str, ...]) -> tuple[str, tuple[str, ...]]:
    """The dotted key that pydantic's location means (without the names of union members), and the
    known keys of the model it stands in."""
    at: Any = table
    key = ""
    for index, part in enumerate(location):
        inside = (isinstance(at, dict) and part in at) or (isinstance(at, list) and isinstance(part, int))
        if inside:
            at = at[part]
        elif part in UNION_TAGS or index < len(location) - 1:
            continue
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key, _known_keys(key)


def _known_keys(key: str) -> tuple[str, ...]:
    """The keys that may stand beside ``key``, for a hint."""
    models: dict[str, type[BaseModel]] = {"objective": Objective, "search": Search, "resources": Resources}
    head = key.split(".")[0]
    if key.count(".") == 0:
        return SECTION_NAMES
    if head.startswith("claims["):
        return tuple(Claim.model_fields)
    return tuple(models[head].model_fields) if head in models else tuple(Range.model_fields)
