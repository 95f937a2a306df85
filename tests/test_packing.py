"""How many trials share a GPU, by a meter that answers from a table; and what a trial gets that ran out of
memory."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from study.packing import Load, Packing, Shares, pack, read_packings
from study.trial import TrialConfig

GIB = 2**30
TRIAL = TrialConfig("toy", "relu", "tune", 0, {}, 0, 0)


class Card:
    """A GPU of 16 GiB on which trials of ``peak_gib`` take ``step_s`` by how many they are; more of them than
    stand there run out of memory."""

    device = "card"

    def __init__(self, peak_gib: float, step_s: Mapping[int, float]) -> None:
        self.peak_gib, self.step_s, self.asked = peak_gib, step_s, list[int]()

    def __call__(self, trial: TrialConfig, together: int) -> Load | None:
        self.asked.append(together)
        if together not in self.step_s:
            return None
        return Load(together, int(self.peak_gib * GIB), 16 * GIB, self.step_s[together])


# One trial leaves the card idle three quarters of the time: four do four times as much, eight no more.
IDLE = {1: 0.010, 2: 0.010, 4: 0.010, 8: 0.020, 16: 0.040}


@pytest.mark.parametrize(
    ("card", "most", "together", "asked", "why"),
    [
        pytest.param(
            Card(0.5, IDLE), 64, 4, [1, 2, 4, 8], "8 get 1.00 times as much done as 4", id="throughput"
        ),
        pytest.param(Card(5, IDLE), 64, 2, [1, 2], "4 would not leave 10% of its memory free", id="memory"),
        pytest.param(Card(7.3, IDLE), 64, 1, [1], "2 would not leave 10% of its memory free", id="headroom"),
        pytest.param(
            Card(0.5, IDLE), 3, 2, [1, 2], "no more than 3 can run at once on a GPU here", id="processors"
        ),
        pytest.param(Card(3, {1: 0.01, 2: 0.01}), 64, 2, [1, 2, 4], "4 run out of memory", id="tried"),
        pytest.param(
            Card(0.5, {1: 0.010, 2: 0.0195}), 64, 1, [1, 2], "2 get 1.03 times as much done as 1", id="busy"
        ),
        pytest.param(
            Card(0.5, {}), 64, 1, [1], "one trial alone runs out of memory in the warm-up", id="too large"
        ),
    ],
)
def test_as_many_share_a_gpu_as_fit_and_get_more_done(
    card: Card, most: int, together: int, asked: list[int], why: str
) -> None:
    found = pack(TRIAL, card, most)
    assert (found.together, found.gpus, found.why) == (together, 1 / together, why)
    assert card.asked == asked


def test_all_that_was_measured_is_kept_what_was_not_worth_it_too() -> None:
    found = pack(TRIAL, Card(0.5, IDLE), 64)
    assert [load.together for load in found.loads] == [1, 2, 4, 8]
    assert [load.pace for load in found.loads] == pytest.approx([100, 200, 400, 400])
    event = {"event": "packed", "time": 0.0, "on": "A100", **found.to_json()}
    assert event["gpus"] == 0.25
    assert read_packings([{"event": "session"}, event]) == {("A100", "relu"): found}


SHARED = """relu: 4 at once on each card (0.5 of 16.0 GiB each, together 4.0 times as fast as one;
 8 get 1.00 times as much done as 4)"""
ALONE = """relu: one at a time on each card (0.5 of 16.0 GiB each;
 no more than 1 can run at once on a GPU here)"""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (pack(TRIAL, Card(0.5, IDLE), 64), SHARED),
        (pack(TRIAL, Card(0.5, IDLE), 1), ALONE),
        (
            Packing("relu", "card", 1, "not measured: it burnt", ()),
            "relu: one at a time on each card (not measured: it burnt)",
        ),
    ],
)
def test_a_packing_is_said_in_one_line(found: Packing, said: str) -> None:
    assert str(found) == said.replace("\n", "")


def of(share: float) -> Shares:
    shares = Shares()
    shares.of_arm = {"relu": share}
    return shares


@pytest.mark.parametrize(
    ("share", "then"),
    [(0.25, [0.5, 1.0, None]), (0.3, [0.6, 1.0, None]), (1.0, [None]), (2.0, [None]), (0.0, [None])],
)
def test_a_share_is_doubled_up_to_a_whole_gpu(share: float, then: list[float | None]) -> None:
    shares = of(share)
    assert [shares.widen(TRIAL) for _ in then] == then
    assert shares.of(TRIAL) == (share if len(then) == 1 else 1.0)


def test_other_trials_of_the_arm_keep_their_share() -> None:
    shares = of(0.25)
    shares.widen(TRIAL)
    assert shares.of(TrialConfig("toy", "relu", "tune", 1, {}, 0, 0)) == 0.25


def test_where_there_are_no_gpus_now_nothing_is_asked_of_them() -> None:
    shares = of(0.0)
    shares.widened(TRIAL.id, 0.5)
    assert shares.of(TRIAL) == 0.0
