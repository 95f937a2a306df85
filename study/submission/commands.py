"""The clusters' own commands (kubectl, sbatch), and what they print."""

from __future__ import annotations

import subprocess

from study.errors import StudyError, one_line, shorten

COMMAND_S = 60.0


def run(*command: str, way_out: str, given: str | None = None) -> str:
    """What the command prints, ``given`` on its standard input. StudyError, in its words, where it fails, and
    with ``way_out`` where it is not there."""
    name = command[0]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except FileNotFoundError as error:
        raise absent(name, way_out) from error
    except subprocess.TimeoutExpired as error:
        raise StudyError(f"{name} does not answer within {COMMAND_S:.0f} s") from error
    if done.returncode:
        raise StudyError(f"{name}: {shorten(one_line(done.stderr or done.stdout), 300)}")
    return done.stdout


def absent(name: str, way_out: str) -> StudyError:
    return StudyError(f"there is no {name} here; {way_out}")
