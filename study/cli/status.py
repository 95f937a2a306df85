"""`study status`: how far studies are, from their records alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import rich_click as click

from study.cli import completing
from study.cli.options import json_option, out_option, print_json
from study.errors import StudyError, one_line
from study.record import StudyRecord, folders, is_running
from study.trial import PHASES


@click.command()
@click.argument("name", metavar="[NAME]", required=False, shell_complete=completing.records)
@out_option
@json_option
def status(name: str | None, root: Path, as_json: bool) -> None:
    """How far a study is, or all of them: trials by verdict, and whether it is running now.

    \b
    Examples:
      study status
      study status cifar10-acts
      study status cifar10-acts@b15579290e56 --json
    """
    if name is None:
        entries = [_entry_of(folder) for folder in folders(root, "*")]
        if as_json:
            print_json(entries)
        elif not entries:
            click.echo(f"{root} holds no study yet; run one: study run cifar10-acts --profile demo", err=True)
        else:
            _print_all(entries)
        return
    record = StudyRecord.latest(root, name)
    document = {**_entry(record), "arms": _arms(record)}
    print_json(document) if as_json else _print_one(document)


def _entry_of(folder: Path) -> dict[str, Any]:
    """A damaged record must not hide the others."""
    try:
        return _entry(StudyRecord(folder))
    except StudyError as error:
        name, digest = folder.parent.name, folder.name
        damaged = {"state": "damaged", "trials": 0, "ended": 0, "verdicts": {}, "says": one_line(str(error))}
        return {"study": name, "digest": digest, "folder": str(folder), **damaged}


def _entry(record: StudyRecord) -> dict[str, Any]:
    results = record.results()
    return {
        "study": record.name,
        "digest": record.folder.name,
        "folder": str(record.folder),
        "state": "running" if is_running(record) else "finished" if record.finished else "unfinished",
        "trials": record.spec.trial_count,
        "ended": sum(result.verdict.status != "failed" for result in results.values()),
        "verdicts": dict(Counter(str(result.verdict) for result in results.values())),
    }


def _arms(record: StudyRecord) -> list[dict[str, Any]]:
    results = record.results().values()
    return [
        {
            "arm": arm.name,
            **{
                phase: dict(
                    Counter(
                        str(r.verdict)
                        for r in results
                        if r.config.arm == arm.name and r.config.phase == phase
                    )
                )
                for phase in PHASES
            },
        }
        for arm in record.spec.arms()
    ]


def _verdicts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())) or "none"


def _print_all(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        click.echo(
            f"{entry['study']}@{entry['digest']}  {entry['state']}  "
            + entry.get("says", f"{entry['ended']}/{entry['trials']} trials: {_verdicts(entry['verdicts'])}")
        )


def _print_one(document: dict[str, Any]) -> None:
    _print_all([document])
    for arm in document["arms"]:
        click.echo(
            f"  {arm['arm']}: tuning {_verdicts(arm['tune'])}; confirmation {_verdicts(arm['confirm'])}"
        )
    click.echo(document["folder"])
