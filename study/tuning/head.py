"""A Ray of our own on this machine, in a process of its own: it starts while the driver reads its data, and
stops while the driver writes its report.

It lives as long as the pipe to it, so it ends with the driver however that ends.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import psutil

from study.errors import StudyError, one_line
from study.processes import family

# How often it is started before the study gives up: Ray gives its own processes a time to answer that a
# machine at its limit does not always keep.
STARTS = 2

# What Node starts that nobody asks anything of here, and that takes a second of a processor. Everything else
# waits for the first until it answers. Ray has no setting for them; where a later one names them otherwise,
# they run.
UNUSED = ("start_api_server", "start_monitor")
# Only needed where the driver shows what trials print.
LOGS = "start_log_monitor"

# Ray's processes are told to end, and killed after 5 s or so; a machine at its limit takes longer.
STOPPED_WITHIN_S = 60.0


class Head:
    """Starts at once.

        with Head(settings) as head:
            ...                            # whatever takes time
            ray.init(head.address())
            ...
            ray.shutdown()
            head.stop()                    # does not wait; leaving the block does

    A block that is left without ``stop`` kills it.
    """

    def __init__(self, settings: Mapping[str, str], logs: bool = False) -> None:
        """``settings``: environment variables for Ray and its processes. The user's own come first, as in the
        driver. ``logs``: whether drivers can have what trials print."""
        self._environment = {**settings, **os.environ}
        self._words = ["logs"] if logs else []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- open as long as the process lives
        self._process, self._left = self._started(), STARTS - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if not self._stopping:
            self.cancel()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.cancel()
        self._errors.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def address(self) -> str:
        """Where Ray is found, once it is there. Raises StudyError where it cannot be started."""
        said = self._said()
        while "address" not in said and self._left:
            self._left -= 1
            self.cancel()
            self._process = self._started()
            said = self._said()
        if "address" not in said:
            raise StudyError(f"Ray on this machine: cannot be started: {said['error']}")
        return str(said["address"])

    def cancel(self) -> None:
        """It is not wanted after all: whoever is told of an error need not wait for Ray."""
        with suppress(psutil.NoSuchProcess):
            for process in family(psutil.Process(self.pid)):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.stop()
        self._process.wait()

    def stop(self) -> None:
        """It may end."""
        self._stopping = True
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _started(self) -> subprocess.Popen[str]:
        self._stopping = False
        return subprocess.Popen(
            # -P: what the current folder calls `study` is not ours. A session of its own: signals from a
            # terminal are for the driver.
            [sys.executable, "-P", "-m", "study.tuning.head", *self._words],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            text=True,
        )

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        telling = [line for line in lines if "Error" in line] or lines or ["its process ended without a word"]
        return {"error": one_line(telling[-1])[:200]}


def main() -> None:
    """Start Ray, say where, and stop it when nobody holds the other end of standard input any more."""
    import ray
    from ray._private.node import Node

    for name in (*UNUSED, *([] if "logs" in sys.argv else [LOGS])):
        setattr(Node, name, lambda *_, **__: None)
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.FATAL,
            configure_logging=False,
        )
    except Exception as error:  # noqa: BLE001 -- told to the driver
        _say(error=one_line(str(error))[:200])
        sys.exit(1)
    _say(address=ray.get_runtime_context().gcs_address)
    sys.stdin.read()
    ray.shutdown()


def _say(**what: str) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
