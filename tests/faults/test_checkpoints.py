"""Checkpoints: a trial that was cut short ends as if it had not been, and no bad file is ever believed.

Cases 11 and 12 of the faults.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import pickle
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from study.checkpoint import GENERATIONS, Checkpoints, Damaged, identity, pack, read, unpack
from study.components.datasets import load_dataset
from study.components.optimizers import OPTIMIZERS
from study.space import Scalar
from study.training import train
from study.trial import Row, TrialConfig, TrialResult

pytestmark = pytest.mark.faults

DIGITS = load_dataset("digits", None)
TIMES = {"seconds", "time", "images_per_second"}
EPOCHS = 6

# Everything that draws or remembers: dropout, augmentation, order, moments, running statistics, schedule.
HYPERPARAMETERS: dict[str, Scalar] = {
    "dataset.name": "digits",
    "dataset.train_size": 120,
    "dataset.validation_size": 50,
    "model.name": "all_cnn_c",
    "model.width": 0.0625,
    "model.batch_norm": True,
    "model.dropout": True,
    "activation.name": "prelu",
    "optimizer.name": "adam",
    "optimizer.lr": 0.01,
    "schedule.name": "cosine",
    "augmentation.flip": True,
    "augmentation.crop": 1,
    "training.epochs": EPOCHS,
    "training.batch_size": 32,
    "training.evaluation_size": 50,
}


def config(index: int = 0, **changes: Scalar) -> TrialConfig:
    """``optimizer__lr=0.1`` sets optimizer.lr."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return TrialConfig("toy", "arm", "confirm", index, {**HYPERPARAMETERS, **dotted}, 1 + index, 2)


def kept(folder: Path, trial: TrialConfig | None = None, every_s: float = 0, **options: Any) -> Checkpoints:
    return Checkpoints(folder, trial or config(), every_s=every_s, **options)


def go_on(checkpoints: Checkpoints, trial: TrialConfig | None = None) -> TrialResult:
    return train(trial or config(), DIGITS, device="cpu", threads=1, checkpoints=checkpoints)


def numbers(result: TrialResult) -> tuple[Any, ...]:
    """All that must be equal to the last bit."""
    curve = [{key: value for key, value in row.items() if key not in TIMES} for row in result.curve]
    return result.verdict, curve, dict(result.metrics), result.gradient_evaluations, result.events


@cache
def undisturbed() -> TrialResult:
    return train(config(), DIGITS, device="cpu", threads=1)


class Cut(Exception):
    """What ends a training in the middle."""


def cut_after(
    epoch: int, folder: Path, trial: TrialConfig | None = None, every_s: float = 0, **options: Any
) -> None:
    """Train until ``epoch`` is reported."""

    def report(row: Row) -> None:
        if row["epoch"] == epoch:
            raise Cut

    with pytest.raises(Cut):
        train(
            trial or config(),
            DIGITS,
            device="cpu",
            threads=1,
            report=report,
            checkpoints=kept(folder, trial, every_s, **options),
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trial's checkpoints after a cut: those of the epochs 3 and 4."""
    made = tmp_path / "arm-confirm-0"
    cut_after(4, made)
    return made


# -- going on


@pytest.mark.parametrize("epoch", [1, EPOCHS - 1, EPOCHS])
def test_a_trial_that_was_cut_ends_with_the_same_numbers(tmp_path: Path, epoch: int) -> None:
    cut_after(epoch, tmp_path / "trial")
    checkpoints = kept(tmp_path / "trial")
    assert len(checkpoints.load()) == epoch
    assert numbers(go_on(checkpoints)) == numbers(undisturbed())
    assert checkpoints.faults == []


@pytest.mark.parametrize(
    "optimizer", [name for name, each in OPTIMIZERS.items() if "sparse_gradients" not in each.needs]
)
def test_it_does_with_any_optimizer(tmp_path: Path, optimizer: str) -> None:
    trial = config(optimizer__name=optimizer, training__epochs=2)
    whole = train(trial, DIGITS, device="cpu", threads=1)
    cut_after(1, tmp_path / "trial", trial)
    assert numbers(go_on(kept(tmp_path / "trial", trial), trial)) == numbers(whole)


def test_it_does_with_an_average_of_the_weights(tmp_path: Path) -> None:
    trial = config(training__ema=0.99)
    whole = train(trial, DIGITS, device="cpu", threads=1)
    assert numbers(whole) != numbers(undisturbed())
    cut_after(3, tmp_path / "trial", trial)
    assert numbers(go_on(kept(tmp_path / "trial", trial), trial)) == numbers(whole)


def test_only_the_epochs_that_are_missing_are_trained_and_reported(folder: Path) -> None:
    reported: list[Any] = []
    train(
        config(),
        DIGITS,
        device="cpu",
        threads=1,
        report=lambda row: reported.append(row["epoch"]),
        checkpoints=kept(folder),
    )
    assert reported == [5, 6]


def test_its_seconds_are_those_of_all_its_epochs(folder: Path) -> None:
    checkpoints = kept(folder)
    before = float(checkpoints.load()[-1]["seconds"] or 0)
    result = go_on(checkpoints)
    seconds = [float(row["seconds"] or 0) for row in result.curve]
    assert seconds == sorted(seconds)
    assert result.seconds > before


def test_it_knows_on_what_kinds_of_device_it_was_trained(tmp_path: Path) -> None:
    """Its seconds are of them all, and compare with nobody's."""
    for epoch, place in ((2, "an A100"), (4, "a T4"), (5, "an A100")):
        cut_after(epoch, tmp_path / "trial", runs_on=place)
    again = kept(tmp_path / "trial", runs_on="an A100")
    again.load()
    assert again.ran_on == ("an A100", "a T4")


def train_on(folder: Path, answer: Connection) -> None:
    def report(row: Row) -> None:
        answer.send(row["epoch"])

    result = train(config(), DIGITS, device="cpu", threads=1, report=report, checkpoints=kept(folder))
    answer.send(numbers(result))


def test_a_process_killed_at_any_moment_costs_no_number(tmp_path: Path, processes: ForkServerContext) -> None:
    """SIGKILL at seeded random moments behind an epoch's end, until a process comes through."""
    moments, folder = random.Random(11), tmp_path / "trial"
    reached: list[int] = []
    while True:
        receive, send = processes.Pipe(duplex=False)
        process = processes.Process(target=train_on, args=(folder, send))
        process.start()
        said = receive.recv()
        if not isinstance(said, int):
            break
        assert said > max(reached, default=0), "no epoch is trained again whose checkpoint was written"
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.join()
        reached.append(len(kept(folder).load()))
    process.join()
    assert said == numbers(undisturbed())
    assert len(reached) >= 2


# -- when, and how many


def test_two_generations_are_kept(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["000003.ckpt", "000004.ckpt"]
    assert GENERATIONS == 2


def test_a_trial_that_is_soon_over_writes_none(tmp_path: Path) -> None:
    cut_after(EPOCHS, tmp_path / "trial", every_s=3600)
    assert not (tmp_path / "trial").exists()


def test_where_writing_is_slow_it_is_done_less_often(tmp_path: Path) -> None:
    """By a clock that goes on a second at every look, so that writing takes as long as an epoch."""
    looks = itertools.count()
    slow = kept(tmp_path / "trial", every_s=1e-9, now=lambda: float(next(looks)))
    train(config(), DIGITS, device="cpu", threads=1, checkpoints=slow)
    (written,) = (tmp_path / "trial").glob("*.ckpt")
    assert written.name == "000001.ckpt"


def test_an_epoch_that_is_not_finite_is_no_place_to_go_on_from(tmp_path: Path) -> None:
    trial = config(optimizer__name="sgd", optimizer__lr=1e6, model__batch_norm=False)
    result = go_on(kept(tmp_path / "trial", trial), trial)
    assert result.verdict.status == "diverged"
    assert not list((tmp_path / "trial").glob("*.ckpt"))


# -- what must not be believed


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bit_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def last_byte_missing(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def another_trials(path: Path) -> None:
    other = config(index=1)
    cut_after(4, path.parent / "other", other)
    shutil.move(path.parent / "other" / path.name, path)
    shutil.rmtree(path.parent / "other")


def of_a_later_format(path: Path) -> None:
    head, _, body = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps({**json.loads(head), "checkpoint": 99}).encode() + b"\n" + body)


def well_formed_nonsense(path: Path) -> None:
    """A checksum anybody can compute, over something that is no state."""
    body = b'{"snapshot": {"dict": [["epoch", {"tensor": "7"}]]}}\n' + safetensors.torch.save({})
    head = {"checkpoint": 1, "sha256": hashlib.sha256(body).hexdigest(), "trial": identity(config(), {})}
    path.write_bytes(json.dumps(head).encode() + b"\n" + body)


DAMAGES: tuple[Callable[[Path], None], ...] = (
    torn,
    bit_flipped,
    last_byte_missing,
    emptied,
    zeroed,
    another_trials,
    of_a_later_format,
    well_formed_nonsense,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder / "000004.ckpt")
    checkpoints = kept(folder)
    assert len(checkpoints.load()) == 3
    (fault,) = checkpoints.faults
    assert "000004.ckpt" in fault
    assert "not used" in fault
    assert numbers(go_on(checkpoints)) == numbers(undisturbed())


@pytest.mark.parametrize("damage", [torn, bit_flipped], ids=lambda damage: damage.__name__)
def test_a_trial_whose_checkpoints_are_all_damaged_starts_over(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    for path in folder.glob("*.ckpt"):
        damage(path)
    checkpoints = kept(folder)
    assert checkpoints.load() == ()
    assert len(checkpoints.faults) == 2
    assert numbers(go_on(checkpoints)) == numbers(undisturbed())


def test_a_missing_checkpoint_is_the_one_before_it(folder: Path) -> None:
    (folder / "000004.ckpt").unlink()
    assert len(kept(folder).load()) == 3
    (folder / "000003.ckpt").unlink()
    assert kept(folder).load() == ()


def test_a_damaged_file_is_told_once(folder: Path) -> None:
    torn(folder / "000004.ckpt")
    kept(folder).load()
    again = kept(folder)
    again.load()
    assert again.faults == []
    assert (folder / "000004.refused").is_file()


@pytest.mark.parametrize("change", ["trial", "circumstances"])
def test_what_the_numbers_depend_on_must_be_the_same(folder: Path, change: str) -> None:
    trial = config(optimizer__lr=0.02) if change == "trial" else config()
    facts = {"device": "cuda"} if change == "circumstances" else {}
    checkpoints = Checkpoints(folder, trial, circumstances=facts)
    assert checkpoints.load() == ()
    assert all("another" in fault for fault in checkpoints.faults)


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, nest: Path) -> None:
        self.nest = nest

    def __reduce__(self) -> Any:
        return Path.touch, (self.nest,)


def test_a_malicious_pickle_is_never_executed(folder: Path, tmp_path: Path) -> None:
    nest = tmp_path / "canary"
    (folder / "000004.ckpt").write_bytes(pickle.dumps(Canary(nest)))
    torch.save({"model": Canary(nest)}, folder / "000005.ckpt")
    checkpoints = kept(folder)
    assert len(checkpoints.load()) == 3
    assert not nest.exists()
    assert all("is not a checkpoint" in fault for fault in checkpoints.faults)
    assert len(checkpoints.faults) == 2
    pickle.loads(pickle.dumps(Canary(nest)))
    assert nest.exists(), "the canary sings where it is unpickled"


def test_a_deeply_nested_state_is_refused(tmp_path: Path) -> None:
    body = b'{"snapshot": ' + b"[" * 100_000 + b"\n" + safetensors.torch.save({})
    head = {"checkpoint": 1, "sha256": hashlib.sha256(body).hexdigest(), "trial": "x"}
    path = tmp_path / "000001.ckpt"
    path.write_bytes(json.dumps(head).encode() + b"\n" + body)
    with pytest.raises(Damaged, match="cannot be understood"):
        read(path, "x")


# -- where it cannot be written


def test_a_folder_that_is_not_there_costs_the_checkpoints_alone(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path / "not-shared" / "trial")
    assert numbers(go_on(checkpoints)) == numbers(undisturbed())
    (fault,) = checkpoints.faults
    assert "no checkpoint can be written" in fault
    assert not (tmp_path / "not-shared").exists()


def train_on_a_full_disk(folder: Path, answer: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    checkpoints = kept(folder)
    answer.send((numbers(go_on(checkpoints)), checkpoints.faults))


def test_a_full_disk_costs_the_checkpoints_alone(tmp_path: Path, processes: ForkServerContext) -> None:
    """As a limit on the size of files, in a process of its own."""
    receive, send = processes.Pipe(duplex=False)
    process = processes.Process(target=train_on_a_full_disk, args=(tmp_path / "trial", send))
    process.start()
    result, faults = receive.recv()
    process.join()
    assert result == numbers(undisturbed())
    assert len(faults) == 1
    assert not list((tmp_path / "trial").glob("*.ckpt"))


# -- state as JSON and tensors


def test_a_nested_state_comes_back_as_it_was() -> None:
    state = {
        "betas": (0.9, 0.1 + 0.2),
        "groups": [{"params": [0, 1], "fused": None, "on": True}],
        "state": {0: {"step": torch.tensor(3.0), "moment": torch.arange(6.0).reshape(2, 3).T}},
        "lr": float("inf"),
    }
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(pack(state, tensors))
    back = unpack(json.loads(text), safetensors.torch.load(safetensors.torch.save(tensors)))
    assert back["betas"] == state["betas"]
    assert isinstance(back["betas"], tuple)
    assert back["groups"] == state["groups"]
    assert back["lr"] == float("inf")
    assert torch.equal(back["state"][0]["moment"], torch.arange(6.0).reshape(2, 3).T)


def test_a_half_written_checkpoint_is_dropped(folder: Path) -> None:
    (folder / ".000005.ckpt.99999.partial").write_bytes(b"half")
    assert len(kept(folder).load()) == 4
    assert not list(folder.glob(".*.partial"))
