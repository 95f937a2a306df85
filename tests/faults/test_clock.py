"""The clock jumps an hour ahead and back, and no number, duration or trial is the worse for it.

Case 19 of the faults.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import study
from study.audit import audit
from study.components.datasets import load_dataset
from study.record import StudyRecord
from tests.faults.toy import TRAINED, a_study, numbers, run_trained

pytestmark = pytest.mark.faults

ROOT = Path(__file__).resolve().parents[2]

# Laid over the C library: about every other look at the wall clock finds it an hour ahead. The looks are
# spread by the golden ratio, so whoever looks at every second or third of them sees it jump as well.
JUMPING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  static _Atomic unsigned looks;
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int answer = real(clock, at);
  if (clock == CLOCK_REALTIME && looks++ * 2654435769u >> 31) at->tv_sec += 3600;
  return answer;
}
"""

DRIVER = """
import sys
from pathlib import Path
from study.components.datasets import load_dataset
from tests.faults.toy import TRAINED, a_study, run_trained
run_trained(Path(sys.argv[1]), a_study(TRAINED), load_dataset("digits", None))
"""


def test_a_study_under_a_jumping_clock_is_the_same_study(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, to lay a clock over the C library's")
    library = tmp_path / "jumping.so"
    build = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-ldl"]
    subprocess.run(build, input=JUMPING, text=True, check=True)
    subprocess.run(
        [sys.executable, "-W", "error", "-c", DRIVER, str(tmp_path / "jumping")],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=240,
    )
    record = StudyRecord.latest(tmp_path / "jumping", "toy")
    stamps = [event["time"] for event in record.events()]
    assert stamps != sorted(stamps), "the clock has jumped"
    assert audit(record) == []
    steady = run_trained(tmp_path / "steady", a_study(TRAINED), load_dataset("digits", None))
    assert numbers(record) == numbers(steady)
    for result in record.results().values():
        seconds = [0.0, *(float(row["seconds"] or -1) for row in result.curve), result.seconds]
        assert seconds == sorted(seconds)
        assert result.seconds < 600


def test_the_wall_clock_stamps_and_never_measures() -> None:
    """``time.time()`` is never added to, subtracted from or compared: that is for the monotonic clock."""
    measured = []
    for path in Path(study.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.BinOp | ast.Compare):
                measured += [path.name for part in ast.walk(node) if is_wall_clock(part)]
    assert measured == []


def is_wall_clock(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func) in ("time.time", "datetime.now", "datetime.utcnow", "date.today")
    )
