"""The forward pass and its gradient as torch.compile makes them, where a study asks for that.

Whole training batches alone go through what was compiled: their shape repeats, so it is compiled once.
Evaluations, an epoch's rest, the very first step (which an autopsy's hooks watch) and an autopsy's replay
run as they always do.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from study.errors import StudyError, one_line


class Compiled:
    """A network compiled for batches of one size. ``seconds``: what compiling has taken.

    ``mode`` is torch.compile's: ``reduce-overhead`` runs small networks on a GPU as CUDA graphs.
    """

    def __init__(self, model: nn.Module, mode: str, batch_size: int) -> None:
        self.mode, self.seconds, self._batch_size = mode, 0.0, batch_size
        self._ready: set[str] = set()
        with self.making("the graph"):
            # A warm process has what was compiled for the trials before, and torch compiles a layer's code
            # for so many of them and no more.
            torch.compiler.reset()
            self._network = torch.compile(model, mode=mode, dynamic=False)

    def serves(self, inputs: Tensor, step: int) -> bool:
        return step > 0 and len(inputs) == self._batch_size

    def __call__(self, inputs: Tensor) -> Tensor:
        with self.making("forward"):
            outputs: Tensor = self._network(inputs)
        return outputs

    @contextmanager
    def making(self, part: str) -> Iterator[None]:
        """Inside, ``part`` is used, which the first time means that it is compiled."""
        if part in self._ready:
            yield
            return
        began = time.perf_counter()
        with compilers():
            yield
        self.seconds += time.perf_counter() - began
        self._ready.add(part)


@contextmanager
def compilers() -> Iterator[None]:
    """Inside, torch's compilers are at work: what they warn of is their own use of older parts of torch, and
    what they fail at is a StudyError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            yield
        except RuntimeError as error:
            if not type(error).__module__.startswith(COMPILERS):
                raise
            why = one_line(f"{type(error).__name__}: {error}")[:300]
            raise StudyError(f"training.compile: torch cannot compile here ({why}); leave it out") from error


# Where torch has its compilers' exceptions; to import them takes a second.
COMPILERS = ("torch._dynamo", "torch._inductor")
