"""What the shell completes: studies, records, profiles and statements. Nothing heavy is loaded for it."""

from __future__ import annotations

from collections.abc import Iterable

import rich_click as click
from click.shell_completion import CompletionItem

from study import studyfile
from study.errors import StudyError
from study.record import folders


def studies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Bundled studies, or files where a path has been begun."""
    if incomplete.startswith((".", "/", "~")):
        return [CompletionItem(incomplete, type="file")]
    return _beginning(studyfile.bundled_names(), incomplete)


def records(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Studies that have a record in --out; their digests once there is an @."""
    found = folders(ctx.params["root"], "*")
    if "@" in incomplete:
        return _beginning((f"{folder.parent.name}@{folder.name}" for folder in found), incomplete)
    return _beginning(dict.fromkeys(folder.parent.name for folder in found), incomplete)


def targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Bundled targets, or files where a path has been begun."""
    from study.submission.target import bundled_names

    if incomplete.startswith((".", "/", "~")):
        return [CompletionItem(incomplete, type="file")]
    return _beginning(bundled_names(), incomplete)


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The profiles of the study that is named already."""
    # Behind an option that waits for its value, click has not told the arguments apart yet.
    name = ctx.params.get("name") or next(iter(ctx.args), "")
    try:
        table = studyfile.read(studyfile.find(name))
    except StudyError:
        return []
    return _beginning(studyfile.profiles(table), incomplete)


def statements(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The notes' statements, each with what it says."""
    from study.facts.statements import statements as known

    found = (each for each in known().values() if each.id.startswith(incomplete))
    return [CompletionItem(each.id, help=each.statement) for each in found]


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
