"""Reading a study file: find it, apply a profile and overrides, check it, or say in one line why not."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from study.claims import Claim, Pair, Proportion, Trend, Value
from study.errors import StudyFileError, UnknownName, one_line, shorten
from study.keys import COMPONENTS, dotted
from study.leaves import Range
from study.registry import nearest
from study.spec import Objective, Resources, Search, StudySpec

UNION_TAGS = (
    "range",
    "choices",
    "value",
    "bool",
    "int",
    "float",
    "text",
    "constrained-float",
    "literal['auto']",
    "[key]",
)
MAX_BYTES = 1_000_000
# The deepest of a study file's own keys, nuisance's ranges inside a profile, has half of it.
MAX_DEPTH = 12
# tomllib needs time and memory by the square of a dotted key's parts, so such keys are not given to it.
_KEY_PART = r"""(?<![\w"'-])(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+"""
_ENDLESS_KEY = re.compile(rf"(?:{_KEY_PART}\.[ \t]*+){{64}}")
# A study's name is that of a folder: never hidden, never ".." and nothing like an option.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}\Z")
NAME_RULE = "a study's name has 1 to 64 letters, digits and ._+-, and begins with a letter or digit"
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
        # Not Path.is_file, which fails on a name that is too long for the file system.
        if not os.path.isfile(name_or_file):  # noqa: PTH113
            raise StudyFileError(shorten(name_or_file), "there is no such study file", None, "check the path")
        return Path(name_or_file)
    if name_or_file not in bundled_names():
        if os.path.isfile(f"{name_or_file}.toml"):  # noqa: PTH113
            own = f"./{name_or_file}.toml"
            raise UnknownName(f"no bundled study is called {shorten(name_or_file)}; did you mean {own}")
        raise UnknownName(
            f"no bundled study is called {shorten(name_or_file)}; {nearest(name_or_file, bundled_names())} "
            "(a study file of your own is named by its path, such as ./mine.toml)"
        )
    return bundled_folder() / f"{name_or_file}.toml"


def load(name_or_file: str, profile: str | None = None, overrides: Iterable[str] = ()) -> StudySpec:
    """Read, resolve and validate a study. ``overrides`` are ``section.key=value`` strings, applied after
    the profile. Raises StudyFileError or UnknownName with one line."""
    path = find(name_or_file)
    return resolve(read(path), path, profile, overrides)


def place(path: Path, profile: str | None = None, overrides: Iterable[str] = ()) -> str:
    """What a message calls a resolved study: ``mine.toml (profile small) (--set search.seed=3)``."""
    named = [path.name, *([f"(profile {profile})"] if profile else [])]
    given = [f"({_as_given(override)})" for override in overrides]
    return " ".join([*named, *(given if len(given) <= 3 else [f"({len(given)} overrides by --set)"])])


def _as_given(override: str) -> str:
    return f"--set {override if len(override) <= 60 else override[:60] + '...'}"


def read(path: Path) -> Table:
    """The study file's table, as TOML has it."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise StudyFileError(
                path.name, f"must be at most {MAX_BYTES:,} bytes", size, "is it a study file?"
            )
        return parse(path.read_bytes().decode(), path.name)
    except UnicodeDecodeError as error:
        raise StudyFileError(
            path.name, f"must be UTF-8 text; byte {error.start} is not", None, "save it as UTF-8"
        ) from error
    except OSError as error:
        raise StudyFileError(path.name, f"cannot be read: {error.strerror}") from error


def parse(text: str, place: str) -> Table:
    """A study file's text as a table; StudyFileError where it is not TOML of a sensible depth."""
    if _ENDLESS_KEY.search(text):
        raise StudyFileError(place, "must not have keys of 64 parts", None, "a study's have four at most")
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise StudyFileError(place, f"must not be nested deeper than {MAX_DEPTH} tables and lists") from error
    except tomllib.TOMLDecodeError as error:
        twice = ("Cannot overwrite", "Cannot declare", "Cannot mutate")
        hint = "a key or table is given twice; keep one of them" if str(error).startswith(twice) else ""
        raise StudyFileError(place, f"must be valid TOML: {error}", None, hint) from error
    except ValueError as error:
        # A whole number of more than 4,300 digits, which Python does not read.
        raise StudyFileError(place, f"must be valid TOML: {str(error).partition(':')[0]}") from error
    _check_depth(table, place)
    return table


def _check_depth(table: Table, place: str) -> None:
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        level = [
            leaf
            for each in level
            for leaf in (each.values() if isinstance(each, dict) else each)
            if isinstance(leaf, dict | list)
        ]
    if level:
        raise StudyFileError(place, f"must not be nested deeper than {MAX_DEPTH} tables and lists")


def profiles(table: Table) -> dict[str, Table]:
    """The named overrides of a study file's table."""
    return dict(table.get("profiles") or {})


def resolve(table: Table, path: Path, profile: str | None, overrides: Iterable[str]) -> StudySpec:
    """Apply the profile and the overrides, then check the outcome."""
    base = {key: value for key, value in table.items() if key != "profiles"}
    named = table.get("profiles", {})
    if not isinstance(named, dict) or not all(isinstance(entry, dict) for entry in named.values()):
        raise StudyFileError(f"{path.name}: profiles", "must be tables, [profiles.NAME]", named)
    if not NAME.match(path.stem):
        raise StudyFileError(path.name, NAME_RULE, path.stem, "rename the file")
    if profile is not None:
        if profile not in named:
            hint = nearest(profile, named) if named else "the file has none"
            raise UnknownName(one_line(f"{path.name}: unknown profile {shorten(profile)}; {hint}"))
        base = overlay(base, named[profile])
    overrides = tuple(overrides)
    for override in overrides:
        base = overlay(base, parse_override(override))
    return validate(base, path.stem, place(path, profile, overrides))


def parse_override(text: str) -> Table:
    """``fixed.model.width=0.5`` as a nested table; the value is TOML, or else a bare word."""
    where, way_out = _as_given(text), "e.g. fixed.model.width=0.5"
    key, equals, value = (part.strip() for part in text.partition("="))
    section, _, rest = key.partition(".")
    if section in COMPONENTS:
        raise StudyFileError(where, "must start with a section", section, f"e.g. fixed.{key}={value}")
    if not equals or not section or not rest or not text.isprintable():
        raise StudyFileError(where, "must read section.key=value", None, way_out)
    try:
        return parse(text, where)
    except StudyFileError as error:
        if not isinstance(error.__cause__, tomllib.TOMLDecodeError):
            raise
    try:
        return parse(f"{key} = {json.dumps(value, ensure_ascii=False)}", where)
    except StudyFileError as error:
        raise StudyFileError(where, "must read section.key=value", None, way_out) from error


def overlay(base: Table, over: Table) -> Table:
    """``over`` laid onto ``base``. Tables merge, all else is replaced; a hyperparameter that ``over``
    puts in one section leaves the others, so a profile can hold what the study tunes. One that it holds
    or compares leaves ``[conditional]`` too, which would have the last word."""
    cleared = base
    for section in HYPERPARAMETER_SECTIONS:
        put = _keys(over.get(section))
        for other in HYPERPARAMETER_SECTIONS:
            if other != section and put and other in cleared:
                cleared = {**cleared, other: _without(cleared[other], put)}
        if section != "nuisance" and put and isinstance(cleared.get("conditional"), dict):
            kept = {text: _without(table, put) for text, table in cleared["conditional"].items()}
            cleared = {**cleared, "conditional": {text: table for text, table in kept.items() if table}}
    return _merge(cleared, over)


def _keys(section: object) -> set[tuple[str, str]]:
    """The (component, argument) pairs that a section sets."""
    return {(part, argument) for part, table in _tables(section).items() for argument in _tables(table)}


def _tables(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _without(section: Any, keys: set[tuple[str, str]]) -> Any:
    """``section`` without these hyperparameters, nor the components that nothing is left of."""
    if not _keys(section) & keys:
        return section
    rest = {
        part: {argument: leaf for argument, leaf in table.items() if (part, argument) not in keys}
        if isinstance(table, dict)
        else table
        for part, table in section.items()
    }
    return {part: table for part, table in rest.items() if table != {}}


def _merge(base: Table, over: Table) -> Table:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def validate(table: Table, name: str, place: str) -> StudySpec:
    """The table as a StudySpec; the first broken rule as a StudyFileError."""
    if "name" in table:
        raise StudyFileError(
            f"{place}: name", "a study is named by its file", table["name"], "remove the key"
        )
    if "profiles" in table:
        raise StudyFileError(f"{place}: profiles", "a profile cannot hold or change profiles; remove the key")
    try:
        return StudySpec.model_validate({**table, "name": name})
    except ValidationError as error:
        raise _as_one_line(error, table, place) from error


SECTION_NAMES = (
    *(field.alias or key for key, field in StudySpec.model_fields.items() if key != "name"),
    "profiles",
)
# What may stand beside a key, by the part of the study file that it is in.
MODELS: dict[str, type[BaseModel]] = {
    "objective": Objective,
    "search": Search,
    "resources": Resources,
    "value": Value,
    "difference": Pair,
    "ratio": Pair,
    "trend": Trend,
    "proportion": Proportion,
}


def _as_one_line(error: ValidationError, table: Table, place: str) -> StudyFileError:
    """Pydantic's first complaint as place, rule, value and way out."""
    # A typo in a key makes two complaints, an unknown key and a missing one: the first says more.
    # Where a number or a word may stand, a word is a typo of that.
    details = min(error.errors(include_url=False), key=_says_less)
    parts = _locate(table, details["loc"])
    key = dotted(parts)
    where = f"{place}: {key}" if key else place
    kind, value = details["type"], details.get("input")
    if kind == "missing":
        return StudyFileError(where, "is missing", None, _example(key))
    if kind == "extra_forbidden":
        return StudyFileError(where, "unknown key", None, nearest(str(parts[-1]), _known_keys(parts)))
    if kind == "value_error":
        return StudyFileError(where, str(details["ctx"]["error"]))
    if kind in ("dict_type", "model_type"):
        return StudyFileError(where, "must be a table", value, _as_table(parts))
    way_out = "write [[claims]]" if key == "claims" and kind == "list_type" else _choices(details)
    return StudyFileError(where, rule(details["msg"]), value, way_out)


def _says_less(details: ErrorDetails) -> int:
    """0 for the complaint that says most, 2 for the one that says least."""
    if details["type"] == "extra_forbidden":
        return 0
    return 1 if details["type"] == "literal_error" and isinstance(details.get("input"), str) else 2


def rule(message: str) -> str:
    """Pydantic's wording as ours: "Input should be greater than 0" to "must be above 0"."""
    text = re.sub(r"^(Input|String|Value|List) should", "must", message)
    for theirs, ours in (
        ("^Value error, ", ""),
        (r"must match pattern '.*200.*'", "must be 1 to 200 letters, digits and ._+-"),
        (
            r"must match pattern '.*_\.-\]\{0,61\}.*'",
            "must be 1 to 63 letters, digits and ._-, as labels are",
        ),
        (r"( items?) after validation, not \d+$", r"\1"),
        ("a valid list", "a list"),
        ("a valid integer", "a whole number"),
        ("a valid number", "a number"),
        ("a valid string", "text"),
        ("a valid boolean", "true or false"),
        ("greater than or equal to", "at least"),
        ("less than or equal to", "at most"),
        ("greater than", "above"),
        ("less than", "below"),
    ):
        text = re.sub(theirs, ours, text)
    return text[0].lower() + text[1:]


def _choices(details: ErrorDetails) -> str:
    """For one of a few words: the one that was meant."""
    words = re.findall(r"'(\w+)'", details.get("ctx", {}).get("expected", ""))
    value = details.get("input")
    near = nearest(value, words) if words and isinstance(value, str) else ""
    return near if near.startswith("did you mean") else ""


def _as_table(parts: tuple[int | str, ...]) -> str:
    """How what should be a table is written."""
    if len(parts) == 2 and parts[0] in HYPERPARAMETER_SECTIONS:
        named = parts[1] in COMPONENTS and parts[1] not in ("augmentation", "training")
        return f"e.g. {parts[1]}.name = ..." if named else "write it as component.argument, without quotes"
    return f"e.g. [{parts[0]}]" if len(parts) == 1 else ""


def _example(key: str) -> str:
    examples = {
        "question": 'question = "Which activation trains best?"',
        "objective": '[objective] metric = "val_accuracy", direction = "maximize"',
        "objective.metric": 'metric = "val_accuracy"',
        "objective.direction": 'direction = "maximize"',
    }
    return f"e.g. {examples[key]}" if key in examples else "add it"


def _locate(table: Table, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The key that pydantic's location means: without the names of union members."""
    at: Any = table
    parts: list[int | str] = []
    for index, part in enumerate(location):
        inside = (isinstance(at, dict) and part in at) or (isinstance(at, list) and isinstance(part, int))
        if inside:
            at = at[part]
        elif part in UNION_TAGS or index < len(location) - 1:
            continue
        parts.append(part)
    return tuple(parts)


def _known_keys(parts: tuple[int | str, ...]) -> tuple[str, ...]:
    """The keys that may stand beside the last of ``parts``, for a hint."""
    if len(parts) == 1:
        return SECTION_NAMES
    inside = parts[-2]
    if isinstance(inside, int):
        return tuple(Claim.model_fields)
    return tuple(MODELS.get(inside, Range).model_fields)
