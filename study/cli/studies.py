"""`study list`, `show`, `check` and `schema`: study files, read but not run."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from study import studyfile
from study.analysis.wording import counted
from study.claims import Claim
from study.cli.options import data_dir_option, json_option, load_checked, print_json, study_options
from study.errors import StudyError, one_line, shorten
from study.places import default_data_dir
from study.spec import Arm, StudySpec

if TYPE_CHECKING:
    from study.components.datasets import LoadedData


@click.command("list")
@click.argument("text", required=False, default="")
@json_option
def list_command(text: str, as_json: bool) -> None:
    """The studies that come with the package, with their claims; only those with TEXT in name, question,
    claims or their sources.

    \b
    Examples:
      study list
      study list dropout
      study list L164
      study list --json
    """
    specs = [spec for spec in map(studyfile.load, studyfile.bundled_names()) if _has(spec, text)]
    if not specs:
        raise StudyError(f"no bundled study has {shorten(text)} in it; see: study list")
    if as_json:
        print_json([_entry(spec) for spec in specs])
        return
    width = min(110, shutil.get_terminal_size().columns)
    for spec in specs:
        about = f"{counted(len(spec.arms()), 'arm')}; profiles: {', '.join(_profiles(spec)) or 'none'}"
        click.echo(f"{click.style(spec.name, bold=True)}  {about}")
        click.echo(textwrap.fill(one_line(spec.question), width, initial_indent="  ", subsequent_indent="  "))
        for claim in spec.claims:
            click.echo(textwrap.fill(_line(claim), width, initial_indent="    ", subsequent_indent="      "))


def _has(spec: StudySpec, text: str) -> bool:
    parts = (spec.name, spec.question, *map(_line, spec.claims))
    return any(text.lower() in part.lower() for part in parts)


def _line(claim: Claim) -> str:
    return one_line(f"{claim.source}: {claim}")


def _profiles(spec: StudySpec) -> list[str]:
    return list(studyfile.profiles(studyfile.read(studyfile.find(spec.name))))


def _entry(spec: StudySpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "question": spec.question,
        "arms": [arm.name for arm in spec.arms()],
        "claims": [
            {"source": claim.source, "claim": str(claim), "kind": claim.kind} for claim in spec.claims
        ],
        "profiles": _profiles(spec),
    }


@click.command()
@study_options
@json_option
def show(name: str, profile: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """A study as it would run: profile and overrides applied, arm by arm.

    \b
    Examples:
      study show cifar10-acts
      study show cifar10-acts --profile laptop --json
    """
    spec = studyfile.load(name, profile, overrides)
    if as_json:
        table = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        arms = [{"name": arm.name, "values": dict(arm.values), "tuned": _tuned(arm)} for arm in spec.arms()]
        print_json({"name": spec.name, "digest": spec.digest, "arms": arms, "study": table})
        return
    click.echo(f"# {spec.name}@{spec.digest}, {len(spec.arms())} arms, {spec.trial_count} trials\n")
    click.echo(spec.to_toml().rstrip())
    for arm in spec.arms():
        click.echo(f"\n# arm {arm.name}: tunes {'; '.join(_tuned(arm)) or 'nothing'}")


def _tuned(arm: Arm) -> list[str]:
    return [
        f"{entry.key} in {entry.distribution}" + (f" where {entry.when}" if entry.when else "")
        for entry in arm.space.entries
    ]


@click.command()
@study_options
@data_dir_option
@json_option
def check(
    name: str, profile: str | None, overrides: tuple[str, ...], data_dir: Path | None, as_json: bool
) -> None:
    """Check a study file: every key, value, name and combination, in every profile. Runs nothing.

    A file of your own that it names is read where it is found, and the study held against it.

    \b
    Examples:
      study check cifar10-acts
      study check ./mine.toml --profile laptop
      study check ./waves.toml --data-dir .
    """
    table = studyfile.read(studyfile.find(name))
    chosen = [profile] if profile else [None, *studyfile.profiles(table)]
    specs = [(each, load_checked(name, each, overrides)) for each in chosen]
    unseen = _check_own_files((spec for _, spec in specs), default_data_dir(data_dir))
    if as_json:
        print_json(
            {
                "ok": True,
                "checked": [{"profile": p, "digest": s.digest, "trials": s.trial_count} for p, s in specs],
            }
        )
        return
    for each, spec in specs:
        label = f"profile {each}" if each else "as written"
        arms = len(spec.arms())
        click.echo(
            f"ok  {spec.name}@{spec.digest}  {label}: {arms} arm{'s' * (arms > 1)}, {spec.trial_count} trials"
        )
    for file in unseen:
        click.echo(f"not looked at: {file} is not there; see --data-dir")


def _check_own_files(specs: Iterable[StudySpec], data_dir: Path | None) -> list[Path]:
    """Hold each study against the user's own file that it names, read once; the files that are not there.
    Raises StudyError where a file is broken, or a study does not fit it."""
    from study.check import check_against
    from study.components.datasets import DATASETS, load_dataset
    from study.components.datasets.own import located

    files: dict[tuple[str, str], LoadedData] = {}
    unseen: dict[Path, None] = {}
    for spec in specs:
        held = spec.arms()[0].held
        name, path = str(held["dataset.name"]), str(held.get("dataset.path", ""))
        if DATASETS[name].load_file is None:
            continue
        if not located(path, data_dir).exists():
            unseen[located(path, data_dir)] = None
            continue
        if (name, path) not in files:
            files[name, path] = load_dataset(name, data_dir, path)
        check_against(spec, files[name, path])
    return list(unseen)


@click.command()
@click.option("--to", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead.")
def schema(path: Path | None) -> None:
    """The JSON Schema of study files, for editors.

    With Even Better TOML or Taplo, `#:schema ./study.schema.json` at the top of a study file turns on
    completion and checking.

    \b
    Examples:
      study schema --to study.schema.json
    """
    text = schema_text()
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{path}: cannot be written: {error.strerror}; choose another --to") from error


def schema_text() -> str:
    """The JSON Schema of study files, as a file's text."""
    import json

    document = StudySpec.model_json_schema(by_alias=True)
    document["title"] = "A study file"
    del document["properties"]["name"]
    document["required"].remove("name")
    document["properties"]["profiles"] = {
        "type": "object",
        "description": "Named overrides: study run NAME --profile P.",
        "additionalProperties": {"type": "object"},
    }
    # Editors read TOML's `arms` and `exclude` where they are written, before they are lifted out.
    scientific = document["properties"]["scientific"]
    scientific["properties"] = {key: document["properties"][key] for key in ("arms", "exclude")}
    return json.dumps(_any_of(document), indent=2) + "\n"


def _any_of(schema: Any) -> Any:
    """The schema with anyOf for oneOf: to JSON Schema 1.0 is an integer and a number at once."""
    if isinstance(schema, dict):
        return {"anyOf" if key == "oneOf" else key: _any_of(value) for key, value in schema.items()}
    return [_any_of(each) for each in schema] if isinstance(schema, list) else schema
