"""Training through torch.compile: the same training but for its last digits, whatever ran before."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.compiling import compilers
from study.errors import StudyError
from study.training import train
from tests.test_training import DIGITS, config, numbers, run

# Two whole batches an epoch, which are what is compiled, and a rest.
SMALL: dict[str, Any] = {
    "model__name": "mlp",
    "model__width": 8,
    "dataset__train_size": 200,
    "training__batch_size": 96,
}
needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler: g++")


def refuse_with(error: RuntimeError) -> None:
    with compilers():
        raise error


def test_what_torchs_compilers_fail_at_is_told_in_a_line() -> None:
    failure = type("InductorError", (RuntimeError,), {"__module__": "torch._inductor.exc"})
    with pytest.raises(StudyError, match=r"torch cannot compile here \(InductorError: no g"):
        refuse_with(failure("no g++\nhere"))


def test_any_other_error_is_itself() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        refuse_with(RuntimeError("out of memory"))


def test_a_step_of_ones_own_compiles_itself() -> None:
    def step(model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        outputs = model(inputs)
        return nn.functional.cross_entropy(outputs, targets), outputs

    with pytest.raises(StudyError, match=r"training\.compile: a step of your own"):
        train(config(**SMALL, training__compile="default"), DIGITS, step=step)


@needs_a_compiler
@pytest.mark.slow
def test_a_compiled_training_is_the_same_but_for_its_last_digits() -> None:
    plain = run(**SMALL)
    first, second = (run(**SMALL, training__compile="default") for _ in range(2))
    assert numbers(first) == numbers(second)
    for row, other in zip(first.curve, plain.curve, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
    told = first.environment["compile"]
    assert told["mode"] == "default"
    assert 0 < told["seconds"] < first.seconds
    assert "compile" not in plain.environment


@needs_a_compiler
@pytest.mark.slow
def test_a_compiled_training_that_blows_up_is_stopped_and_replayed() -> None:
    found = run(**SMALL, training__compile="default", optimizer__lr=3.0)
    assert found.verdict.status == "diverged"
    assert found.verdict.step is not None
    assert found.verdict.step > 1, "after compiled steps"
    assert found.autopsy is not None
    assert found.autopsy["reproduced"], "the replay is not compiled, and agrees to a thousandth"
    assert found.autopsy["firsts"][0]["layer"].startswith("linear")


@needs_a_compiler
@pytest.mark.slow
def test_a_warm_process_compiles_one_training_after_the_other() -> None:
    """More of them than torch compiles a layer's code for."""
    for seed in range(torch._dynamo.config.recompile_limit + 2):
        assert run(seed=seed, **SMALL, training__compile="default").environment["compile"]["seconds"] > 0
