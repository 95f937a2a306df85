"""Submission to Slurm: a folder on the shared disk with all that travels, and `sbatch` for its script."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
import time
from collections.abc import Iterator
from getpass import getuser
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from study.errors import StudyError, shorten
from study.record import write_whole
from study.submission.commands import run
from study.submission.order import LIVE, Job, Order, State, is_of
from study.submission.parcel import contents, pack
from study.submission.target import SlurmTarget, bundled_folder

LOOK_EVERY_S = 2.0

# Who is sending a study has written its folder, the script last, by then.
WRITING_S = 20.0


def render(order: Order, target: SlurmTarget, job_id: str) -> dict[str, str]:
    """The batch script, and the names of the files beside it."""
    place = folder(target, job_id)
    files = [*contents(order), "job.sbatch", "token (made anew, mode 0600)"]
    return {"job.sbatch": script(order, target, job_id), f"files in {place}": "\n".join(files)}


def script(order: Order, target: SlurmTarget, job_id: str) -> str:
    place = folder(target, job_id)
    environment = Environment(
        loader=FileSystemLoader(bundled_folder()),
        autoescape=False,  # noqa: S701 -- a shell's script, not a page; `sh` quotes for the shell
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"sh": shlex.quote, "header": header_path}
    command = shlex.join(order.command(target, str(place / order.file)))
    table = target.model_dump()
    return environment.get_template("slurm.sbatch").render(
        id=job_id, target=table, folder=str(place), command=command
    )


def header_path(path: str) -> str:
    """A path for an #SBATCH line, which knows no quotes, and where % begins a pattern."""
    if not re.fullmatch(r"[A-Za-z0-9/._+-]+", path):
        raise StudyError(f"out: Slurm wants a path of letters, digits and /._+-, not {shorten(path)}")
    return path


def folder(target: SlurmTarget, job_id: str) -> Path:
    return Path(target.out) / "submitted" / job_id


def send(order: Order, target: SlurmTarget, job_id: str) -> bool:
    """Write the folder and queue its script. False where somebody made the folder a moment before."""
    text, place = script(order, target, job_id), folder(target, job_id)
    if shutil.which("sbatch") is None:
        raise StudyError(
            "there is no sbatch here; submit from the cluster's login node, or look at it with --dry-run"
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700)
    except OSError as error:
        if place.is_dir():
            return _is_under_way(place)
        raise _unwritable(place, error) from error
    try:
        pack(order, place)
        (place / "token").touch(mode=0o600)
        (place / "token").write_text(secrets.token_hex(32))
        write_whole(place / "job.sbatch", text)
    except BaseException as error:  # Ctrl-C too: what is half there would look like a submission
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(place, error) from error
        raise
    try:
        _run("sbatch", "--parsable", str(place / "job.sbatch"))
    except StudyError:  # it was refused; after a Ctrl-C it may be queued, and needs its folder
        shutil.rmtree(place)
        raise
    return True


def _is_under_way(place: Path) -> Literal[False]:
    """What to say of a folder that is there already: that somebody else is sending the study. StudyError
    where that broke off without a chance to clean up."""
    deadline = time.monotonic() + WRITING_S
    while not (place / "job.sbatch").is_file():
        if time.monotonic() > deadline:
            raise StudyError(f"{place}: a submission broke off there; remove that folder, and submit again")
        time.sleep(0.1)
    return False


def _unwritable(place: Path, error: OSError) -> StudyError:
    return StudyError(
        f"{place}: cannot be written: {error.strerror}; submit where the cluster's shared disk is, or change "
        "out in the target"
    )


def jobs(target: SlurmTarget, name: str, digest: str) -> list[Job]:
    """The submissions of a study that have a folder on the shared disk."""
    places = (Path(target.out) / "submitted").glob("study-*/job.sbatch")
    return [_job(place.parent) for place in places if is_of(place.parent.name, name, digest)]


def reach(target: SlurmTarget) -> None:
    """StudyError where Slurm does not answer, or the folder of the records is not there."""
    _run("squeue", "--user", getuser(), "--noheader")
    if not Path(target.out).is_dir():
        raise StudyError(f"{target.out}: is no folder here; out in the target is where all nodes see records")


def logs(target: SlurmTarget, job_id: str, follow: bool) -> Iterator[str]:
    place = folder(target, job_id)
    log, read = place / "log.txt", 0
    while True:
        alive = _job(place).state in LIVE
        if log.is_file():
            with log.open("rb") as file:
                file.seek(read)
                piece = file.read()
            read += len(piece)
            yield piece.decode(errors="replace")
        if not follow or not alive:
            return
        time.sleep(LOOK_EVERY_S)


def stop(target: SlurmTarget, job_id: str) -> None:
    """Ask the study to stop and the script not to queue it again; a job that waits is cancelled."""
    place = folder(target, job_id)
    (place / "stopped").touch()
    ours = ("scancel", "--user", getuser(), "--name", job_id)
    _run(*ours, "--state", "PENDING")
    _run(*ours, "--batch", "--signal", "USR1")


def _job(place: Path) -> Job:
    """By the queue while it knows the job, else by the exit code that the script left."""
    at = (place / "job.sbatch").stat().st_mtime
    queued = _run(
        "squeue", "--user", getuser(), "--name", place.name, "--noheader", "--format", "%T %r"
    ).strip()
    if queued:
        word, _, why = queued.splitlines()[0].partition(" ")
        return Job(place.name, "waiting" if word in WAITING else "running", f"{word.lower()}: {why}", at)
    exit_file = place / "exit-code"
    code = exit_file.read_text().strip() if exit_file.is_file() else ""
    if not code:
        stopped = (place / "stopped").exists()
        return Job(place.name, "stopped" if stopped else "failed", "it ended without a word; see its log", at)
    return Job(place.name, ENDS.get(code, "failed"), f"exit code {code}", at)


def _run(*command: str) -> str:
    return run(*command, way_out="ask where Slurm is, on its login node")


WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "CONFIGURING", "SUSPENDED")
ENDS: dict[str, State] = {"0": "finished", "130": "stopped"}
