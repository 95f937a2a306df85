"""What kubectl is asked, and what is made of its answers; a script plays kubectl."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from study.errors import StudyError
from study.submission import kuberay, sending
from tests.submission.orders import DIGEST, an_order, kuberay_target, programs

ID = f"study-mine-{DIGEST}"
KUBECTL = """
echo "$@" >> "$PLAY/asked"
case "$*" in
*apply*) cat > "$PLAY/applied";;
*create*) cat > "$PLAY/created"; if [ -e "$PLAY/taken" ]; then echo 'Error: (AlreadyExists)' >&2; exit 1; fi;;
*"get rayjobs"*) cat "$PLAY/rayjobs";;
*logs*) printf 'one\\ntwo\\n';;
*patch*) ;;
*) exit 9;;
esac
"""


def a_rayjob(job_id: str = ID, deployment: str = "Running", job: str = "RUNNING", at: int = 0) -> Any:
    return {
        "metadata": {
            "annotations": {"study/submission": job_id},
            "creationTimestamp": f"2026-11-26T00:00:{at:02}Z",
        },
        "status": {"jobDeploymentStatus": deployment, "jobStatus": job, "message": "as\nit is"},
    }


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the played kubectl keeps what it is told; ``rayjobs`` is what it lists."""
    monkeypatch.setenv("PLAY", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs(tmp_path / 'bin', {'kubectl': KUBECTL})}:{os.environ['PATH']}")
    know(tmp_path)
    return tmp_path


def know(play: Path, *rayjobs: Any) -> None:
    (play / "rayjobs").write_text(json.dumps({"items": rayjobs}))


def test_a_study_is_sent_once_while_it_runs_and_again_when_it_has_ended(play: Path) -> None:
    target, order = kuberay_target(), an_order()
    assert sending.submit(order, target) == sending.Sent(ID, joined=False)
    kinds = [yaml.safe_load((play / each).read_text())["kind"] for each in ("applied", "created")]
    assert kinds == ["ConfigMap", "RayJob"]
    know(play, a_rayjob(), a_rayjob("study-other-000000000000"))
    assert sending.submit(order, target) == sending.Sent(ID, joined=True)
    know(play, a_rayjob(deployment="Complete", job="SUCCEEDED"))
    assert sending.submit(order, target) == sending.Sent(f"{ID}-2", joined=False)


def test_one_that_runs_for_somebody_else_is_not_joined_unawares(play: Path) -> None:
    """Two people send the same study, and want its record in folders of their own."""
    target = kuberay_target()
    sending.submit(an_order(out="/home/ann/runs"), target)
    created = yaml.safe_load((play / "created").read_text())
    running = a_rayjob()
    running["metadata"]["annotations"] = created["metadata"]["annotations"]
    know(play, running)
    assert sending.submit(an_order(out="/home/ann/runs"), target).joined
    with pytest.raises(StudyError, match="with its record in /home/ann/runs, not in /home/bob/runs; share"):
        sending.submit(an_order(out="/home/bob/runs"), target)


def test_one_that_somebody_sent_a_moment_before_is_joined(play: Path) -> None:
    (play / "taken").touch()
    assert sending.submit(an_order(), kuberay_target()) == sending.Sent(ID, joined=True)


@pytest.mark.parametrize(
    ("deployment", "job", "state"),
    [
        ("", "", "waiting"),
        ("Initializing", "", "waiting"),
        ("Running", "PENDING", "waiting"),
        ("Running", "RUNNING", "running"),
        ("Complete", "SUCCEEDED", "finished"),
        ("Complete", "STOPPED", "stopped"),
        ("Failed", "FAILED", "failed"),
        ("Failed", "RUNNING", "failed"),
        ("Retrying", "FAILED", "waiting"),
        ("Suspended", "RUNNING", "stopped"),
        ("ValidationFailed", "", "failed"),
    ],
)
def test_two_states_are_one(deployment: str, job: str, state: str, play: Path) -> None:
    know(play, a_rayjob(deployment=deployment, job=job))
    found = sending.the_job(kuberay_target(), "mine", "")
    assert (found.state, found.says) == (state, "as it is")


def test_of_several_the_newest_is_meant(play: Path) -> None:
    know(play, a_rayjob(f"{ID}-2", at=9), a_rayjob(at=3))
    assert sending.the_job(kuberay_target(), "mine", DIGEST).id == f"{ID}-2"


def test_the_namespace_and_the_context_are_said_each_time(play: Path) -> None:
    target = kuberay_target(namespace="research", context="prod")
    sending.newest_job(target, "mine", "")
    kuberay.stop(target, ID)
    asked = (play / "asked").read_text().splitlines()
    assert all(line.startswith("--context prod --namespace research ") for line in asked)
    assert asked[-1].endswith(f'patch rayjob {ID} --type merge --patch {{"spec":{{"suspend":true}}}}')


def test_the_log_is_the_submitter_s(play: Path) -> None:
    assert "".join(kuberay.logs(kuberay_target(), ID, follow=True)) == "one\ntwo\n"
    assert (play / "asked").read_text().strip().endswith(f"logs job/{ID} --follow")


def test_what_kubectl_complains_of_is_said_in_one_line(play: Path) -> None:
    programs(play / "bin", {"kubectl": "printf 'error: no\\nsuch thing' >&2; exit 1"})
    with pytest.raises(StudyError, match="kubectl: 'error: no such thing'"):
        sending.newest_job(kuberay_target(), "mine", "")


def test_without_kubectl_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="there is no kubectl here"):
        sending.submit(an_order(), kuberay_target())
    with pytest.raises(StudyError, match="there is no kubectl here"):
        list(kuberay.logs(kuberay_target(), ID, follow=False))


def test_a_log_that_kubectl_does_not_give_is_an_error(play: Path) -> None:
    programs(play / "bin", {"kubectl": "echo one; echo 'pod not ready' >&2; exit 1"})
    said: list[str] = []
    with pytest.raises(StudyError, match="kubectl logs ended with 1"):
        said.extend(kuberay.logs(kuberay_target(), ID, follow=False))
