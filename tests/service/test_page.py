"""The page on the service, from its first command to its last, as a reader follows it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.processes import free_port
from study.service import operations
from study.service.state import found
from tests.docs.snippets import ROOT, blocks

PAGE = ROOT / "docs" / "howto" / "service.md"


@pytest.fixture
def home(place: Path) -> Iterator[Path]:
    """A home of the reader's own, in which nothing is left running."""
    (place / "home").mkdir(mode=0o755)
    yield place / "home"
    folder = place / "home" / ".local" / "share" / "study" / "service"
    if found(folder) is not None:
        operations.down(folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("ray")
def test_the_page_runs_from_its_first_command_to_its_last(home: Path) -> None:
    """With another port than the page's, which somebody may use here, and a smaller study."""
    port, own = free_port(), {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    own |= {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
    }
    lines = []
    for block in blocks(PAGE):
        text = block.text.replace(":5000", f":{port}").replace("up --basic", f"up --port {port} --basic")
        text = text.replace(
            "--profile demo", "--profile demo --set search.trials_per_arm=1 --set search.replicates=2"
        )
        if block.language == "python":
            text = f"{sys.executable} - <<'END'\n{text}END\n"
        lines += [text] if block.language in ("sh", "python") else []
    script = ["bash", "-euo", "pipefail", "-c", "\n".join(lines)]
    done = subprocess.run(
        script, cwd=home, env=own, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"http://127.0.0.1:{port} has ended" in done.stdout
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
