"""Peers that run on Ray Tune, one after the other in one process: they share its Ray.

python -m tests.benchmarks.speed.peers.on_one_ray NAME WORKLOAD.json RESULT.json [NAME ...]
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
    words = iter(sys.argv[1:])
    for name, source, target in zip(words, words, words, strict=True):
        run(NAMED[name], Path(source), Path(target))
