"""Tell somebody that a study has ended: a command, or a URL.

Addresses of hooks are secrets (a chat's webhook is all that one needs to write into it), so none is
written into the record, a log or an error.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from study.errors import StudyError, StudyInterrupted, StudyUnfinished, one_line
from study.record import StudyRecord
from study.spec import StudySpec

TIMEOUT_S = 30.0
VARIABLE = "STUDY_NOTIFY"
HIDDEN = "***"

Ending = Literal["finished", "unfinished", "interrupted", "failed"]


@dataclass(frozen=True)
class Notice:
    """What is told: how a study ended, in one line of ``text``, and where its record is (None where it
    did not come to be)."""

    study: str
    digest: str
    ending: Ending
    text: str
    folder: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@contextmanager
def notified(
    target: str | None, spec: StudySpec, root: Path, complain: Callable[[str], None]
) -> Iterator[None]:
    """Tell ``target`` how what is inside ended, however it did. That it could not be told changes nothing;
    ``complain`` is given the reason. Raises StudyError at once for a target that cannot be one."""
    if target is None:
        yield
        return
    check_target(target)
    ended: BaseException | None = None
    try:
        yield
    except BaseException as error:
        ended = error
        raise
    finally:
        if complaint := notify(target, notice_of(spec, root, ended)):
            complain(complaint)


def notice_of(spec: StudySpec, root: Path, error: BaseException | None) -> Notice:
    ending = ending_of(error)
    why = one_line(str(error)) or type(error).__name__ if error else "every trial has ended"
    try:
        folder = str(StudyRecord.latest(root, f"{spec.name}@{spec.digest}").folder.resolve())
    except StudyError:
        folder = None  # it did not come that far
    return Notice(spec.name, spec.digest, ending, f"{spec.name}@{spec.digest} {ending}: {why}", folder)


def ending_of(error: BaseException | None) -> Ending:
    """``failed`` for whatever is not the study's own way to end: a user's mistake, a bug."""
    if error is None:
        return "finished"
    if isinstance(error, StudyInterrupted | KeyboardInterrupt):
        return "interrupted"
    return "unfinished" if isinstance(error, StudyUnfinished) else "failed"


def check_target(target: str) -> None:
    """Raise StudyError, without the target in it, for what is neither a URL nor a command."""
    if _is_url(target):
        return
    try:
        words = shlex.split(target)
    except ValueError:
        words = []
    if not words:
        raise StudyError("--notify: must be a command or a URL; e.g. --notify 'notify-send study'")


def notify(target: str, notice: Notice) -> str | None:
    """Send ``notice`` to ``target``; why it could not be sent, None where it was.

    A URL is sent the notice by POST, as JSON. A command is run without a shell, with the notice as JSON
    on its standard input, its text as the last argument, and the environment variables STUDY_NAME,
    STUDY_DIGEST, STUDY_ENDING, STUDY_TEXT and STUDY_FOLDER. Neither may take longer than ``TIMEOUT_S``.
    """
    try:
        _post(target, notice) if _is_url(target) else _run(target, notice)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the study has ended as it has ended
        return f"the notification was not sent: {_why(error)}"
    return None


def hidden(command: Sequence[str]) -> list[str]:
    """The command line for the record: without the notification's target."""
    kept: list[str] = []
    for word in command:
        after = bool(kept) and kept[-1] == "--notify"
        kept.append(HIDDEN if after else f"--notify={HIDDEN}" if word.startswith("--notify=") else word)
    return kept


def _is_url(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def _post(url: str, notice: Notice) -> None:
    import requests

    headers = {"Content-Type": "application/json"}
    requests.post(url, data=notice.to_json(), headers=headers, timeout=TIMEOUT_S).raise_for_status()


def _run(command: str, notice: Notice) -> None:
    facts = {f"STUDY_{key.upper()}": value for key, value in asdict(notice).items() if value is not None}
    facts["STUDY_NAME"] = facts.pop("STUDY_STUDY")
    subprocess.run(
        [*shlex.split(command), notice.text],
        input=notice.to_json(),
        env={**{k: v for k, v in os.environ.items() if k != VARIABLE}, **facts},
        text=True,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )


def _why(error: Exception) -> str:
    """What went wrong, in words of our own: a library's would repeat the address."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"the address answered {status}"
    if isinstance(error, subprocess.CalledProcessError):
        return f"the command ended with {error.returncode}"
    if isinstance(error, FileNotFoundError):
        return "there is no such command"
    return one_line(type(error).__name__)
