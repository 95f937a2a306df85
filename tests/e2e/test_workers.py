"""Workers stay warm: one process a slot, for as long as a study goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.speed.contestants import slots
from tests.benchmarks.speed.driven import Drive, NoWork, driven

pytestmark = pytest.mark.xdist_group("ray")


def test_a_slot_keeps_its_process_from_trial_to_trial_and_from_phase_to_phase(tmp_path: Path) -> None:
    """Between the phases, when all slots are free at once and nothing is asked for yet, too."""
    work = NoWork(epochs=2, pause_s=0.5)
    run = driven(tmp_path, Drive(2 * slots(), work, replicates=2 * slots()))
    assert len(run.seen) == 4 * slots()
    assert len({each["process"] for each in run.seen}) == slots()
