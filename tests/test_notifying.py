"""Notifications: who is told how a study ended, and that nobody learns the address."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from study.errors import StudyError, StudyInterrupted, StudyUnfinished
from study.notifying import Notice, check_target, hidden, notice_of, notified, notify
from study.record import StudyRecord
from tests.cli.conftest import Command, folder, study  # noqa: F401 -- fixtures
from tests.good_study import spec_of

NOTICE = Notice("mine", "0123456789ab", "finished", "mine@0123456789ab finished: all is well", "/runs/mine")
SECRET = "s3cr3t-t0ken"


@dataclass
class Hook:
    """A server that keeps what it is sent, and answers ``status``."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    kept = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- http.server's word
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/hooks/{SECRET}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


def writer(path: Path, ends_with: int = 0) -> str:
    """A command that writes what it was told into a file."""
    script = path.with_suffix(".py")
    script.write_text(
        "import json, os, sys\n"
        "told = {k: v for k, v in os.environ.items() if k.startswith('STUDY_')}\n"
        f"open({str(path)!r}, 'w').write(json.dumps([sys.argv[1:], sys.stdin.read(), told]))\n"
        f"sys.exit({ends_with})\n"
    )
    return f"{sys.executable} {script} --flag"


def test_an_address_is_sent_the_notice_as_json(hook: Hook) -> None:
    assert notify(hook.url, NOTICE) is None
    assert [json.loads(body) for body in hook.bodies] == [
        {
            "study": "mine",
            "digest": "0123456789ab",
            "ending": "finished",
            "text": "mine@0123456789ab finished: all is well",
            "folder": "/runs/mine",
        }
    ]


def test_a_command_is_told_by_argument_input_and_environment(tmp_path: Path) -> None:
    assert notify(writer(tmp_path / "told"), NOTICE) is None
    arguments, text, environment = json.loads((tmp_path / "told").read_text())
    assert arguments == ["--flag", NOTICE.text]
    assert json.loads(text)["ending"] == "finished"
    assert environment["STUDY_NAME"] == "mine"
    assert environment["STUDY_FOLDER"] == "/runs/mine"


def test_a_text_is_no_shells_business(tmp_path: Path) -> None:
    evil = Notice("mine", "0", "failed", f"$(touch {tmp_path / 'evil'}); `id` & |")
    assert notify(writer(tmp_path / "told"), evil) is None
    assert json.loads((tmp_path / "told").read_text())[0][1] == evil.text
    assert not (tmp_path / "evil").exists()


def test_what_could_not_be_sent_is_said_without_the_target(hook: Hook, tmp_path: Path) -> None:
    hook.status = 403
    assert notify(hook.url, NOTICE) == "the notification was not sent: the address answered 403"
    missing = f"{tmp_path}/{SECRET}"
    assert notify(missing, NOTICE) == "the notification was not sent: there is no such command"
    failing = writer(tmp_path / "told", ends_with=3)
    assert notify(failing, NOTICE) == "the notification was not sent: the command ended with 3"
    nobody = f"http://127.0.0.1:9/{SECRET}"
    assert notify(nobody, NOTICE) == "the notification was not sent: ConnectionError"


@pytest.mark.parametrize(
    "command", [["run", "x", "--notify", SECRET, "--fresh"], ["run", f"--notify={SECRET}"]]
)
def test_the_record_does_not_learn_the_target(command: list[str]) -> None:
    kept = hidden(command)
    assert SECRET not in " ".join(kept)
    assert kept[0] == "run"
    assert len(kept) == len(command)


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, "finished"),
        (StudyUnfinished("3 trials failed"), "unfinished"),
        (StudyInterrupted("interrupted"), "interrupted"),
        (KeyboardInterrupt(), "interrupted"),
        (StudyError("no data"), "failed"),
        (ZeroDivisionError("a bug"), "failed"),
    ],
)
def test_every_end_has_its_word(error: BaseException | None, ending: str, tmp_path: Path) -> None:
    notice = notice_of(spec_of(), tmp_path, error)
    assert notice.ending == ending
    assert notice.folder is None
    assert notice.text.startswith(f"mine@{spec_of().digest} {ending}: ")


def test_a_record_that_came_to_be_is_named(tmp_path: Path) -> None:
    record = StudyRecord.create(tmp_path, spec_of())
    assert notice_of(spec_of(), tmp_path, None).folder == str(record.folder)


def test_an_error_is_told_and_goes_on(hook: Hook, tmp_path: Path) -> None:
    with pytest.raises(StudyUnfinished), notified(hook.url, spec_of(), tmp_path, print):
        raise StudyUnfinished("the disk is full")
    assert json.loads(hook.bodies[0])["text"].endswith("unfinished: the disk is full")


def test_a_hook_that_fails_changes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with notified(f"{tmp_path}/{SECRET}", spec_of(), tmp_path, print):
        pass
    assert capsys.readouterr().out == "the notification was not sent: there is no such command\n"


@pytest.mark.parametrize("target", ["", " ", "'open"])
def test_what_is_no_command_is_refused_at_once(target: str) -> None:
    with pytest.raises(StudyError, match="must be a command or a URL"):
        check_target(target)


def test_a_run_that_cannot_start_is_told(hook: Hook, study: Command, folder: Path) -> None:  # noqa: F811
    said = study("run", "cifar10-acts", "--data-dir", folder / "empty", "--notify", hook.url)
    assert said.code == 2
    assert SECRET not in said.err
    (notice,) = map(json.loads, hook.bodies)
    assert (notice["study"], notice["ending"]) == ("cifar10-acts", "failed")
    assert "study data fetch cifar10" in notice["text"]
