"""Where a trial runs: the device, its precision, its threads, and what is recorded of them."""

from __future__ import annotations

import gc
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch

from study.errors import StudyError, shorten

Precision = Literal["fp32", "tf32", "bf16"]


def pick_device(name: str | None = None) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:1``; by default CUDA where there is one. Raises StudyError."""
    kind, _, number = (name or ("cuda" if torch.cuda.is_available() else "cpu")).partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise StudyError(f"device: must be cpu, cuda or cuda:N, not {shorten(name)}")
    count = torch.cuda.device_count()
    if int(number or 0) >= count:
        raise StudyError(f"device {name}: torch {torch.__version__} finds {count} CUDA devices here; use cpu")
    return torch.device("cuda", int(number or torch.cuda.current_device()))


def has_native_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 itself. Emulated, it is slower than float32.

    On the CPU: x86's AVX512-BF16 or AMX-BF16. ARM counts as without: it was never measured.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def resolve_precision(asked: Literal["auto", "fp32", "tf32", "bf16"], device: torch.device) -> Precision:
    """``auto`` is bf16 where the hardware has it natively, else fp32; TF32 is fp32 where there is none."""
    if asked == "auto":
        return "bf16" if has_native_bf16(device) else "fp32"
    return "fp32" if asked == "tf32" and device.type == "cpu" else asked


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Convolutions in ``precision``; weights, their gradients and the optimizer's state in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def keep_to_share(device: torch.device, gpus: float) -> None:
    """Let this process have no more of a GPU's memory than its share: what outgrows it runs out of memory
    itself, and not its neighbours."""
    if device.type == "cuda" and gpus:
        torch.cuda.set_per_process_memory_fraction(min(1.0, gpus), device)


def release_memory(device: torch.device) -> None:
    """Give the GPU back what this process has kept for later: a warm process has neighbours."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def memory_taken(device: torch.device) -> tuple[int, int]:
    """Bytes of a GPU that are taken by other than torch's tensors in this process (CUDA itself, other
    programs), and all that it has; (0, 0) on the CPU."""
    if device.type != "cuda":
        return 0, 0
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device), total


def peak_memory(device: torch.device) -> int:
    """The most bytes that torch has held of a GPU since ``watch_memory``; 0 on the CPU."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0


def watch_memory(device: torch.device) -> None:
    """From now on, for ``peak_memory``."""
    release_memory(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


@contextmanager
def reproducible(
    device: torch.device, seed: int, threads: int | None, precision: Precision = "fp32"
) -> Iterator[None]:
    """The process's own numerical settings for one trial, and the caller's again afterwards.

    ``seed`` is for torch's global generator, which dropout draws from. cuDNN keeps to deterministic
    algorithms, and fp32 means fp32, unless the ``precision`` is TF32. ``threads``: of torch on the CPU;
    None leaves them.
    """
    before, matmul = torch.get_num_threads(), torch.backends.cuda.matmul
    tf32 = precision == "tf32"
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=tf32))
        stack.callback(setattr, matmul, "allow_tf32", matmul.allow_tf32)
        matmul.allow_tf32 = tf32
        if threads is not None:
            stack.callback(torch.set_num_threads, before)
            torch.set_num_threads(threads)
        torch.manual_seed(seed)
        yield


def device_name(device: torch.device) -> str:
    """Its model."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(torch.cpu.get_capabilities().get("cpu_name", platform.machine()))


def environment(device: torch.device, precision: Precision) -> dict[str, Any]:
    """What decides the last digits of a trial's numbers, for its record."""
    return {
        "device": device.type,
        "device_name": device_name(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "host": platform.node(),
    }
