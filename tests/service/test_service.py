"""The service itself: MLflow's server on a real PostgreSQL, behind passwords, as users start and use it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

import study
from study.errors import TrackingError
from study.face import Record
from study.processes import HOST, family, free_port, listening
from study.service import operations, postgres, server
from study.service.state import Service, found
from study.tracking import check, differences, fetch
from study.tracking.addresses import server_version

pytestmark = [pytest.mark.xdist_group("mlflow"), pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
STUDY_FILE = """
question = "Which activation trains a small network best on handwritten digits?"
[objective]
metric = "val_accuracy"
direction = "maximize"
[scientific]
activation.name = ["relu", "elu"]
[nuisance]
optimizer.lr = { low = 1e-2, high = 1e-1, log = true }
[fixed]
dataset = { name = "digits", train_size = 100, validation_size = 100 }
model = { name = "mlp" }
optimizer = { name = "sgd", momentum = 0.9 }
training = { epochs = 2, batch_size = 20, evaluation_size = 50 }
[search]
trials_per_arm = 2
replicates = 2
"""

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def call(place: Path) -> Iterator[Call]:
    """Run `study` as a user does, with this folder's service and records."""
    (place / "mine.toml").write_text(STUDY_FILE, encoding="utf-8")

    def run(*words: str, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "study", *words],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(place), **settings},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    yield run
    if found(folder(place)) is not None:
        operations.down(folder(place))


def folder(place: Path) -> Path:
    return place / "study" / "service"


@pytest.fixture(scope="module")
def started(call: Call, place: Path) -> dict[str, Any]:
    """What `study service up` says of a service that asks for passwords."""
    words = ("--basic-auth", "--port", "0", "--allowed-hosts", "mlflow.example")
    told: dict[str, Any] = json.loads(call("service", "up", *words, "--json").stdout)
    return told


@pytest.fixture
def service(started: dict[str, Any], place: Path) -> Service:
    return operations.running(folder(place))


@pytest.fixture
def logged_in(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that the file of passwords gives to a client."""
    for name, value in zip((server.NAME, server.PASSWORD), server.login(service.folder), strict=True):
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def ran(started: dict[str, Any], place: Path) -> Iterator[Record]:
    """A study that ran against the service, trial by trial in this process."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in zip((server.NAME, server.PASSWORD), server.login(folder(place)), strict=True):
            environment.setenv(name, value)
        yield study.run(
            place / "mine.toml",
            out=place / "runs",
            tracking_uri=started["tracking_uri"],
            train=lambda config, data, report: study.train(config, data, report=report),
        )


def processes(service: Service) -> list[psutil.Process]:
    return [process for part in service.parts for process in family(part.process())]


def ask(service: Service, page: str, login: tuple[str, str] | None = None, **more: Any) -> requests.Response:
    return requests.request(
        more.pop("method", "GET"), f"{service.tracking_uri}{page}", auth=login, timeout=60, **more
    )


def search(service: Service, what: str, **wanted: Any) -> list[dict[str, Any]]:
    page, login = f"/api/2.0/mlflow/{what}/search", server.login(service.folder)
    answer = ask(service, page, login, method="POST", json={"max_results": 1000, **wanted})
    found: list[dict[str, Any]] = answer.json().get(what, [])
    return found


def phase(run: dict[str, Any]) -> str:
    return next((str(tag["value"]) for tag in run["data"]["tags"] if tag["key"] == "phase"), "")


def test_what_up_says_is_enough_to_use_it(started: dict[str, Any], service: Service) -> None:
    assert started["tracking_uri"] == service.tracking_uri
    assert started["database"].startswith("postgresql://study@127.0.0.1:")
    assert Path(started["secrets"]) == service.secrets
    assert [part["name"] for part in started["parts"]] == ["PostgreSQL", "MLflow"]
    assert started["joined"] is False


def test_status_says_that_it_answers(call: Call, started: dict[str, Any]) -> None:
    assert json.loads(call("service", "status", "--json").stdout)["answers"] is True
    assert started["tracking_uri"] in call("service", "status").stdout


def test_nobody_else_s_machine_reaches_it(service: Service) -> None:
    found = {place for process in processes(service) for place in listening(process)}
    assert {address for address, _ in found} == {"127.0.0.1"}
    assert len(found) == 2


def test_its_secrets_are_in_their_files_alone(call: Call, service: Service) -> None:
    own = {
        path: path.read_text()
        for path in map(service.folder.joinpath, ("secrets.env", "flask-key", "pgpass"))
    }
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in own)
    secrets = [server.login(service.folder)[1], own[service.folder / "flask-key"]]
    secrets.append(own[service.folder / "pgpass"].strip().rpartition(":")[2])
    told = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    told += [path.read_text() for path in (*service.folder.glob("*.log*"), service.folder / "service.json")]
    told += [call("service", "status", "--json").stdout, call("service", "status").stdout]
    assert len(told) > 10
    assert not any(secret in text for secret in secrets for text in told)


@pytest.mark.parametrize("login", [None, ("admin", "wrong"), ("nobody", "wrong")], ids=str)
def test_who_has_no_password_is_refused(login: tuple[str, str] | None, service: Service) -> None:
    assert ask(service, "/health").ok
    experiments = {"max_results": 1}
    page = "/api/2.0/mlflow/experiments/search"
    assert ask(service, page, login, method="POST", json=experiments).status_code == 401
    for page in ("/version", "/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/3.0/mlflow/assistant/config"):
        assert ask(service, page, login).status_code == 401


def test_a_study_with_a_wrong_password_does_not_begin(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.NAME, "admin")
    monkeypatch.setenv(server.PASSWORD, "wrong")
    with pytest.raises(TrackingError, match=r"refuses us \(401\); set MLFLOW_TRACKING_USERNAME"):
        check(service.tracking_uri)


@pytest.mark.parametrize(
    ("host", "code"), [("evil.example", 403), ("mlflow.example", 200), ("mlflow.example:8443", 200)]
)
def test_it_is_called_by_the_names_that_it_was_given_alone(host: str, code: int, service: Service) -> None:
    page, login = "/api/2.0/mlflow/experiments/search", server.login(service.folder)
    headers, wanted = {"Host": host}, {"max_results": 1}
    assert ask(service, page, login, method="POST", json=wanted, headers=headers).status_code == code


def test_another_site_s_page_may_not_write(service: Service) -> None:
    page, login = "/api/2.0/mlflow/experiments/create", server.login(service.folder)
    for origin in ("https://evil.example", "https://mlflow.example.evil.example"):
        headers = {"Origin": origin}
        answer = ask(service, page, login, method="POST", json={"name": "planted"}, headers=headers)
        assert answer.status_code == 403
    assert "planted" not in [each["name"] for each in search(service, "experiments")]


def test_its_version_is_asked_with_our_password(service: Service, logged_in: None) -> None:
    assert server_version(service.tracking_uri) == version("mlflow")


def test_a_study_s_runs_metrics_and_artifacts_are_there(
    ran: Record, service: Service, logged_in: None
) -> None:
    (experiment,) = (each for each in search(service, "experiments") if each["name"] == "mine")
    runs = search(service, "runs", experiment_ids=[experiment["experiment_id"]])
    of_trials = [run for run in runs if phase(run) in ("tune", "confirm")]
    assert len(of_trials) == len(ran.results()) == 8
    scores = {
        metric["value"]
        for run in of_trials
        for metric in run["data"]["metrics"]
        if metric["key"] == "test_accuracy"
    }
    ours = {
        result.metrics["test_accuracy"]
        for result in ran.results().values()
        if result.config.phase == "confirm"
    }
    assert scores == ours
    assert differences(ran.stored, service.tracking_uri) == []


def test_its_artifacts_pass_through_the_server(ran: Record, service: Service) -> None:
    (study_run,) = (
        run["info"]["run_id"]
        for experiment in search(service, "experiments")
        for run in search(service, "runs", experiment_ids=[experiment["experiment_id"]])
        if phase(run) == "study"
    )
    wanted = {"run_uuid": study_run, "path": "record/study.toml"}
    answer = ask(service, "/get-artifact", server.login(service.folder), params=wanted)
    assert answer.text == (ran.folder / "study.toml").read_text()
    assert list(service.folder.joinpath("artifacts").rglob("study.toml"))


def test_the_record_comes_back_byte_for_byte(
    ran: Record, service: Service, logged_in: None, tmp_path: Path
) -> None:
    back = fetch("mine", service.tracking_uri, tmp_path).record
    assert back.journal.read_bytes() == ran.stored.journal.read_bytes()


def test_who_has_a_login_adds_to_a_study_and_does_not_delete_it(ran: Record, service: Service) -> None:
    admin, ann = server.login(service.folder), ("ann", "a long enough password")
    user = {"username": ann[0], "password": ann[1]}
    assert ask(service, "/api/2.0/mlflow/users/create", admin, method="POST", json=user).ok
    (experiment,) = (each for each in search(service, "experiments") if each["name"] == "mine")
    wanted = {"experiment_id": experiment["experiment_id"]}

    def post(what: str) -> int:
        return ask(service, f"/api/2.0/mlflow/{what}", ann, method="POST", json=wanted).status_code

    assert post("experiments/delete") == 403
    assert post("runs/create") == 200


def test_a_second_up_joins_and_one_with_other_settings_is_refused(
    call: Call, started: dict[str, Any]
) -> None:
    again = json.loads(call("service", "up", "--json").stdout)
    assert again == {**started, "joined": True}
    assert "other settings (--workers)" in call("service", "up", "--workers", "2", code=2).stderr


@pytest.mark.slow
def test_a_study_over_ray_writes_there_too(call: Call, service: Service) -> None:
    login = dict(zip((server.NAME, server.PASSWORD), server.login(service.folder), strict=True))
    words = ("./mine.toml", "--out", "over-ray", "--tracking-uri", service.tracking_uri)
    call("run", *words, "--set", "search.seed=5", **login)
    call("audit", "mine", "--out", "over-ray", "--tracking-uri", service.tracking_uri, **login)


@pytest.mark.slow
def test_what_was_killed_is_started_again_with_all_that_it_had(
    call: Call, service: Service, ran: Record, logged_in: None
) -> None:
    """By SIGKILL, as when memory runs out, the first process of each; of the server another one is left."""
    port = service.tracking_uri.rpartition(":")[2]
    for part in service.parts:
        psutil.Process(part.pid).kill()
    assert "has lost its" in call("service", "status", code=2).stderr
    call("service", "up", "--port", port, "--allowed-hosts", "mlflow.example")
    again = operations.running(service.folder)
    assert again.parts != service.parts
    assert ask(again, "/version").status_code == 401, "it goes on asking for passwords"
    assert (service.folder / "mlflow.log.1").is_file()
    assert differences(ran.stored, again.tracking_uri) == []


@pytest.mark.slow
def test_down_ends_all_of_it_and_keeps_the_data(call: Call, place: Path, started: dict[str, Any]) -> None:
    service = operations.running(folder(place))
    family = processes(service)
    assert len(family) > 4
    assert "its data are in" in call("service", "down").stdout
    assert not any(process.is_running() for process in family)
    assert "no service" in call("service", "status", code=2).stderr
    assert {"postgres", "artifacts", "secrets.env"} <= {path.name for path in service.folder.iterdir()}


@pytest.fixture
def elsewhere(place: Path) -> Iterator[dict[str, str]]:
    """A PostgreSQL that somebody else runs: what its clients have in their environment."""
    home, port = place / "elsewhere", free_port()
    home.mkdir(mode=0o711)
    with postgres.start(home, port) as process:
        postgres.wait(process, home, port)
        yield {"PGHOST": HOST, "PGPORT": str(port), "PGUSER": postgres.ROLE, **postgres.access(home)}
        postgres.stop(psutil.Process(process.pid))


@pytest.mark.slow
def test_a_postgresql_that_runs_already_is_used_as_compose_and_systemd_name_it(
    call: Call, place: Path, elsewhere: dict[str, str]
) -> None:
    """And who comes later with another administrator's password is told so, and leaves nothing running."""
    words = ("service", "up", "--database", "postgresql:///mlflow", "--basic-auth", "--port", "0")
    try:
        told = json.loads(call(*words, "--folder", "first", "--json", **elsewhere).stdout)
        assert [part["name"] for part in told["parts"]] == ["MLflow"]
        assert operations.answers(operations.running(place / "first"))
    finally:
        operations.down(place / "first")
    later = call(*words, "--folder", "later", code=2, **elsewhere).stderr
    assert "an administrator with another password" in later
    assert found(place / "later") is None
