"""compose.yaml and the systemd unit: what their tools allow, nothing open that need not be, and the same
program on the same settings as `study service` runs."""

from __future__ import annotations

import re
import shlex
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

import study
from study.service import postgres, server
from study.service.wanted import PORT, Wanted
from study.submission.target import bundled_folder
from study.tracking.server import READY_WITHIN_S, SERVER_SETTINGS
from tests.submission.orders import tool

COMPOSE = (bundled_folder() / "compose.yaml").read_text(encoding="utf-8")
UNIT = (bundled_folder() / "systemd" / "study-mlflow.service").read_text(encoding="utf-8")
DOCKERFILE = (bundled_folder() / "Dockerfile").read_text(encoding="utf-8")
HEALTH = f"http://127.0.0.1:{PORT}/health"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml, as the specification's own reader has them."""
    compose = PyCompose.from_yaml(COMPOSE)
    compose.validate()
    found: dict[str, Any] = compose.to_dict()["services"]
    return found


@pytest.fixture(scope="module")
def script(services: dict[str, Any]) -> str:
    """What MLflow's container runs; in the file, $$ is a dollar."""
    program, options, text = services["mlflow"]["command"]
    assert (program, options) == ("bash", "-euc")
    return str(text).replace("$$", "$")


def words_of_the_server(host: str, artifacts: str) -> list[str]:
    """What `study service up --basic-auth` gives to MLflow."""
    command = server.command(Wanted(host=host, basic_auth=True), artifacts)
    return command[command.index("mlflow") :]


def settings(unit: str) -> dict[str, list[str]]:
    """The unit's lines by their keys."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def environment(unit: str) -> dict[str, str]:
    words = [word for line in settings(unit)["Environment"] for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def test_what_the_specification_does_not_know_is_refused() -> None:
    """So that the check above is one."""
    for text in (COMPOSE.replace("restart:", "restarts:"), COMPOSE.replace("  flask_key: {", "  other: {")):
        with pytest.raises(ValueError, match=r"restarts|flask_key"):
            PyCompose.from_yaml(text).validate()


def test_the_container_runs_what_service_up_runs(script: str) -> None:
    (line,) = (line for line in script.splitlines() if line.startswith("exec "))
    assert shlex.split(line)[1:] == words_of_the_server("0.0.0.0", "/srv/artifacts")


def test_the_unit_runs_what_service_up_runs() -> None:
    program, *words = shlex.split(settings(UNIT)["ExecStart"][0])
    assert [Path(program).name, *words] == words_of_the_server("127.0.0.1", "/var/lib/study/artifacts")


@pytest.mark.parametrize("where", ["compose", "systemd"])
def test_the_server_s_settings_are_the_same(where: str, services: dict[str, Any]) -> None:
    found = environment(UNIT) if where == "systemd" else services["mlflow"]["environment"]
    ours = SERVER_SETTINGS | {"MLFLOW_DISABLE_TELEMETRY": "true", "PGUSER": postgres.ROLE}
    assert ours.items() <= found.items()
    assert found["MLFLOW_BACKEND_STORE_URI"] == f"postgresql:///{postgres.DATABASE}"


def test_users_are_kept_where_the_runs_are() -> None:
    settings = ConfigParser(interpolation=None)
    settings.read(bundled_folder() / "basic-auth.ini")
    assert settings["mlflow"]["database_uri"] == f"postgresql:///{postgres.DATABASE}"
    assert settings["mlflow"]["admin_username"] == server.ADMIN


def test_postgresql_has_the_same_settings(services: dict[str, Any]) -> None:
    words = services["postgres"]["command"]
    given = dict(word.split("=", 1) for word in words[2::2])
    assert words[0] == "postgres"
    assert given == postgres.SETTINGS
    assert services["postgres"]["environment"]["POSTGRES_USER"] == postgres.ROLE
    assert services["postgres"]["environment"]["POSTGRES_DB"] == postgres.DATABASE


@pytest.mark.parametrize("name", ["postgres", "mlflow"])
def test_a_container_is_watched_restarted_and_may_do_no_more_than_it_must(
    name: str, services: dict[str, Any]
) -> None:
    service = services[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root")


def test_only_mlflow_is_reached_and_from_this_machine_alone(services: dict[str, Any]) -> None:
    assert "ports" not in services["postgres"]
    assert yaml.safe_load(COMPOSE)["services"]["mlflow"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert yaml.safe_load(COMPOSE)["networks"]["inside"] == {"internal": True}
    assert yaml.safe_load(COMPOSE)["services"]["postgres"]["networks"] == ["inside"]


def test_both_are_up_once_mlflow_is_well(services: dict[str, Any]) -> None:
    assert services["mlflow"]["healthcheck"]["test"][-1] == HEALTH
    assert settings(UNIT)["ExecStartPost"][0].split()[-1] == HEALTH
    assert settings(UNIT)["TimeoutStartSec"] == [f"{READY_WITHIN_S:g}"]
    assert (
        yaml.safe_load(COMPOSE)["services"]["mlflow"]["healthcheck"]["start_period"] == f"{READY_WITHIN_S:g}s"
    )


def test_secrets_are_read_from_files_that_their_container_alone_reads(
    services: dict[str, Any], script: str
) -> None:
    named = set(re.findall(r"/run/secrets/(\w+)", script))
    named |= set(
        re.findall(r"/run/secrets/(\w+)", services["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"])
    )
    assert named == set(yaml.safe_load(COMPOSE)["secrets"])
    for service in services.values():
        for secret in service["secrets"]:
            assert secret["mode"] == 0o400
            assert secret["uid"] == service["user"].split(":")[0]
        for key in service["environment"]:
            assert not re.search(r"PASSWORD$|SECRET|KEY$", key)


def test_the_file_of_passwords_that_the_head_makes_is_the_one_that_is_read() -> None:
    for text, prefix, wanted in (
        (COMPOSE, "STUDY_", [each["environment"] for each in yaml.safe_load(COMPOSE)["secrets"].values()]),
        (UNIT, "MLFLOW_", ["MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"]),
    ):
        (made,) = re.findall(r"for each in ([A-Z_ ]+); do", text)
        assert sorted(prefix + each for each in made.split()) == sorted(wanted)
        assert "umask 077" in text


def test_the_image_has_what_its_container_asks(services: dict[str, Any]) -> None:
    service = services["mlflow"]
    assert service["image"] == f"study:{study.__version__}"
    assert f"\nUSER {service['user'].split(':')[0]}\n" in DOCKERFILE
    assert "'.[service]'" in DOCKERFILE
    assert "--owner=study --group=study /srv/artifacts" in DOCKERFILE
    assert "WORKDIR /opt/study\n" in DOCKERFILE
    assert "COPY cluster ./cluster" in DOCKERFILE
    assert service["environment"]["MLFLOW_AUTH_CONFIG_PATH"] == "/opt/study/cluster/basic-auth.ini"
    assert "wget" in DOCKERFILE


def test_shellcheck_has_nothing_to_say(script: str) -> None:
    lines = [line.removeprefix("#").strip() for line in COMPOSE.splitlines() if line.startswith("#   ")]
    for text in (script, "\n".join(lines)):
        command = [tool("shellcheck"), "--shell=bash", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")


def test_systemd_has_nothing_to_say_of_the_unit(tmp_path: Path) -> None:
    """With programs and a PostgreSQL that are there, for systemd looks."""
    text = UNIT
    for program in re.findall(r"^Exec\w+=(\S+)", UNIT, re.MULTILINE):
        text = text.replace(program, "/bin/true")
    (tmp_path / "study-mlflow.service").write_text(text)
    (tmp_path / "postgresql.service").write_text("[Service]\nExecStart=/bin/true\n")
    unit = str(tmp_path / "study-mlflow.service")
    for words in (["verify", unit], ["security", "--offline=true", "--threshold=20", unit]):
        done = subprocess.run([tool("systemd-analyze"), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert words[0] == "security" or done.stderr == ""
