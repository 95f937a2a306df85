"""Peers that run on Ray Tune, one after the other in one process: they share its Ray.

python -m tests.benchmarks.speed.peers.on_one_ray NAME,NAME WORKLOAD.json RESULT.json ...
"""

from __future__ import annotations

import sys
from pathlib import Path

import ray

from tests.benchmarks.speed.peers.reused import reused
from tests.benchmarks.speed.peers.tutorial import tutorial
from tests.benchmarks.speed.peers.workload import run

NAMED = {"tutorial": tutorial, "reused": reused}

if __name__ == "__main__":
    ray.init()  # as the first of them would, so that it counts for none alone
    names, *files = sys.argv[1:]
    for name, source, target in zip(names.split(","), files[::2], files[1::2], strict=True):
        run(NAMED[name], Path(source), Path(target))
