"""Whoever reaches MLflow's server reads and writes nothing outside its artifacts, and no other site's page
speaks to it.

Case 28 of the faults.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from study.tracking.server import Server

pytestmark = pytest.mark.faults

API = "/api/2.0/mlflow"
SONG = "the canary sings"

Answer = tuple[int, bytes]
Ask = Callable[..., Answer]


@pytest.fixture
def ask(server: Server) -> Ask:
    """Send what no well-behaved client would: the path as it is, whatever headers."""

    def send(method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        headers = headers or {}
        content = b"" if body is None else json.dumps(body).encode()
        about = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
        place = server.address.removeprefix("http://")
        with closing(http.client.HTTPConnection(place, timeout=60)) as connection:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in {**about, **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(content)
            answer = connection.getresponse()
            return answer.status, answer.read()

    return send


@pytest.fixture(scope="module")
def canary(server_folder: Path) -> Path:
    """Beside the folder of the artifacts, as the database is."""
    path = server_folder / "canary.txt"
    path.write_text(SONG)
    return path


def told(answer: Answer) -> Any:
    status, content = answer
    assert status == 200, content
    return json.loads(content)


@pytest.fixture
def run_id(ask: Ask) -> str:
    return str(told(ask("POST", f"{API}/runs/create", {"experiment_id": "0"}))["run"]["info"]["run_id"])


# How a path may lead from an artifact of a run, or from the folder of all, to the canary.
WAYS_OUT = {
    "up": "../../../canary.txt",
    "up from all": "../canary.txt",
    "encoded": "..%2f..%2f..%2fcanary.txt",
    "encoded dots": "%2e%2e/%2e%2e/%2e%2e/canary.txt",
    "encoded twice": "..%252f..%252f..%252fcanary.txt",
    "absolute": "{canary}",
    "a file's address": "file://{canary}",
    "behind a NUL": "%00../canary.txt",
    "in between": "record/../../../../canary.txt",
}
PAGES = {
    "an artifact": ("GET", "/get-artifact?run_uuid={run}&path={way}"),
    "a list": ("GET", f"{API}/artifacts/list?run_id={{run}}&path={{way}}"),
    "a proxied artifact": ("GET", "/api/2.0/mlflow-artifacts/artifacts/{way}"),
    "a proxied list": ("GET", "/api/2.0/mlflow-artifacts/artifacts?path={way}"),
    "an upload": ("PUT", "/api/2.0/mlflow-artifacts/artifacts/{way}"),
    "a removal": ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/{way}"),
}


@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=list(WAYS_OUT))
@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_no_path_leads_out_of_the_artifacts(
    page: tuple[str, str], way: str, ask: Ask, run_id: str, canary: Path
) -> None:
    method, address = page
    before = sorted(canary.parent.iterdir())
    status, content = ask(method, address.format(run=run_id, way=way.format(canary=canary)), "planted")
    assert 300 <= status < 500  # a redirect leads to a path with fewer slashes, inside
    assert SONG.encode() not in content
    assert canary.read_text() == SONG
    assert sorted(canary.parent.iterdir()) == before


@pytest.mark.parametrize(
    "source", ["file://{folder}", "{folder}", "mlflow-artifacts:/../../{folder}", "http://x/.."]
)
def test_no_model_is_made_of_files_elsewhere(source: str, ask: Ask, canary: Path) -> None:
    ask("POST", f"{API}/registered-models/create", {"name": "planted"})
    wanted = {"name": "planted", "source": source.format(folder=canary.parent)}
    status, content = ask("POST", f"{API}/model-versions/create", wanted)
    assert status == 400, content


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example", "Origin": "https://evil.example"},
    ],
    ids=str,
)
def test_another_sites_page_writes_nothing(headers: dict[str, str], ask: Ask) -> None:
    assert ask("POST", f"{API}/experiments/create", {"name": "planted"}, headers)[0] == 403
    listed = told(ask("POST", f"{API}/experiments/search", {"max_results": 100}))
    assert "planted" not in [each["name"] for each in listed["experiments"]]
    if "Host" in headers:  # a name that was pointed here: it may not even read
        assert ask("GET", "/", headers=headers)[0] == 403
