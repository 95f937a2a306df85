"""What a training step frees stays with its process: wherever trials run, and that it matters."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping

import pytest

from study.spec import Resources
from study.submission.target import bundled_folder
from study.tuning.nodes import MEMORY
from study.tuning.session import own_settings

# Trials in threads of their own, as Tune has it. Each step takes and frees memory as training does: many
# blocks, forwards and back. Prints how many pages the system had to give to the last three of them: by then a
# heap that is kept has room for most blocks, wherever they begin.
FAULTS = """
import resource, threading, torch
torch.set_num_threads(1)
def trial():
    for _ in range(10):
        kept = [torch.ones(size, dtype=torch.uint8) for size in (30 << 20, 8 << 20, 40 << 20, 1 << 20)]
        while kept:
            kept.pop()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def run():
    thread = threading.Thread(target=trial)
    thread.start()
    thread.join()
for _ in range(5):
    run()
before = faults()
run(), run(), run()
print(faults() - before)
"""


def faults(settings: Mapping[str, str]) -> int:
    others = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env={**others, **settings}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which does not read them")
def test_memory_that_a_step_frees_is_there_for_the_next() -> None:
    # Thirty steps of 79 MiB in pages of 4 KiB: 606,000 pages, if none is kept. Where blocks begin is chance:
    # 40 runs had 277,000 to 486,000 without, and 3 (most of them) to 69,000 with it.
    assert faults({}) > 150_000 > faults(MEMORY)


def test_trials_of_a_ray_of_our_own_have_these_settings() -> None:
    assert MEMORY.items() <= own_settings(Resources()).items()


@pytest.mark.parametrize(
    ("file", "times"),
    [
        ("Dockerfile", 1),
        ("slurm.sbatch", 1),
        ("ray/aws.yaml", 2),
        ("ray/gcp.yaml", 2),
        ("ray/on-premise.yaml", 2),
    ],
)
def test_so_have_those_of_other_clusters(file: str, times: int) -> None:
    text = (bundled_folder() / file).read_text(encoding="utf-8")
    assert text.count(" ".join(f"{key}={value}" for key, value in MEMORY.items())) == times
