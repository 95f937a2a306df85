"""`study status`: how far studies are, from their records alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import rich_click as click

from study.cli import completing
from study.cli.options import json_option, out_option, print_json
from study.errors import RecordError, StudyError, one_line
from study.record import StudyRecord, folders, is_running
from study.trial import PHASES


@click.command()
@click.argument("name", metavar="[NAME]", required=False, shell_complete=completing.records)
@out_option
@json_option
def status(name: str | None, root: Path, as_json: bool) -> None:
    """How far a study is, or all of them: trials by verdict, and whether it is running now. Of those that
    were submitted from here, their clusters are asked.

    \b
    Examples:
      study status
      study status cifar10-acts
      study status cifar10-acts@b15579290e56 --json
    """
    if name is None:
        entries = _beside([_entry_of(folder) for folder in folders(root, "*")], submissions(root))
        if as_json:
            print_json(entries)
        elif not entries:
            click.echo(f"{root} holds no study yet; run one: study run cifar10-acts --profile demo", err=True)
        else:
            _print_all(entries)
        return
    study, _, digest = name.partition("@")
    sent = submissions(root, study, digest)[-1:]
    try:
        record = StudyRecord.latest(root, name)
        document = {**_beside([_entry(record)], sent)[0], "arms": _arms(record)}
    except RecordError:
        if not sent:
            raise
        document = {**_beside([], sent)[0], "arms": []}
    print_json(document) if as_json else _print_one(document)


def submissions(root: Path, study: str = "*", digest: str = "") -> list[dict[str, Any]]:
    """What was submitted from here, the newest last, with what the clusters say of it now."""
    if not (root / "submitted").is_dir():
        return []
    from study.submission.remembered import look, remembered

    told = []
    for each in remembered(root, study, digest, complain=lambda line: click.echo(line, err=True)):
        facts = {"study": each.study, "digest": each.digest, "to": each.to, "id": each.id}
        try:
            job = look(root, each)
            told.append({**facts, "id": job.id, "state": job.state, "says": job.says})
        except StudyError as error:
            told.append({**facts, "state": "unknown", "says": one_line(str(error))})
    return told


def _beside(entries: list[dict[str, Any]], sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each record with its submission, if it has one; then the submissions whose records are elsewhere."""
    by_study = {(each.pop("study"), each.pop("digest")): each for each in sent}
    beside = []
    for entry in entries:
        submission = by_study.pop((entry["study"], entry["digest"].split("-")[0]), None)
        beside.append({**entry, "submission": submission} if submission else entry)
    nothing: dict[str, Any] = {"folder": None, "state": "elsewhere", "trials": 0, "ended": 0, "verdicts": {}}
    rest = by_study.items()
    return beside + [{"study": s, "digest": d, **nothing, "submission": told} for (s, d), told in rest]


def _entry_of(folder: Path) -> dict[str, Any]:
    """A damaged record must not hide the others."""
    try:
        return _entry(StudyRecord(folder))
    except (StudyError, OSError) as error:  # a colleague's may not be for us to read
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
        counted = f"{entry['ended']}/{entry['trials']} trials: {_verdicts(entry['verdicts'])}"
        here = "" if entry["folder"] is None else f"{entry['state']}  {entry.get('says', counted)}"
        click.echo(f"{entry['study']}@{entry['digest']}  {here}{_sent(entry.get('submission'))}")


def _sent(submission: dict[str, Any] | None) -> str:
    """Where a study was submitted to, and what is said of it there."""
    if submission is None:
        return ""
    says = f" ({submission['says']})" if submission["says"] else ""
    return f"  at {submission['to']}: {submission['state']}{says}"


def _print_one(document: dict[str, Any]) -> None:
    _print_all([document])
    for arm in document["arms"]:
        click.echo(
            f"  {arm['arm']}: tuning {_verdicts(arm['tune'])}; confirmation {_verdicts(arm['confirm'])}"
        )
    if document["folder"]:
        click.echo(document["folder"])
