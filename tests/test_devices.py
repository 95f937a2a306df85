"""Where a trial runs, and that it leaves the process as it found it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from study.devices import autocast, environment, has_native_bf16, pick_device, reproducible, resolve_precision
from study.errors import StudyError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "tpu", "cpu:1", "mps"])
def test_a_device_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(StudyError, match="device"):
        pick_device(name)


def test_a_cuda_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(StudyError, match=r"CUDA devices here; use cpu"):
        pick_device("cuda:63")


def test_the_cpu_can_be_asked_for() -> None:
    assert pick_device("cpu") == CPU


def test_native_bf16_on_the_cpu_is_what_linux_says_of_it() -> None:
    information = Path("/proc/cpuinfo")
    if not information.is_file() or "flags" not in information.read_text():
        pytest.skip("needs Linux on x86")
    flags = information.read_text().split()
    assert has_native_bf16(CPU) == ("avx512_bf16" in flags or "amx_bf16" in flags)


def test_auto_is_bf16_where_it_is_native() -> None:
    assert resolve_precision("auto", CPU) == ("bf16" if has_native_bf16(CPU) else "fp32")


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_a_precision_that_is_asked_for_is_taken(asked: str) -> None:
    assert resolve_precision(asked, CPU) == asked  # type: ignore[arg-type]


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_precision_is_that_of_convolutions(precision: str, dtype: torch.dtype) -> None:
    with autocast(CPU, precision):  # type: ignore[arg-type]
        assert torch.nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2)).dtype == dtype


def test_the_seed_decides_the_global_generator_inside_and_leaves_it_outside() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with reproducible(CPU, 5, None):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with reproducible(CPU, 5, None):
        assert torch.equal(torch.rand(3), first)


def test_threads_are_set_inside_and_restored_outside() -> None:
    before = torch.get_num_threads()
    with reproducible(CPU, 0, before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_an_error_inside_restores_the_process_too() -> None:
    before, state = torch.get_num_threads(), torch.get_rng_state()

    def fail() -> None:
        with reproducible(CPU, 0, before + 1):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_cudnn_is_deterministic_and_without_tf32_inside() -> None:
    before = torch.backends.cudnn.deterministic
    with reproducible(CPU, 0, None):
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic == before


def test_tf32_is_allowed_inside_where_it_is_asked_for() -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    with reproducible(CPU, 0, None, "tf32"):
        assert torch.backends.cudnn.allow_tf32
        assert matmul.allow_tf32
        with reproducible(CPU, 0, None):
            assert not matmul.allow_tf32
    assert matmul.allow_tf32 == before


def test_tf32_is_fp32_where_there_is_none() -> None:
    assert resolve_precision("tf32", CPU) == "fp32"
    assert resolve_precision("tf32", torch.device("cuda")) == "tf32"


def test_the_environment_says_where_and_how() -> None:
    recorded = environment(CPU, "fp32")
    assert recorded["device"] == "cpu"
    assert recorded["precision"] == "fp32"
    assert recorded["torch"] == torch.__version__
    assert all(recorded[key] for key in ("device_name", "threads", "python", "host"))
