"""`study submit`, `logs`, `stop`, and what `status` and `fetch` know of a submission; nobody is spoken to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from study.submission import target
from study.submission.remembered import Submission, remember, remembered
from tests.cli.conftest import Command, assert_one_line
from tests.good_study import spec_of
from tests.submission.orders import DIGEST, an_order

ID = f"study-mine-{DIGEST}"
SLURM = 'kind = "slurm"\nout = "/shared/runs"\ncpus_per_node = 4\n'


@pytest.fixture(autouse=True)
def no_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    (folder / "slurm.toml").write_text(SLURM, encoding="utf-8")


def sent(folder: Path, **target_table: str) -> Submission:
    """The study was submitted from ``runs``, to a cluster that is not there any more."""
    there = target.validate({"kind": "ray", "token_file": str(folder / "token"), **target_table}, "far.toml")
    return remember(folder / "runs", an_order(out="/far/runs"), there, "far.toml", ID)


# -- dry runs ------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_request(study: Command, folder: Path) -> None:
    said = study("submit", "./mine.toml", "--to", "ray", "--dry-run")
    assert said.code == 0
    request = json.loads(said.out)
    assert request["submission_id"] == ID
    assert request["entrypoint"] == (
        f"exec python -m study run ./mine.toml --out {folder.resolve() / 'runs'} --address auto"
    )
    assert request["working_dir"][0] == "mine.toml"


def test_a_dry_run_leaves_nothing(study: Command, folder: Path) -> None:
    before = sorted(folder.iterdir())
    for to in ("ray", "slurm", "kuberay", "./slurm.toml"):
        assert study("submit", "./mine.toml", "--to", to, "--dry-run").code == 0
    assert sorted(folder.iterdir()) == before


def test_profile_overrides_and_seed_are_in_what_travels(study: Command) -> None:
    changes = ("--profile", "small", "--set", "search.replicates=5", "--seed", "7")
    said = study("submit", "./mine.toml", "--to", "kuberay", "--dry-run", *changes)
    config, job = yaml.safe_load_all(said.out)
    resolved = spec_of(
        (Path("mine.toml")).read_text(), "search.replicates=5", "search.seed=7", profile="small"
    )
    assert config["data"]["study.toml"] == resolved.to_toml()
    assert job["metadata"]["annotations"]["study/submission"] == f"study-mine-{resolved.digest}"


def test_where_things_are_there_can_be_said_here(study: Command) -> None:
    where = ("--data-dir", "/far/data", "--tracking-uri", "http://mlflow:5000", "--max-concurrent", "3")
    said = study("submit", "./mine.toml", "--to", "./slurm.toml", "--dry-run", *where)
    assert "--data-dir /far/data --tracking-uri http://mlflow:5000 --max-concurrent 3" in said.out


def test_a_dry_run_as_json_is_one_document(study: Command) -> None:
    said = study("submit", "./mine.toml", "--to", "./slurm.toml", "--dry-run", "--json")
    assert "job.sbatch" in json.loads(said.out)
    assert said.err == ""


# -- mistakes ------------------------------------------------------------------------------------------


def test_a_study_is_checked_before_it_is_sent(study: Command) -> None:
    bad = ("--set", "fixed.model.widht=1")
    assert_one_line(study("submit", "./mine.toml", "--to", "ray", *bad), "did you mean width?")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", "./mine.toml"), ("--to", "study submit --help")),
        (("submit", "./mine.toml", "--to", "rya"), ("no target is called 'rya'", "did you mean ray?")),
        (("submit", "./mine.toml", "--to", "./no.toml"), ("no.toml", "there is no such target file")),
        (("submit", "./mine.toml", "--to", "ray"), ("no cluster runs on this machine", "study cluster up")),
        (
            ("submit", "./mine.toml", "--to", "ray", "--tracking-uri", "http://me:secret@mlflow"),
            ("--tracking-uri: must not hold a name or password",),
        ),
        (("logs", "mine"), ("'mine' was not submitted from here", "study submit NAME --to TARGET")),
        (("stop", "mine"), ("'mine' was not submitted from here",)),
        (("logs", "mine", "--to", "ray"), ("no cluster runs on this machine",)),
        (("cluster", "up", "--local-nodes", "0"), ("--local-nodes", "0 is not in the range")),
    ],
    ids=lambda value: " ".join(value)[:50],
)
def test_a_mistake_is_said_in_one_line(
    arguments: tuple[str, ...], words: tuple[str, ...], study: Command
) -> None:
    said = study(*arguments)
    assert_one_line(said, *words)
    assert "secret" not in said.err


def test_a_cluster_without_a_folder_of_records_is_refused(study: Command, folder: Path) -> None:
    (folder / "far.toml").write_text('kind = "ray"\naddress = "http://far:8265"\n', encoding="utf-8")
    said = study("submit", "./mine.toml", "--to", "./far.toml", "--dry-run")
    assert_one_line(said, "far.toml: out: is missing", "which all nodes see")


def test_a_token_that_is_not_there_is_named(study: Command, folder: Path) -> None:
    sent(folder, address="http://127.0.0.1:9")
    assert_one_line(study("logs", "mine"), "token: the token cannot be read: No such file")


def test_a_cluster_where_nobody_answers_is_named(study: Command, folder: Path) -> None:
    (folder / "token").write_text("secret")
    sent(folder, address="http://127.0.0.1:9")
    for command in ("logs", "stop"):
        assert_one_line(study(command, "mine"), "http://127.0.0.1:9: nobody answers")


@pytest.fixture
def somebody() -> Iterator[tuple[str, list[int]]]:
    """A server on this machine: its address, and the status it answers with."""
    status = [200]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *words: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", status
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, ("refuses our token", "take the cluster's own")),
        (403, ("refuses our token",)),
        (200, ("not Ray's Jobs API",)),
        (502, ("not Ray's Jobs API",)),
    ],
)
def test_whoever_else_answers_is_told_from_ray(
    status: int, words: tuple[str, ...], somebody: tuple[str, list[int]], study: Command, folder: Path
) -> None:
    address, answer = somebody
    answer[0] = status
    (folder / "token").write_text("secret")
    sent(folder, address=address)
    said = study("logs", "mine")
    assert_one_line(said, address, *words)
    assert "secret" not in said.err


# -- what is remembered --------------------------------------------------------------------------------


def test_what_was_submitted_is_remembered_without_any_secret(folder: Path) -> None:
    (folder / "token").write_text("secret")
    submission = sent(folder, address="http://far:8265", tracking_uri="http://mlflow:5000")
    assert remembered(folder / "runs") == [submission]
    (file,) = (folder / "runs" / "submitted").iterdir()
    text = file.read_text(encoding="utf-8")
    assert str(folder / "token") in text
    assert "secret" not in text.replace(str(folder), "")


def test_a_submission_stands_beside_the_records(study: Command, folder: Path) -> None:
    sent(folder, address="http://127.0.0.1:9")
    said = study("status")
    assert said.code == 0
    assert said.out.startswith(f"mine@{DIGEST}")
    assert "at far.toml: unknown" in said.out
    (entry,) = json.loads(study("status", "--json").out)
    assert (entry["state"], entry["submission"]["id"]) == ("elsewhere", ID)


def test_a_damaged_note_hides_neither_records_nor_submissions(study: Command, folder: Path) -> None:
    sent(folder, address="http://127.0.0.1:9")
    (folder / "runs" / "submitted" / "study-other-000000000000.json").write_text("{")
    said = study("status")
    assert said.code == 0
    assert f"mine@{DIGEST}" in said.out
    assert "study-other-000000000000.json: is damaged" in said.err
    assert "at far.toml: unknown" in study("status", "mine").out


def test_a_submission_that_has_ended_is_not_asked_after_again(study: Command, folder: Path) -> None:
    sent(folder)
    (file,) = (folder / "runs" / "submitted").iterdir()
    file.write_text(file.read_text().replace('"ended": ""', '"ended": "finished"'))
    said = study("status", "mine")
    assert (said.code, said.err) == (0, "")
    assert "at far.toml: finished" in said.out


def test_a_damaged_memory_is_refused_in_one_line(study: Command, folder: Path) -> None:
    sent(folder)
    (file,) = (folder / "runs" / "submitted").iterdir()
    for text in ("{", "[]", '{"study": 1}'):
        file.write_text(text)
        assert_one_line(study("logs", "mine"), f"{ID}.json: is damaged", "--to")


def test_the_store_of_a_study_that_is_out_of_sight_is_asked_for(study: Command, folder: Path) -> None:
    sent(folder)
    assert_one_line(study("fetch", "mine"), "/far/runs/mlflow.db on the cluster", "--tracking-uri")


def test_records_and_submissions_do_not_get_in_each_other_s_way(study: Command, folder: Path) -> None:
    sent(folder)
    assert json.loads(study("clean", "--json").out)["entries"] == []
    assert_one_line(study("report", "mine"), "holds no record of 'mine'")
